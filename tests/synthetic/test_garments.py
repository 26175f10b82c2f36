"""Synthetic Fashion IQ and Fashion200k: captions are true, attributes show, sets follow their seed, the loaders read them."""

import hashlib
import json
import re
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PILImage

from maaf_lab.data.datasets.fashion200k import Fashion200k
from maaf_lab.data.datasets.fashion_iq import FashionIQ
from maaf_lab.data.text import tokenize
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.synthetic.garments import attributes as garments
from maaf_lab.synthetic.garments import fashion200k, fashion_iq
from maaf_lab.synthetic.garments.attributes import RGB, Garment, differences, sample, vary
from maaf_lab.synthetic.garments.drawing import draw, draw_pose
from maaf_lab.synthetic.garments.fashion200k import make_fashion200k
from maaf_lab.synthetic.garments.fashion_iq import make_fashion_iq, read_attributes
from maaf_lab.synthetic.random_stream import RandomStream

PIXELS = 32


@pytest.fixture(scope="module")
def val():
    return fashion_iq.make_split("val", "full", 0)


@pytest.fixture(scope="module")
def pairs(val):
    """(reference, target, caption) of every caption of the full validation split."""
    return [
        (val.garments[q.candidate], val.garments[q.target], text.lower())
        for queries in val.queries.values()
        for q in queries
        for text in q.captions
    ]


@pytest.fixture(scope="module")
def made_iq(tmp_path_factory):
    return make_fashion_iq(tmp_path_factory.mktemp("made") / "iq", "tiny", PIXELS, seed=3, progress=False, workers=1)


@pytest.fixture(scope="module")
def made_200k(tmp_path_factory):
    return make_fashion200k(tmp_path_factory.mktemp("made") / "f200k", "tiny", PIXELS, seed=3, progress=False, workers=1)


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- a slow reader of captions, on purpose not the package's ------------------------------------------------------------

COLORS = {
    "black": "jet black|dark black|ebony|coal black|pitch black|onyx|black",
    "white": r"(?:bright |snow |pure |bleached )?white",
    "grey": "(?:heather |ash |medium |smoky |stone )?gr[ea]y|slate",
    "maroon": "maroon|burgundy|wine red|wine|dark red|oxblood|merlot",
    "red": "(?:bright |cherry |tomato |ruby |fire )?red|scarlet|crimson",
    "pink": "(?:light |bubblegum |baby |blush |rosy )?pink|rose",
    "orange": "(?:bright |pumpkin )?orange|orangey|tangerine|pumpkin",
    "yellow": "(?:golden |sunny |canary |bright )?yellow|mustard|lemon",
    "teal": "teal green|teal|dark turquoise|turquoise|blue green|peacock|dark aqua",
    "olive": "olive green|olive|army green|military green|moss green|khaki green",
    "green": "(?:kelly |grass |forest |medium )?green|emerald|jade",
    "light blue": "light blue|sky blue|baby blue|pale blue|powder blue|pastel blue|soft blue",
    "navy": "navy blue|navy|very dark blue|dark blue|midnight blue|indigo",
    "blue": "(?:royal |bright |cobalt |medium )?blue|cobalt|sapphire",
    "purple": "royal purple|purple|violet|plum|eggplant|grape|amethyst",
    "brown": "chocolate brown|chocolate|brown|coffee|chestnut|cocoa|mocha",
    "beige": "beige|light tan|tan|cream|sand|camel|nude|oatmeal",
}
SPECIAL = ("light blue", "navy", "teal", "olive", "maroon")  # before the blues, greens and reds that their names hold
ORDER = (*SPECIAL, *(c for c in COLORS if c not in SPECIAL))
ANY_COLOR = re.compile("|".join(rf"(?P<{c.replace(' ', '_')}>\b(?:{COLORS[c]})\b)" for c in ORDER))
SLEEVES, LENGTHS, FITS = ("none", "short", "elbow", "long"), ("short", "medium", "long"), ("tight", "regular", "loose")
NO = float("nan")  # compares with nothing
DEPTH = {"collar": 0, "round": 1, "boat": 1, "scoop": 2, "v": 3, "halter": NO, "strapless": NO}


