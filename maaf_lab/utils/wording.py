"""Words of messages: names listed, things counted."""

from __future__ import annotations

from collections.abc import Sequence


def first_names(names: Sequence[str], show: int = 3) -> str:
    """For messages: "a.png, b.png, c.png, ..."."""
    return ", ".join(list(names)[:show]) + (", ..." if len(names) > show else "")


def counted(number: int, thing: str) -> str:
    """ "1 type", "1,200 types"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
