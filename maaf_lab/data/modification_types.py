"""Keywords of the paper's modification types (section S2, Table S4): color, texture, shape, parts, type.

The paper names the five types with a few words each ("red, blue, green", "stripe, solid, plaid") and prints how many of Fashion
IQ's 6,016 val queries have a keyword of each: 4,902 / 1,496 / 3,011 / 2,906 / 313. Its word lists are not published. These are
the lab's own, chosen to fit the types' names and to come close to the printed counts on the published captions: 4,952 / 1,496 /
3,001 / 2,933 / 313 (a test counts them). A query can be of several types: "is plaid blue" is of color and texture.
"""

from __future__ import annotations

from collections.abc import Mapping

Taxonomy = Mapping[str, frozenset[str]]  # type -> its keywords

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
MODIFICATION_TYPES: dict[str, frozenset[str]] = {name: frozenset(words.split()) for name, words in _KEYWORDS.items()}