def step(names, key):
    return lambda a, b: names.index(getattr(b, key)) - names.index(getattr(a, key))


sleeve_step, length_step, fit_step = step(SLEEVES, "sleeve"), step(LENGTHS, "length"), step(FITS, "fit")


def now(key, *values):
    """A word for something new: the target has it."""
    return lambda a, b: getattr(b, key) in values


def gone(key, value):
    return lambda a, b: getattr(a, key) == value != getattr(b, key)


def same(*keys):
    return lambda a, b: all(getattr(a, key) == getattr(b, key) for key in keys)


def shows(a, b):
    """Whether something in b shows more skin than in a."""
    bare = ("collar", "round", "boat", "scoop", "v", "halter", "strapless")
    return (
        bare.index(b.neck) > bare.index(a.neck)
        or sleeve_step(a, b) < 0
        or length_step(a, b) < 0
        or fit_step(a, b) < 0
        or (b.straps == "thin" != a.straps)
    )


# In this order; what a rule has read is taken out before the next one reads.
RULES = [
    (re.compile(pattern), test)
    for pattern, test in [
        (r"instead of stripes", gone("pattern", "striped")),
        (r"instead of plaid", gone("pattern", "plaid")),
        (r"instead of flowers", gone("pattern", "floral")),
        (r"instead of dots", gone("pattern", "polka dot")),
        (r"instead of animal print", gone("pattern", "animal")),
        (r"instead of a graphic", gone("pattern", "graphic")),
        (
            r"instead of (a |an )?[a-z ]*?(star|heart|skull|kitty|skeleton|cat|kitten|sun|sunburst|tree|evergreen|"
            r"flag|words|lettering|"
            r"writing|text|letters|slogan|message|wording|typography|sunshine)( (shape|face|head))?",
            lambda a, b: a.pattern == b.pattern == "graphic" and a.detail != b.detail,
        ),
        (r"the same sleeve(s| length)|similar sleeves", same("sleeve")),
        (r"the same neckline|similar neck\b", same("neck")),
        (r"the same length|similar in length", same("length")),
        (r"the same color|similar in color", same("color", "second")),
        (r"the same fit|similar (in )?fit\b", same("fit")),
        (r"the same p\w+|similar pattern", same("pattern", "detail")),
        (r"no stripes|stripes removed", gone("pattern", "striped")),
        (r"no (plaid|checks|squares)", gone("pattern", "plaid")),
        (r"no (flowers|floral print)|flowers removed", gone("pattern", "floral")),
        (r"no (polka )?dots", gone("pattern", "polka dot")),
        (r"no (animal|leopard) print", gone("pattern", "animal")),
        (r"no (graphic|picture|image on the front)", gone("pattern", "graphic")),
        (
            r"no (big |love |valentine |scary |shining |pine |fir |forest |country |patriotic |banner )?(star\b|"
            r"heart|skull|skeleton|"
            r"cat|kitten|kitty|feline|sunburst|sunshine|sun|tree|evergreen|flag|words|lettering|writing|text|"
            r"letters|slogan|message|"
            r"some wording|wording|typography)",
            gone("pattern", "graphic"),
        ),
        (r"no (pattern|prints?( on it)?|design)\b|less (patterned|busy|printed)", lambda a, b: a.pattern != "solid" == b.pattern),
        (r"(no|fewer) buttons|buttons removed", gone("buttons", True)),
        (r"no belt|unbelted waist|the belt removed", gone("belt", True)),
        (r"no (logo|emblem|badge)", gone("logo", True)),
        (r"no (ruffles|frills)|(plain|straight) hem", gone("ruffles", True)),
        (r"no pockets?|the pocket removed", gone("pocket", True)),
        (r"no collar|the collar removed", gone("neck", "collar")),
        (r"(longer|lengthier) (sleeves|sleves|arms)|more sleeve\b", lambda a, b: sleeve_step(a, b) > 0),
        (r"shorter (sleeves|arms)|less sleeve\b|reduced sleeves", lambda a, b: sleeve_step(a, b) < 0),
        (r"sleeveless|no sleeves|without sleeves|sleeve free|(bare|uncovered) arms|sleeves removed", now("sleeve", "none")),
        (r"short sleeve[sd]?|t(ee |-)shirt sleeves", now("sleeve", "short")),
        (r"(three quarter|elbow length|3/4|half|mid length) sleeve[sd]?|sleeves to the elbow", now("sleeve", "elbow")),
        (r"(long|full|full length|wrist length) sleeve[sd]?|sleeves down to the wrist|covered arms", now("sleeve", "long")),
        (r"\bsleeves\b", lambda a, b: a.sleeve == "none" != b.sleeve),
        (r"(lower|deeper) neckline|lower cut neck|more open neck", lambda a, b: DEPTH[b.neck] > DEPTH[a.neck]),
        (r"higher neck(line)?|less deep neckline|more closed neck", lambda a, b: DEPTH[b.neck] < DEPTH[a.neck]),
        (r"(different|another|changed) neck(line)?", lambda a, b: a.neck != b.neck),
        (r"plunging v neckline|\bv[ -]?(neck(line|ed)?|shaped neck)\b|pointed neckline", now("neck", "v")),
        (r"scoop\w*( neck\w*)?|low round neckline", now("neck", "scoop")),
        (r"round(ed)? neck\w*|crew ?neck\w*|closed neck", now("neck", "round")),
        (r"boat ?neck\w*|bateau neckline|wide neck\w*", now("neck", "boat")),
        (r"(polo )?collar(ed)?\b", now("neck", "collar")),
        (r"halter|straps around the neck", now("neck", "halter")),
        (r"strapless|tube style|sweetheart|no straps|bare shoulder(s|ed)|nothing on the shoulders", now("neck", "strapless")),
        (r"thinner straps", lambda a, b: (a.straps, b.straps) == ("wide", "thin")),
        (r"(wider|thicker) straps", lambda a, b: (a.straps, b.straps) == ("thin", "wide")),
        (r"(thin|spaghetti|skinny|string|narrow|tiny) straps", now("straps", "thin")),
        (r"(wide|tank|broad|thick) straps", now("straps", "wide")),
        (
            r"(more|much|fit|\b)\s*(tighter( fitting)?|more fitted|slimmer|more form fitting|more snug|"
            r"more body hugging|narrower|"
            r"closer fitting|more tailored|slinkier)|snug shape|fitted waist",
            lambda a, b: fit_step(a, b) < 0,
        ),
        (
            r"looser( fitting)?|less (fitted|tight)|baggier|roomier|more (flowy|flowing|billowy|relaxed|volume|"
            r"fabric)|wider|airier|"
            r"fuller|relaxed fit|roomy shape",
            lambda a, b: fit_step(a, b) > 0,
        ),
        (
            r"(tight|form) fitting|\bslim\b|\bsnug\b|skin tight|(figure|body) hugging|bodycon|sheath|pencil|fitted",
            now("fit", "tight"),
        ),
        (
            r"\bloose( fitting)?\b|free flowing|flow(y|ing)|baggy|roomy|oversized|breezy|flared?\b|full skirted|swingy",
            now("fit", "loose"),
        ),
        (r"\blonger\b|lengthier|lower hemline", lambda a, b: length_step(a, b) > 0),
        (r"\bshorter\b|higher (at the hem|hemline)", lambda a, b: length_step(a, b) < 0),
        (r"above the knee|\bmini\b|minidress|short in length|crop(ped)?\b|midriff|waist length", now("length", "short")),
        (r"knee length|midi|mid length|down to the knee|(hip|regular) length", now("length", "medium")),
        (r"(floor|ankle|maxi|full) length|maxi|long and sweeping|down to the floor|tunic|extra long", now("length", "long")),
        (r"thigh length", lambda a, b: b.length == ("short" if b.kind == "dress" else "long")),
        (r"button\w*", now("buttons", True)),
        (r"(light|pale|cream|dark brown|dark|brown) belt|belt(ed)?\b|buckle(d)?", now("belt", True)),
        (r"small star logo|logo|emblem|badge|little patch", now("logo", True)),
        (r"ruffle\w*|frill\w*", now("ruffles", True)),
        (r"pocket(ed)?\b", now("pocket", True)),
        (r"fifties style|hawaiian looking", lambda a, b: True),
        (
            r"(horizontal|going (across|side to side|horizontally|left to right)|striped (across|side to side|horizontally|"
            r"left to right))",
            now("detail", "horizontal"),
        ),
        (
            r"(vertical\b|going (up and down|vertically|top to bottom|lengthwise)|striped (up and down|vertically|top to bottom|"
            r"lengthwise))",
            now("detail", "vertical"),
        ),
        (r"strip(es|ed|ey)|\blines\b(?<!crossing lines)", now("pattern", "striped")),
        (r"plaid|check\w*|tartan|squares all over|flannel|gingham|crossing lines", now("pattern", "plaid")),
        (r"flor\w+( print(ed)?)?|flower\w*|blossoms|daisies|petals", now("pattern", "floral")),
        (r"\b(dots|dotted|polka dot)\b", now("pattern", "polka dot")),
        (r"(animal|leopard|cheetah|wild cat|jungle)( print(ed)?)?", now("pattern", "animal")),
        *[
            (rf"\b({words})\b", now("detail", motif))
            for motif, words in {
                "star": "star",
                "heart": "heart",
                "skull": "skull|skeleton",
                "cat": "cat|kitten|kitty|feline",
                "flag": "flag",
                "sun": "sun|sunburst|sunshine",
                "tree": "tree|evergreen",
                "text": "words|lettering|writing|text|letters|slogan|message|wording|typography",
            }.items()
        ],
        (
            r"(another|a different) (graphic|picture|image|design)|different artwork|(new|different) print",
            lambda a, b: a.pattern == b.pattern == "graphic" and a.detail != b.detail,
        ),
        (r"graphic|picture|image|artwork|illustration|printed on|printed with|decorated|print of", now("pattern", "graphic")),
        (
            r"\bsolid\b|\bplain(?! hem)|one color|monochromatic|unpatterned|simpler|\b(all|completely|entirely|just)\b|all over",
            now("pattern", "solid"),
        ),
        (r"more revealing|less (modest|covered|conservative)|more skin baring|skimpier", shows),
        (r"less (revealing|skin baring)|more (modest|covered up|covered|conservative)", lambda a, b: shows(b, a)),
    ]
]


