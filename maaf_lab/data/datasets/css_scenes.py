"""CSS without pixels: objects, cells, scenes and modifications, for the dataset, its synthetic version and the analyses.

A scene is a list of objects in the published form, `{"shape", "color", "size", "pos": (y, x)}`, `pos` as fractions of
the image; the cell of the 3x3 grid is floor(3 * pos).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maaf_lab.errors import DataError

SHAPES = ("cube", "sphere", "cylinder")
SIZES = ("small", "large")
COLORS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
CELLS = tuple(f"{row}-{column}" for row in ("top", "middle", "bottom") for column in ("left", "center", "right"))
TYPES = ("add", "remove", "change")  # of modifications

Object = Mapping[str, Any]

# TIRG's own 2D drawings name the shapes after their outlines.
_SHAPE_NAMES = {**{name: name for name in SHAPES}, "rectangle": "cube", "circle": "sphere", "triangle": "cylinder"}


def shape_of(obj: Object) -> str:
    """cube, sphere or cylinder, from either set of names. Raises DataError for any other name."""
    try:
        return _SHAPE_NAMES[obj["shape"]]
    except KeyError:
        raise DataError(f"CSS object: expected a shape of {', '.join(_SHAPE_NAMES)}; found {dict(obj)}") from None


def cell_of(obj: Object) -> int:
    """0 (top-left) to 8 (bottom-right), row by row. Raises DataError for a `pos` outside the image."""
    y, x = obj["pos"]
    row, column = int(y * 3), int(x * 3)
    if min(y, x) < 0 or max(row, column) > 2:
        raise DataError(f"CSS object: expected pos = (y, x) with both in [0, 1); found {obj['pos']}")
    return row * 3 + column


def describe(obj: Object) -> str:
    """For example "top-left large red cube"."""
    return f"{CELLS[cell_of(obj)]} {obj['size']} {obj['color']} {shape_of(obj)}"


def scene_label(objects: Sequence[Object]) -> str:
    """The scene as text, its objects in the order of their cells. The order of `objects` and their shifts within cells do not
    count: equal scenes have equal labels."""
    return "; ".join(text for _, text in sorted((cell_of(obj), describe(obj)) for obj in objects)) or "empty"


def parse_label(label: str) -> list[dict[str, Any]]:
    """Inverse of `scene_label`, each object in the middle of its cell. Raises DataError for any other label.

    A remark in parentheses at the end is ignored (the dataset adds one where equal scenes have different labels).
    """
    label = label.partition(" (")[0]
    objects = []
    for part in label.split("; ") if label != "empty" else ():
        words = part.split()
        if len(words) != 4 or words[0] not in CELLS or words[1] not in SIZES or words[2] not in COLORS or words[3] not in SHAPES:
            raise DataError(f"CSS label: expected e.g. 'top-left large red cube; ...', found {part!r} in {label!r}")
        row, column = divmod(CELLS.index(words[0]), 3)
        objects.append({"shape": words[3], "color": words[2], "size": words[1], "pos": ((row + 0.5) / 3, (column + 0.5) / 3)})
    return objects


@dataclass(frozen=True)
class Modification:
    """One modification of a scene. A part that is None is not in the text: any value fits.

    type: "add", "remove" or "change". size, color, shape, cell describe the object(s); value: the color or size that a change
    sets. Raises DataError where the parts do not make a modification.
    """

    type: str
    size: str | None = None
    color: str | None = None
    shape: str | None = None
    cell: int | None = None
    value: str | None = None

    def __post_init__(self) -> None:
        changes = self.value is not None
        if self.type not in TYPES or changes != (self.type == "change") or (self.type == "add" and self.cell is None):
            raise DataError(f"CSS modification: expected add (with a cell), remove, or change (with a value); found {self}")
        if self.value is not None and self.value not in COLORS + SIZES:
            raise DataError(f"CSS modification: a change sets a color or a size; found {self.value!r}")

    @property
    def text(self) -> str:
        """As published: "add large green cube to top-left", "remove yellow sphere", "make middle-center object red"."""
        words = [w for w in (self.size, self.color, self.shape or "object") if w]
        place = [] if self.cell is None else [CELLS[self.cell]]
        if self.type == "add":
            return " ".join(["add", *words, "to", *place])
        if self.type == "remove":
            return " ".join(["remove", *place, *words])
        return " ".join(["make", *place, *words, self.value])

    def fits(self, obj: Object) -> bool:
        """Whether the description holds for `obj`."""
        return (
            self.size in (None, obj["size"])
            and self.color in (None, obj["color"])
            and self.shape in (None, shape_of(obj))
            and self.cell in (None, cell_of(obj))
        )

    def apply(self, objects: Sequence[Object]) -> list[dict[str, Any]]:
        """The scene after a removal or a change. Raises DataError for "add", whose result depends on attributes left open."""
        if self.type == "add":
            raise DataError(f"{self.text!r}: an add has no single result; see analysis/css_ceiling.py for the scenes that fit")
        if self.type == "remove":
            return [dict(obj) for obj in objects if not self.fits(obj)]
        key = "size" if self.value in SIZES else "color"
        return [{**obj, key: self.value} if self.fits(obj) else dict(obj) for obj in objects]


def parse_modification(text: str) -> Modification:
    """Inverse of `Modification.text`; a position may be anywhere in the text. Raises DataError naming an unknown word."""
    words = text.lower().split()
    type_ = {"add": "add", "remove": "remove", "make": "change"}.get(words[0] if words else "")
    if type_ is None:
        raise DataError(f"CSS text: expected it to start with add, remove or make; found {text!r}")
    value, rest = (words[-1], words[1:-1]) if type_ == "change" else (None, words[1:])
    found: dict[str, Any] = {}
    for word in rest:
        if word in SIZES:
            key, meaning = "size", word
        elif word in COLORS:
            key, meaning = "color", word
        elif word in _SHAPE_NAMES:
            key, meaning = "shape", _SHAPE_NAMES[word]
        elif word in CELLS:
            key, meaning = "cell", CELLS.index(word)
        elif word in ("object", "to"):
            continue
        else:
            raise DataError(
                f"CSS text: {word!r} in {text!r} is no size, color, shape or position; "
                f"expected e.g. 'add large green cube to top-left'"
            )
        if key in found:
            raise DataError(f"CSS text: {text!r} names its {key} twice")
        found[key] = meaning
    return Modification(type_, value=value, **found)


def described_color(text: str) -> str | None:
    """The color by which a CSS text describes objects of the reference image; None where there is none.

    "remove red cube" and "make red cube small": red. "make cube red": None, as the cube only becomes red. "add red cube": None,
    as the cube is not in the reference (the paper leaves these texts out).
    """
    modification = parse_modification(text)
    return None if modification.type == "add" else modification.color
