"""Captions are true of their pairs, as varied as real ones, and identify the target."""

import re
from collections import Counter

import numpy as np
import pytest

from maaf_lab.data.text import tokenize
from maaf_lab.synthetic.garments.attributes import RGB, differences


@pytest.fixture(scope="module")
def pairs(val):
    """(reference, target, caption) of every caption of the full validation split."""
    return [
        (val.garments[q.candidate], val.garments[q.target], text.lower())
        for queries in val.queries.values()
        for q in queries
        for text in q.captions
    ]


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


PATTERNS = ("striped", "plaid", "floral", "polka dot", "animal", "graphic")
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


INSTEAD = dict(zip(PATTERNS, ("stripes", "plaid", "flowers", "dots", "animal print", "a graphic")))
NO_PATTERN = {
    "striped": r"no stripes|stripes removed",
    "plaid": r"no (plaid|checks|squares)",
    "floral": r"no (flowers|floral print)|flowers removed",
    "polka dot": r"no (polka )?dots",
    "animal": r"no (animal|leopard) print",
    "graphic": r"no (graphic|picture|image on the front)",
}
# In this order; the words that a rule has matched are removed before the next one.
RULES = [
    (re.compile(pattern), test)
    for pattern, test in [
        *[(f"instead of {words}", gone("pattern", pattern)) for pattern, words in INSTEAD.items()],
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
        *[(words, gone("pattern", pattern)) for pattern, words in NO_PATTERN.items()],
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