def read_caption(a, b, text):
    """The rules that a caption met, as (words, whether they are true)."""
    found = []
    text = re.sub(r"laid back|all over|just a (little|touch|tad)|eye catching", " ", text)
    for rule, test in RULES:
        while match := rule.search(text):
            found.append((match[0], bool(test(a, b))))
            text = text[: match.start()] + " ; " + text[match.end() :]
    text = re.sub(r"more vintage|wine like", " ", text)
    for match in ANY_COLOR.finditer(text):
        found.append((match[0], match.lastgroup.replace("_", " ") in (b.color, b.second)))
    for word, sign in ((r"darker|deeper in color|less bright", -1), (r"paler|lighter|brighter|less dark", 1)):
        if re.search(rf"\b(?:{word})\b", text):
            found.append((word, sign * (light(b) - light(a)) > 0.1))
            if re.search(rf"(much|a lot|way|noticeably|far|considerably|a good deal) (?:{word})", text):
                found.append(("much", abs(light(b) - light(a)) > 0.3))
            if re.search(rf"(slightly|a bit|a little|somewhat|a touch|a tad) (?:{word})", text):
                found.append(("slightly", abs(light(b) - light(a)) < 0.5))
    return found


def light(g):
    """Lightness by the two colors and how much of the second shows."""
    share = {"solid": 0, "striped": 0.5, "plaid": 0.5, "floral": 0.3, "polka dot": 0.2, "animal": 0.3, "graphic": 0.15}[g.pattern]
    one, two = (np.dot(RGB[color], (0.3, 0.59, 0.11)) / 255 for color in (g.color, g.second or g.color))
    return (1 - share) * one + share * two


