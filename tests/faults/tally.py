"""The campaign's account: what came of each input, and the tables of its figures."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from faults.battery import SECONDS, Answer, Fault, Hang, Kind, Lab, judged, tried, within_limits

ANY = Kind("an answer", (0, 1, 2))
GOOD, BAD = ("clear error", "worked"), ("traceback", "wrong", "hang", "lost", "crash")
HOME = Path(os.environ["MAAF_LAB_HOME"])  # a folder of the campaign's own
found: dict[str, Counter[str]] = {}


def note(group: str, what: str, outcome: str, why: str = "", times: int = 1) -> None:
    """Count an outcome; one that should not be is printed."""
    found.setdefault(group, Counter())[outcome] += times
    if outcome in BAD and found[group][outcome] <= 20:
        print(f"{group}: {ascii(what)[:100]}: {outcome}: {ascii(why)[:200]} ... {ascii(why)[-600:]}", flush=True)


def attempt(
    group: str, what: str, fault: Fault, lab: Callable[[Path], Lab], changed: Callable[[Answer], bool] | None = None
) -> None:
    """Try one input in a folder of its own and count what came of it. lab: of a folder; changed: whether an answer is wrong."""
    folder = Path(tempfile.mkdtemp(dir=HOME))
    try:
        outcome, why = answered(lambda: tried(lab(folder), fault.how), fault.expected, changed)
        note(group, what, outcome, why)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def answered(
    how: Callable[[], Answer], expected: Kind, changed: Callable[[Answer], bool] | None = None, seconds: float = SECONDS
) -> tuple[str, str]:
    """-> what came of an input, and what was said."""
    answer = None
    try:
        with within_limits(seconds):
            answer = how()
        wrong = judged(answer, expected)
    except (Hang, AssertionError) as limit:  # of time, of memory
        return "hang", str(limit)
    except Exception:
        return "traceback", traceback.format_exc()
    if wrong == "a traceback":
        return "traceback", answer.said
    if wrong or (changed is not None and changed(answer)):
        return "wrong", f"{wrong}: {answer.said}"
    return ("clear error" if answer.code else "worked"), ""


def table() -> str:
    """The figures by part ("damage" of "damage: a run"), a line a group, and the sum of each part."""
    parts: dict[str, dict[str, Counter[str]]] = {}
    for name, counts in found.items():
        parts.setdefault(name.split(":")[0], {})[name] = counts
    rows = []
    for part, groups in parts.items():
        rows += [*groups.items(), (f"{part}, all", sum(groups.values(), Counter()))] if len(groups) > 1 else groups.items()
    rows.append(("all", sum(found.values(), Counter())))
    wide = max(len(name) for name, _ in rows)
    head = f"{'':<{wide}} {'inputs':>11}" + "".join(f"{column:>13}" for column in (*GOOD, *BAD))
    lines = [f"{n:<{wide}} {sum(c.values()):>11,}" + "".join(f"{c[column]:>13,}" for column in (*GOOD, *BAD)) for n, c in rows]
    return "\n".join([head, *lines])


def failed() -> bool:
    """Whether anything came out that should not be."""
    return any(counts[column] for counts in found.values() for column in BAD)
