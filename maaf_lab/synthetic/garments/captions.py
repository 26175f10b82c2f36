"""Relative captions for pairs of garments, in the style of Fashion IQ: two people say how the target differs.

Each names one or two things that are true of the pair, sometimes an impression ("more casual") or something that stays the same.
Vocabulary is in `words`, grammar here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from maaf_lab.synthetic.garments import attributes as garments
from maaf_lab.synthetic.garments import words
from maaf_lab.synthetic.garments.attributes import (
    FITS,
    LENGTHS,
    SLEEVES,
    SWITCHES,
    Garment,
    differences,
    lightness,
    reveals,
    weighted,
)
from maaf_lab.synthetic.random_stream import RandomStream

LIGHTNESS_STEP = 0.15  # the smallest difference for "darker" and "lighter"
REVEALING_STEP = 0.75  # and for "more revealing" and "less revealing"
_STEPS = {"sleeve": SLEEVES, "length": LENGTHS, "fit": FITS}
_DEPTH = {"collar": 0, "round": 1, "boat": 1, "scoop": 2, "v": 3}  # of necklines; the others have none to compare
_SALIENCE = {
    "color": 10.0,
    "lightness": 3.2,
    "pattern": 9.0,
    "sleeve": 9.0,
    "length": 6.0,
    "neck": 4.5,
    "fit": 4.0,
    "straps": 3.0,
    "buttons": 3.0,
    "belt": 4.0,
    "logo": 3.0,
    "ruffles": 3.5,
    "pocket": 2.5,
    "revealing": 2.2,
    "same": 0.7,
    "vague": 2.0,
}
_BELTS = {True: "light|pale|cream", False: "dark|dark brown|brown"}  # by `takes_light_trim`


class Claim(NamedTuple):
    """One statement. form: "is" or "has", the verb before the text. topic: a key of `_SALIENCE`."""

    topic: str
    form: str
    text: str


def captions(reference: Garment, target: Garment, rng: RandomStream) -> tuple[str, str]:
    """Two captions for one pair, by two people; the second seldom repeats the first."""
    first, topics = _caption(reference, target, rng, ())
    second, _ = _caption(reference, target, rng, topics)
    if second == first:
        second, _ = _caption(reference, target, rng, topics)
    return first, second


def _caption(reference: Garment, target: Garment, rng: RandomStream, used: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    topics = {topic: _SALIENCE[topic] * (0.4 if topic in used else 1.0) for topic in _topics(reference, target)}
    number = weighted({1: 52, 2: 45, 3: 3}, rng)
    claims: list[Claim] = []
    while topics and len(claims) < number:
        topic = weighted(topics, rng)
        del topics[topic]
        claim = _say(topic, reference, target, rng)
        claims.append(claim)
        if topic in ("color", "lightness"):  # few people say "darker and black"
            topics = {t: share * (0.15 if t in ("color", "lightness") else 1) for t, share in topics.items()}
        if topic == "same":
            topics.pop("vague", None)
    return _finish(_sentence(claims, target, rng), rng), tuple(claim.topic for claim in claims)


def _topics(a: Garment, b: Garment) -> Iterator[str]:
    """Topics that apply to a pair."""
    changed = differences(a, b)
    if "color" in changed or ("second" in changed and b.second):
        yield "color"
    if "pattern" in changed or "detail" in changed:
        yield "pattern"
    for topic in ("sleeve", "length", "neck", "fit", *SWITCHES):
        if topic in changed:
            yield topic
    if "straps" in changed and b.straps != "none":
        yield "straps"
    if abs(lightness(a) - lightness(b)) >= LIGHTNESS_STEP:
        yield "lightness"
    if abs(reveals(a) - reveals(b)) >= REVEALING_STEP:
        yield "revealing"
    yield "vague"
    if _unchanged(a, b):
        yield "same"


def _unchanged(a: Garment, b: Garment) -> tuple[str, ...]:
    changed, same = differences(a, b), []
    for topic in ("sleeve", "neck", "length", "fit", "color"):
        if topic not in changed and (topic != "color" or a.second == b.second):
            same.append(topic)
    if b.pattern != "solid" and not {"pattern", "detail"} & set(changed):
        same.append("pattern")
    return tuple(same)


def _say(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Claim:
    options = _VOICES.get(topic, _switch)(topic, a, b, rng)
    form, phrases = weighted(dict(options), rng)
    return Claim(topic, form, _filled(topic, _pick(phrases, rng), a, b, rng))


Options = list[tuple[tuple[str, str], float]]  # ((form, phrases), share)


def _color(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    options: Options = []
    if a.color != b.color:
        options.append((("is", words.COLOR_IS), 5.0))
        if b.pattern == "solid":
            options.append((("is", words.SOLID_IS), 2.0))
    if b.second:
        options.append((("is", words.TWO_IS if garments.covers(b) < 0.4 else words.TWO_IS_EVEN), 3.0))
        if b.second not in (a.second, a.color):
            options.append((("has", words.SECOND_HAS), 1.0))
    return options


def _pattern(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    if a.pattern == b.pattern == "graphic":
        return [(("has", words.GRAPHIC_NEW), 1.0)]
    if a.pattern == b.pattern:  # the stripes turned
        return [(("has", "{direction} stripes|stripes going {way}|lines going {way}"), 3.0), (("is", "striped {way}"), 1.0)]
    options = [(("is", words.PATTERN_IS[b.pattern]), 3.0), (("has", words.PATTERN_HAS[b.pattern]), 3.0)]
    if a.pattern != "solid":
        options.append((("has", words.NO_PATTERN[a.pattern]), 1.2 if b.pattern == "solid" else 0.4))
        options.append((("has", f"{words.INSTEAD[b.pattern]} instead of {words.INSTEAD[a.pattern]}"), 0.6))
    return options


def _sleeve(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    longer = SLEEVES.index(b.sleeve) > SLEEVES.index(a.sleeve)
    options = [(("is", words.SLEEVE_IS[b.sleeve]), 2.0), (("has", words.SLEEVE_HAS[b.sleeve]), 3.0)]
    if b.sleeve != "none":
        options.append((("has", words.SLEEVE_LONGER if longer else words.SLEEVE_SHORTER), 4.0))
    if a.sleeve == "none":
        options.append((("has", "sleeves|sleeves on it|actual sleeves"), 1.0))
    return options


def _length(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    longer = LENGTHS.index(b.length) > LENGTHS.index(a.length)
    return [
        (("is", words.LENGTH_LONGER if longer else words.LENGTH_SHORTER), 6.0),
        (("is", words.LENGTH_IS[b.kind][b.length]), 2.0),
        (("has", words.LENGTH_HAS[b.kind]["longer" if longer else "shorter"]), 1.0),
    ]


def _neck(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    options = [(("has", words.NECK_HAS[b.neck]), 5.0), (("is", words.NECK_IS[b.neck]), 1.3), (("has", words.NECK_OTHER), 0.5)]
    if a.neck in _DEPTH and b.neck in _DEPTH and _DEPTH[a.neck] != _DEPTH[b.neck]:
        options.append((("has", words.NECK_LOWER if _DEPTH[b.neck] > _DEPTH[a.neck] else words.NECK_HIGHER), 1.2))
    if a.neck == "collar":
        options.append((("has", words.NO_COLLAR), 1.5))
    return options


def _fit(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    tighter = FITS.index(b.fit) < FITS.index(a.fit)
    options = [
        (("is", words.FIT_TIGHTER if tighter else words.FIT_LOOSER), 5.0),
        (("has", words.FIT_HAS["tight" if tighter else "loose"]), 1.0),
    ]
    if b.fit != "regular":
        options.append((("is", words.FIT_IS[b.fit]), 2.0))
        if b.kind == "dress":
            options.append((("is", words.DRESS_FIT_IS[b.fit]), 1.0))
    return options


def _straps(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    # "wider straps" needs straps to compare with; otherwise the plain words are used
    plain = "|".join(p for p in words.STRAPS_HAS[b.straps].split("|") if a.straps != "none" or not p.split()[0].endswith("er"))
    return [(("has", plain), 1.0)]


def _switch(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    if not getattr(b, topic):
        return [(("has", words.SWITCH_GONE[topic]), 1.0)]
    return [(("has", words.SWITCH_HAS[topic]), 3.0), (("is", words.SWITCH_IS[topic]), 1.0)]


def _lightness(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    return [(("is", words.DARKER if lightness(b) < lightness(a) else words.LIGHTER), 1.0)]


def _revealing(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    return [(("is", words.MORE_REVEALING if reveals(b) > reveals(a) else words.LESS_REVEALING), 1.0)]


def _same(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    what = rng.pick(_unchanged(a, b))
    return [((form, table[what]), 1.0) for form, table in (("is", words.SAME_IS), ("has", words.SAME_HAS)) if what in table]


def _vague(topic: str, a: Garment, b: Garment, rng: RandomStream) -> Options:
    changed, cues = differences(a, b), {"any": 1.0}
    if "pattern" in changed:
        cues[b.pattern] = 1.5
    if "length" in changed and b.kind == "dress":
        cues["long" if LENGTHS.index(b.length) > LENGTHS.index(a.length) else "short"] = 1.5
    if "fit" in changed:
        cues["tight" if FITS.index(b.fit) < FITS.index(a.fit) else "loose"] = 1.0
    if abs(reveals(a) - reveals(b)) > 0.4:
        cues["bare" if reveals(b) > reveals(a) else "covered"] = 0.8
    if abs(lightness(a) - lightness(b)) > LIGHTNESS_STEP:
        cues["dark" if lightness(b) < lightness(a) else "light"] = 0.8
    return [(("is", words.VAGUE[weighted(cues, rng)]), 1.0)]


_VOICES: dict[str, Callable[[str, Garment, Garment, RandomStream], Options]] = {
    "color": _color,
    "pattern": _pattern,
    "sleeve": _sleeve,
    "length": _length,
    "neck": _neck,
    "fit": _fit,
    "straps": _straps,
    "lightness": _lightness,
    "revealing": _revealing,
    "same": _same,
    "vague": _vague,
}


# --- from claims to a sentence ------------------------------------------------------------------------------------------


@cache
def _split(phrases: str) -> tuple[str, ...]:
    return tuple(phrases.split("|"))


def _pick(phrases: str, rng: RandomStream) -> str:
    """One of the synonyms, the first ones more often."""
    options = _split(phrases)
    return options[int(len(options) * rng.uniform()[()] ** 1.7)]


def _name(color: str, rng: RandomStream) -> str:
    options = _split(words.COLOR_NAMES[color])
    return options[0] if rng.chance(0.6) else rng.pick(options)


def _filled(topic: str, phrase: str, a: Garment, b: Garment, rng: RandomStream) -> str:
    """The phrase with its slots filled."""
    slots: dict[str, Callable[[], str]] = {
        "c": lambda: _name(b.color, rng),
        "plain": lambda: _split(words.COLOR_NAMES[b.color])[0],
        "d": lambda: _name(b.second, rng),
        "second": lambda: _name(b.second, rng),
        "direction": lambda: b.detail,
        "way": lambda: rng.pick(_split(words.WAYS[b.detail])),
        "motif": lambda: _pick(words.MOTIFS[b.detail], rng),
        "old": lambda: _pick(words.MOTIFS[a.detail], rng),
        "belt": lambda: rng.pick(_split(_BELTS[garments.takes_light_trim(b.color)])),
        "much": lambda: rng.pick(_split(_much(topic, a, b))),
    }
    text = re.sub(r"\{(\w+)\}", lambda match: slots[match[1]](), phrase)
    text = re.sub(r"\bno an? ", "no ", text)
    text = re.sub(r"\bcolored (colored|coloured|in color|toned|color)\b", "colored", text)
    return re.sub(r"\ba (?=[aeio])", "an ", text)


def _much(topic: str, a: Garment, b: Garment) -> str:
    """Words for the size of a difference, which is large from two steps on."""
    if topic in _STEPS:
        steps = abs(_STEPS[topic].index(getattr(b, topic)) - _STEPS[topic].index(getattr(a, topic)))
    elif topic == "lightness":
        steps = abs(lightness(b) - lightness(a)) / 0.2
    else:
        steps = abs(reveals(b) - reveals(a)) / 0.8
    return words.MUCH if steps >= 2 else words.A_LITTLE


def _sentence(claims: list[Claim], target: Garment, rng: RandomStream) -> str:
    """One or more claims joined as people join them, mostly as fragments."""
    claims = sorted(claims, key=lambda claim: claim.form == "has") if rng.chance(0.55) else claims
    text, form = claims[0].text, claims[0].form
    for claim in claims[1:]:
        if claim.form == form:
            joint = weighted({" and ": 14, ", ": 1, " but ": 1, " and also ": 0.4}, rng)
            again = f"{claim.form} " if rng.chance(0.15) else ""
            text += f"{joint}{again}{claim.text}"
        elif claim.form == "has":
            joint = weighted({" with ": 5, " and has ": 5, " and ": 0.7, " and with ": 0.3, " but has ": 0.5}, rng)
            text += f"{joint}{claim.text}"
        else:
            text += f"{rng.pick((' and is ', ' and is ', ' and ', ' but is '))}{claim.text}"
        form = claim.form
    return _opened(text, claims[0].form, len(claims), target, rng)


def _opened(text: str, form: str, number: int, target: Garment, rng: RandomStream) -> str:
    """The text alone, or after a verb and perhaps a subject. A single claim becomes a sentence more often than two."""
    noun = rng.pick(_split(words.NOUNS[target.kind]))
    single = 2.2 if number == 1 else 0.8
    if form == "is":
        opening = weighted(
            {
                "is ": 60,
                "": 14,
                "it is ": 4 * single,
                f"the {noun} is ": 5 * single,
                "looks ": 1 * single,
                "it's ": single,
                "appears ": 0.5,
                "should be ": 0.6 * single,
                f"this {noun} is ": single,
                f"the desired {noun} is ": 0.7 * single,
            },
            rng,
        )
        if text.startswith(("a ", "an ", "in ", "the ", "without ", "down ")) and opening in ("looks ", "appears "):
            opening = "is "
    else:
        opening = weighted(
            {
                "has ": 60,
                "": 9,
                "it has ": 4 * single,
                f"the {noun} has ": 5 * single,
                "with ": 4,
                "comes with ": single,
                "features ": 0.8,
                f"a {noun} with ": 2.5 * single,
                "shows ": 0.4,
                f"this {noun} has ": single,
                "there is " if text.startswith("a ") else "with ": 0.5,
            },
            rng,
        )
    return re.sub(r"\ba (?=[aeio])", "an ", opening) + text


def _finish(text: str, rng: RandomStream) -> str:
    """How people type: capitals, periods, typos."""
    if rng.chance(0.014):
        text = " ".join(words.MISSPELLED.get(word, word) for word in text.split())
    if rng.chance(0.12):
        text = text[0].upper() + text[1:]
    if rng.chance(0.09):
        text += "."
    return text