# --- captions -----------------------------------------------------------------------------------------------------------


def test_what_captions_say_is_true(pairs):
    wrong = [(text, claim) for a, b, text in pairs for claim, true in read_caption(a, b, text) if not true]
    assert not wrong, (len(wrong), wrong[:20])
    read = [bool(read_caption(a, b, text)) for a, b, text in pairs]
    assert np.mean(read) > 0.8  # the rest are impressions ("more casual"), which nobody can check


def test_the_reader_can_tell_a_lie(pairs):
    """Captions read against the wrong pair are mostly false."""
    shifted = [(a, b, text) for (a, b, _), (*_, text) in zip(pairs, pairs[401:])]
    claims = [all(true for _, true in found) for found in (read_caption(*pair) for pair in shifted) if found]
    assert np.mean(claims) < 0.25


def test_captions_are_as_long_and_varied_as_real_ones(pairs):
    lengths = [len(tokenize(text)) for *_, text in pairs]
    words = Counter(word for *_, text in pairs for word in tokenize(text))
    assert 4.8 < np.mean(lengths) < 6.2 and min(lengths) >= 1 and max(lengths) < 24  # the published ones: 5.3
    assert len(words) > 450 and sum(n >= 5 for n in words.values()) > 400
    assert len({text for *_, text in pairs}) > 0.6 * len(pairs)
    assert not [text for *_, text in pairs if re.search(r"[{}|]|  |\ba (a|an|the) |\ban? [^ ]*s sleeves|\bthe the\b", text)]


