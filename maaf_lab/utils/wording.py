"""Wording of messages: what a terminal may show, lists of names, unknown names, counted things, ranks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Controls, marks that turn the direction of writing, line and paragraph separators, halves of characters.
_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object, keep: str = "") -> str:
    """Text from files or users as it may be shown: a file's name or a caption can hold sequences that steer a terminal.

    What steers it, and what is no character, becomes a backslash escape such as \\x1b. keep: "\\n\\t" for text of several lines.
    """
    return _NOT_SHOWN.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], str(text))


_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MOST_DRAWN = 1000  # letters of a text in a picture


def shown(text: str) -> str:
    """The text with � in place of what no SVG, page or message can hold: control characters, undecodable bytes of file names."""
    return _NO_XML.sub("\ufffd", text)


def drawable(text: str, most: int = MOST_DRAWN) -> str:
    """`shown`, and cut with … where it is longer than `most` letters: breaking it into lines would take minutes."""
    return shown(text if len(text) <= most else text[: most - 1].rstrip() + "…")


def first_names(names: Sequence[str], show: int = 3) -> str:
    """For messages: "a.png, b.png, c.png, ..."."""
    return ", ".join(map(printable, list(names)[:show])) + (", ..." if len(names) > show else "")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: ". Did you mean 'maaf'?", or "" where no known name is close to it."""
    import difflib  # for errors alone

    lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(str(name).lower(), lower, 1)
    return f". Did you mean {lower[close[0]]!r}?" if close else ""


def counted(number: int, thing: str, things: str = "") -> str:
    """ "1 type", "1,200 types"; things: of a word whose plural needs more than an s."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def rank_name(rank: int) -> str:
    """1st, 2nd, 23rd; “no target” for 0."""
    if rank == 0:
        return "no target"
    ending = "th" if rank % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank:,}{ending}"
