"""What kind of change a text asks for, by keywords (paper section S2, Table S4): colour, texture, shape, parts, type.

The paper names the five types and a few of their words ("red, blue, green", "stripe, solid, plaid") and prints how many
of Fashion IQ's 6,016 val queries hold a keyword of each: 4,902 / 1,496 / 3,011 / 2,906 / 313. Its word lists are not
published. These are the lab's own, written to mean what the names say and to come close to the printed counts on the published
captions: 4,952 / 1,496 / 3,001 / 2,933 / 313 (a test counts again). Types are not exclusive: "is plaid blue" is of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from maaf_lab.data.datasets.css_scenes import CELLS, COLORS, SHAPES, SIZES
from maaf_lab.data.text import tokenize
from maaf_lab.errors import ConfigError

_KEYWORDS = {
    "color": (
        "color colors colored coloring colour colours coloured dark darker light lighter shade shades pale paler black "
        "blacker white whiter red redder reds blue bluer blues green greener pink pinker grey gray yellow yellower purple "
        "brown orange navy tan beige cream maroon gold golden silver teal peach coral turquoise burgundy olive mint "
        "lavender royal ivory khaki fuchsia magenta violet lilac aqua bronze charcoal nude rust wine rainbow "
        "monochromatic"
    ),
    "texture": (
        "stripe stripes striped stripped strips solid plaid plain floral flower flowers flowery pattern patterns "
        "patterned checked checkered checks dots dot dotted polka paisley chevron geometric leopard zebra cheetah tiger "
        "camouflage camo knit knitted mesh sequins sequined lace lacy texture textured"
    ),
    "shape": (
        "long longer short shorter length tight tighter loose looser fitted fitting fit fits flowing flowy flared flare "
        "flares wide wider narrow narrower slim slimmer baggy baggier larger smaller large small big bigger tall fuller "
        "full thin thinner thick thicker straight shaped shape form maxi mini knee floor ankle v vneck round rounded "
        "scoop square"
    ),
    "parts": (
        "sleeve sleeves sleeved sleeveless neck neckline necked collar collared collars strap straps strapless button "
        "buttons buttoned shoulder shoulders pocket pockets waist hem hemline zipper cuff cuffs hood hooded"
    ),
    "type": "tank tshirt polo blouse tunic vest jacket sweater sweatshirt gown hoodie cardigan romper jersey camisole coat suit",
}
MODIFICATION_TYPES: dict[str, frozenset[str]] = {kind: frozenset(words.split()) for kind, words in _KEYWORDS.items()}


def has_modification_type(texts: Sequence[str], kind: str) -> np.ndarray:
    """(Q,) bool: whether each text holds a keyword of the type. "all": every text. Unknown types list the known ones."""
    if kind == "all":
        return np.ones(len(texts), bool)
    if kind not in MODIFICATION_TYPES:
        raise ValueError(f"expected all, {', '.join(MODIFICATION_TYPES)}; found {kind!r}")
    return holds(texts, {kind: MODIFICATION_TYPES[kind]})[kind]


def modification_types_of(text: str) -> tuple[str, ...]:
    """The types whose keywords a text holds, in the order of `MODIFICATION_TYPES`."""
    found = set(tokenize(text))
    return tuple(kind for kind, words in MODIFICATION_TYPES.items() if not words.isdisjoint(found))


Taxonomy = Mapping[str, frozenset[str]]  # type -> its keywords

_CSS: Taxonomy = {
    "add": frozenset({"add"}),
    "remove": frozenset({"remove"}),
    "change": frozenset({"make"}),
    "color": frozenset(COLORS),
    "shape": frozenset(SHAPES),
    "size": frozenset(SIZES),
    "position": frozenset(tokenize(cell)[0] for cell in CELLS),
}


def taxonomy(dataset: str) -> Taxonomy:
    """The types of change to start from: the paper's five, and for CSS what its sentences are made of."""
    return _CSS if dataset.startswith("css") else MODIFICATION_TYPES


def taxonomy_text(types: Taxonomy) -> str:
    """A line a type, "color: red blue ...", words in order of the alphabet; what `parse_taxonomy` reads."""
    return "\n".join(f"{name}: {' '.join(sorted(words))}" for name, words in types.items())


def parse_taxonomy(text: str) -> dict[str, frozenset[str]]:
    """Lines "type: words" -> a taxonomy. Words are read as the tokenizer reads texts, so "v-neck" is "vneck".

    Raises ConfigError naming the line that has no type or no words, or repeats a type; empty lines are passed over.
    """
    types: dict[str, frozenset[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, words = line.partition(":")
        name, tokens = " ".join(name.split()), tokenize(words.replace(",", " "))
        if not colon or not name or not tokens:
            raise ConfigError(f"line {number}: expected a type, a colon and its words (color: red blue), found {line!r}")
        if name in types or name == "all":
            raise ConfigError(f"line {number}: the type {name!r} is there already; give each type one line")
        types[name] = frozenset(tokens)
    if not types:
        raise ConfigError('expected at least one line such as "color: red blue", found none')
    return types


def holds(texts: Sequence[str], types: Taxonomy) -> dict[str, np.ndarray]:
    """type -> (Q,) bool, whether each text holds one of its words; "all" first."""
    known = {text: frozenset(tokenize(text)) for text in set(texts)}
    tokens = [known[text] for text in texts]
    return {"all": np.ones(len(texts), bool)} | {
        name: np.array([not words.isdisjoint(found) for found in tokens], bool) for name, words in types.items()
    }