def test_most_queries_name_a_difference_that_their_rivals_do_not_share(val):
    """Of a reference's other near relatives, few fit both captions as well as the target does."""
    fits = []
    for query in val.queries["dress"][:40]:
        a = val.garments[query.candidate]
        near = [g for g in val.garments.values() if g.kind == a.kind and 0 < len(differences(a, g)) <= 3]
        text = [caption.lower() for caption in query.captions]
        fits.append(sum(all(true for t in text for _, true in read_caption(a, g, t)) for g in near) / len(near))
    assert len(fits) == 40 and np.mean(fits) < 0.4


# --- garments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", garments.KINDS)
def test_garments_make_sense_and_small_changes_are_small(kind):
    rng = RandomStream(1, garments.KINDS.index(kind))
    sizes = Counter()
    for _ in range(250):
        g = sample(kind, rng)
        new = vary(g, 1, rng)
        sizes[len(differences(g, new))] += 1
        for h in (g, new):
            assert h.kind == kind and (h.second != "") == (h.pattern != "solid") and h.color != h.second
            assert h.sleeve == "none" or (h.straps == "none" and h.neck not in ("halter", "strapless"))
            assert (h.detail in garments.MOTIFS) == (h.pattern == "graphic")
            assert (h.detail in garments.DIRECTIONS) == (h.pattern == "striped")
            assert not (h.pattern == "graphic" and (h.buttons or h.logo or h.pocket))
            assert garments.settle(h, RandomStream(0)) == h
    assert 0 not in sizes and sizes[1] > 125 and max(sizes) <= 6


def test_lightness_orders_what_the_pictures_show():
    """Two garments that differ by the step at which captions say "darker" do so in their pictures."""
    checked = 0
    for i in range(150):
        rng = RandomStream(5, i)
        pose, a = draw_pose(rng), sample("toptee", rng)
        b = vary(a, 1, rng)
        if abs(garments.lightness(a) - garments.lightness(b)) < 0.15:
            continue
        shades = []
        for g in (a, b):
            image, other = draw(g, pose, 64), draw(g, replace(pose, backdrop=pose.backdrop * 0.5), 64)
            covered = (image == other).all(-1)
            assert covered.sum() > 100
            shades.append(image[covered].mean())
        assert (shades[0] < shades[1]) == (garments.lightness(a) < garments.lightness(b)), (a, b)
        checked += 1
    assert checked > 20


# --- pictures -----------------------------------------------------------------------------------------------------------

PLAIN = Garment("toptee", "blue", "", "solid", "", "short", "medium", "v", "regular", "none", False, False, False, False, False)


def changed_pixels(g, h, pixels=112):
    """Where two pictures of one pose differ plainly: a (pixels, pixels) mask."""
    pose = draw_pose(RandomStream(7))
    a, b = (draw(garment, pose, pixels).astype(int) for garment in (g, h))
    return np.abs(a - b).max(-1) > 40


@pytest.mark.parametrize(
    ("change", "low", "top", "bottom", "left", "right"),
    [
        ({"color": "red"}, 0.12, 0.0, 1, 0.1, 0.9),
        ({"color": "navy"}, 0.12, 0.0, 1, 0.1, 0.9),
        ({"pattern": "striped", "second": "white", "detail": "horizontal"}, 0.05, 0, 1, 0.1, 0.9),
        ({"pattern": "plaid", "second": "white"}, 0.05, 0, 1, 0.1, 0.9),
        ({"pattern": "floral", "second": "white"}, 0.04, 0, 1, 0.1, 0.9),
        ({"pattern": "polka dot", "second": "white"}, 0.02, 0, 1, 0.1, 0.9),
        ({"pattern": "animal", "second": "white"}, 0.02, 0, 1, 0.1, 0.9),
        ({"pattern": "graphic", "second": "white", "detail": "heart"}, 0.008, 0.25, 0.6, 0.35, 0.65),
        ({"sleeve": "long"}, 0.02, 0.2, 0.85, 0.0, 1.0),
        ({"sleeve": "none", "straps": "wide"}, 0.02, 0.12, 0.55, 0.1, 0.9),
        ({"neck": "round"}, 0.004, 0.1, 0.5, 0.35, 0.65),
        ({"neck": "collar"}, 0.004, 0.1, 0.5, 0.35, 0.65),
        ({"fit": "loose"}, 0.02, 0.1, 0.9, 0.1, 0.9),
        ({"buttons": True}, 0.0015, 0.2, 0.85, 0.4, 0.6),
        ({"belt": True}, 0.006, 0.45, 0.65, 0.25, 0.75),
        ({"logo": True}, 0.0015, 0.25, 0.5, 0.5, 0.7),
        ({"ruffles": True}, 0.002, 0.6, 0.9, 0.25, 0.75),
        ({"pocket": True}, 0.001, 0.25, 0.55, 0.5, 0.7),
    ],
)
def test_an_attribute_shows_where_it_sits(change, low, top, bottom, left, right):
    mask = changed_pixels(PLAIN, replace(PLAIN, **change))
    y, x = (np.flatnonzero(mask.any(axis)) / len(mask) for axis in (1, 0))
    assert mask.mean() > low
    assert top <= y.min() and y.max() <= bottom and left <= x.min() and x.max() <= right


def test_belts_are_as_light_or_dark_as_captions_say():
    for i, color in enumerate(RGB):
        image = draw(replace(PLAIN, color=color, belt=True), draw_pose(RandomStream(17, i)), 112)
        bare = draw(replace(PLAIN, color=color), draw_pose(RandomStream(17, i)), 112)
        belt = (np.abs(image.astype(int) - bare).max(-1) > 30) & (np.abs(np.arange(112) - 56) > 8)[None]
        assert belt.sum() > 50
        assert (image[belt].astype(int) - bare[belt]).mean() * (1 if garments.takes_light_trim(color) else -1) > 30, color


def test_lengths_show_in_the_proportions():
    """How tall a garment is for its width, whatever the size at which it is photographed."""
    for kind in ("dress", "skirt", "toptee"):
        tall = []
        for length in ("short", "medium", "long"):
            g = replace(sample(kind, RandomStream(2)), length=length, sleeve="none", fit="regular")
            pose = draw_pose(RandomStream(9))
            image, other = draw(g, pose, 96), draw(g, replace(pose, backdrop=pose.backdrop * 0.5), 96)
            rows = np.flatnonzero((image == other).all(-1).any(1))
            tall.append(rows.max() - rows.min())
        assert tall[0] * 1.12 < tall[1] and tall[1] * 1.12 < tall[2]


def test_colors_show_in_the_pictures():
    names, right = list(RGB), 0
    for i, name in enumerate(names * 3):
        pose = draw_pose(RandomStream(11, i))
        image = draw(replace(PLAIN, color=name, neck="round"), pose, 112)
        seen = np.median(image[52:75, 45:67].reshape(-1, 3), 0)
        right += min(names, key=lambda n: np.sum((np.array(RGB[n]) - seen) ** 2)) == name
    assert right >= 0.9 * 3 * len(names)


@pytest.mark.parametrize("kind", garments.KINDS)
@pytest.mark.parametrize("pixels", [16, 57])
def test_every_kind_can_be_drawn_at_any_size(kind, pixels):
    for i in range(4):
        rng = RandomStream(13, i)
        pose = draw_pose(rng)
        image = draw(sample(kind, rng), pose, pixels)
        assert image.shape == (pixels, pixels, 3) and image.dtype == np.uint8 and image.std() > 5


# --- sets on disk -------------------------------------------------------------------------------------------------------


def test_full_fashion_iq_counts(val):
    assert [len(val.galleries[c]) for c in fashion_iq.CATEGORIES] == [2760] * 3
    assert [len(val.queries[c]) for c in fashion_iq.CATEGORIES] == [2000] * 3
    shared = set(val.galleries["shirt"]) & set(val.galleries["toptee"])
    assert len(val.garments) == 3 * 2760 - len(shared) and 40 < len(shared) < 80
    for category in fashion_iq.CATEGORIES:
        gallery, queries = val.galleries[category], val.queries[category]
        assert len(set(gallery)) == len(gallery) and len({val.garments[asin] for asin in gallery}) == len(gallery)
        assert len({q.target for q in queries}) == 2000 and all(q.candidate != q.target for q in queries)
        assert {q.candidate for q in queries} | {q.target for q in queries} <= set(gallery)
        steps = [len(differences(val.garments[q.candidate], val.garments[q.target])) for q in queries]
        assert 2 < np.mean(steps) < 3.5 and min(steps) >= 1


def test_annotations_follow_the_seed():
    one = fashion_iq.make_split("val", "tiny", 3)
    assert one == fashion_iq.make_split("val", "tiny", 3) != fashion_iq.make_split("val", "tiny", 4)
    asins = [asin for split in fashion_iq.SPLITS for asin in fashion_iq.make_split(split, "tiny", 3).garments]
    assert len(asins) == len(set(asins)) and all(re.fullmatch("B00[A-Z0-9]{7}", asin) for asin in asins)
    assert fashion200k.make_split("test", "tiny", 3) == fashion200k.make_split("test", "tiny", 3)
    text = json.dumps([[q.candidate, q.target, *q.captions] for queries in one.queries.values() for q in queries])
    text += json.dumps([[p.path, p.caption, p.score] for p in fashion200k.make_split("test", "tiny", 3)])
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "75eeb4c1c48f"  # a change means that VERSION goes up


def test_pictures_do_not_depend_on_the_order_in_which_they_are_drawn(tmp_path, monkeypatch):
    """The same bytes when everything is drawn backward, other bytes for another seed."""
    monkeypatch.setitem(fashion_iq.DATASET_SIZES, "tiny", {"train": (1, 10), "val": (1, 5), "test": (1, 5)})
    monkeypatch.setitem(fashion200k.DATASET_SIZES, "tiny", {"train": 30, "test": 30})
    monkeypatch.setitem(fashion200k.TEST_QUERIES, "tiny", 10)
    for module, make in ((fashion_iq, make_fashion_iq), (fashion200k, make_fashion200k)):
        one, other = (make(tmp_path / f"{make.__name__}{seed}", "tiny", 16, seed, progress=False, workers=1) for seed in (3, 4))
        with monkeypatch.context() as patch:
            patch.setattr(module, "in_processes", lambda function, jobs, *_, **__: map(function, reversed(jobs)))
            backwards = make(tmp_path / f"{make.__name__}-backwards", "tiny", 16, 3, progress=False)
        assert hashes(one) == hashes(backwards) and not set(hashes(one).values()) & set(hashes(other).values())


@pytest.mark.slow
def test_two_processes_draw_what_one_draws(made_iq, tmp_path):
    again = make_fashion_iq(tmp_path / "again", "tiny", PIXELS, seed=3, progress=False, workers=2)
    assert hashes(again) == hashes(made_iq)


def test_fashion_iq_loads(made_iq):
    layout = FashionIQ(made_iq)
    split, test = layout.load("val"), layout.load("test")
    assert (
        split.origin == f"synthetic fashion_iq v{fashion_iq.VERSION} size=tiny pixels={PIXELS} seed=3"
        and len(split.queries) == 90
    )
    assert all(len(q.texts) == 2 and q.target is not None for q in split.queries)
    assert any(image.categories == ("shirt", "toptee") for image in split.images)
    assert len(test.queries) == 45 and all(q.target_label is None for q in test.queries)
    report = layout.check(progress=False)
    assert not report.problems and [row.queries for row in report.rows] == [180, 90, 45]
    assert all(row.images == row.published_images for row in report.rows)
    shown = read_attributes(made_iq / "attributes.json")
    assert {image.id for s in layout.splits for image in layout.load(s).images} == set(shown)
    query = split.queries[0]
    assert differences(shown[split.images[query.source].id], shown[split.images[query.target].id])
    with PILImage.open(split.images[0].path) as image:
        assert image.format == "JPEG" and image.size == (PIXELS, PIXELS)


def test_pictures_show_their_own_garment(made_iq):
    """The sidecar is about the right file: plain black and plain white garments differ in their middle."""
    shown = read_attributes(made_iq / "attributes.json")

    def middle(name):
        picked = [asin for asin, g in shown.items() if g.color == name and g.pattern == "solid"]
        return [np.asarray(PILImage.open(made_iq / "images" / f"{asin}.jpg"))[16:19, 14:18].mean() for asin in picked]

    assert len(middle("black")) > 5 and np.mean(middle("black")) < 90 and np.mean(middle("white")) > 190


def test_fashion200k_loads(made_200k):
    layout = Fashion200k(made_200k)
    train, test = layout.load("train"), layout.load("test")
    assert len(train.images) == 200 and len(test.images) == 100 and len(test.queries) == 60
    assert len(train.queries) > 150 and not {i.id for i in train.images} & {i.id for i in test.images}
    assert not layout.check(progress=False).problems
    shown = read_attributes(made_200k / "attributes.json")
    for query in test.queries:
        source, target = test.images[query.source].label.split(), query.target_label.split()
        ((old, new),) = [(a, b) for a, b in zip(source, target, strict=True) if a != b]
        assert query.texts == (f"replace {old} with {new}",)
    for image in train.images:
        g = shown[image.id]
        color = {"grey": "gray", "maroon": "burgundy", "light blue": "light-blue"}.get(g.color, g.color)
        assert image.label.split()[0] == color and ("striped" in image.label) == (g.pattern == "striped")


def test_full_fashion200k_has_partners_and_company():
    pictures = fashion200k.make_split("test", "full", 0)
    captions = Counter(p.caption for p in pictures)
    assert len(pictures) == 4000 == len({p.path for p in pictures}) and 800 < len(captions) < 2000
    pairs = fashion200k.draw_queries(pictures, 4000, RandomStream(0))
    assert len(set(pairs)) == 4000 and len({source for source, _ in pairs}) > 3500
    assert all(re.fullmatch(r"women/(dresses|jackets|pants|skirts|tops)/[a-z_-]+/(\d+)/\2_\d\.jpeg", p.path) for p in pictures)


def test_settings_and_folders_are_checked(made_iq, tmp_path):
    for bad in ({"size": "huge"}, {"pixels": 8}, {"seed": -1}):
        with pytest.raises(ConfigError):
            make_fashion_iq(tmp_path / "x", **bad)
        with pytest.raises(ConfigError):
            make_fashion200k(tmp_path / "x", **bad)
    before = hashes(made_iq)
    assert make_fashion_iq(made_iq, "tiny", PIXELS, seed=3, progress=False) == made_iq and hashes(made_iq) == before
    with pytest.raises(DataError, match="holds"):
        make_fashion_iq(made_iq, "tiny", PIXELS, seed=4, progress=False)
    copy = shutil.copytree(made_iq, tmp_path / "copy")
    next((copy / "images").iterdir()).unlink()
    with pytest.raises(DataError, match="images"):
        make_fashion_iq(copy, "tiny", PIXELS, seed=3, progress=False)


def test_a_split_that_comes_with_the_lab_is_the_one_that_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_iq, "SHIPPED", tmp_path)
    assert fashion_iq.shipped_split("val", "tiny", 0) is None
    made = fashion_iq.make_split("val", "tiny", 0)
    fashion_iq.save_split(tmp_path / "shop-val-tiny-0.json.gz", made)
    assert fashion_iq.shipped_split("val", "tiny", 0) == made
