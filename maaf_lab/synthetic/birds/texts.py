"""Paragraphs on the differences of two synthetic birds, in the style of Birds-to-Words. Every statement is true.

A paragraph has statements on topics, mostly topics in which the birds differ, up to a random length. It never describes the
target completely: the rest must be seen in the reference image.
"""

from __future__ import annotations

from dataclasses import replace

from maaf_lab.synthetic.birds.drawing import (
    BILL_COLORS,
    BILLS,
    COLORS,
    LEG_COLORS,
    PATTERNS,
    PLACES,
    RING_COLORS,
    SIZES,
    Bird,
    settled,
)
from maaf_lab.synthetic.canvas import between, shuffled
from maaf_lab.synthetic.random_stream import RandomStream

SHORTEST, LONGEST = 15, 37  # words after which a paragraph ends
SELECTIONS = {
    "sameSpecies": 2,
    "visual": 3,
    "sameGenus": 3,
    "sameFamily": 4,
    "sameOrder": 6,
    "sameClass": 15,
}  # attributes redrawn
_OPTIONS = {
    **dict.fromkeys(("back", "belly", "head", "wing", "tail"), tuple(COLORS)),
    "bill": BILLS,
    "bill_color": BILL_COLORS,
    "legs": LEG_COLORS,
    "ring": RING_COLORS,
    "pattern": PATTERNS,
    "bars": (False, True),
    "crest": (False, True),
    "neck": ("short", "long"),
    "tail_length": ("short", "long"),
    "size": tuple(SIZES),
}
_TOPICS = ("head", "back", "belly", "wing", "tail", "bill", "legs", "ring", "pattern", "bars", "crest", "neck", "size")
_POSES = {
    "branch": ("perched on a branch", "sitting on a branch"),
    "grass": ("standing in the grass", "standing on the grass"),
    "sand": ("standing on the sand", "standing on sandy ground"),
    "water": ("swimming in the water", "floating on the water"),
    "sky": ("flying", "in flight", "flying in the sky"),
}


def relative_of(bird: Bird, selection: str, rng: RandomStream) -> Bird:
    """Another bird, different from `bird` in as many visible attributes as `SELECTIONS` has for its `selection`.

    Pose, background and direction are redrawn half of the time.
    """
    other, left = bird, min(SELECTIONS[selection], len(_OPTIONS))
    for name in shuffled(rng, list(_OPTIONS)):
        if left == 0:
            break
        options = [v for v in _OPTIONS[name] if v != getattr(bird, name) and not (name == "belly" and v == other.back)]
        changed = settled(replace(other, **{name: rng.pick(options)}))
        if getattr(changed, name) != getattr(other, name) and not (name == "legs" and not bird.legs_show):
            other, left = changed, left - 1
    if rng.chance(0.5):
        pose = rng.pick(tuple(PLACES))
        other = replace(other, pose=pose, place=rng.pick(PLACES[pose]), facing=rng.pick(("left", "right")))
    return other


def describe(a: Bird, b: Bird, rng: RandomStream) -> str:
    """A paragraph on animal1 = `a` and animal2 = `b`."""
    style = between(rng, 0, 1)
    names = ("animal1", "animal2") if style < 0.9 else ("Animal 1", "Animal 2") if style < 0.95 else ("animal 1", "animal 2")
    goal = between(rng, SHORTEST, LONGEST)
    differ = shuffled(rng, [topic for topic in _TOPICS if _both_visible(a, b, topic) and _differ(a, b, topic)])
    same = [topic for topic in _TOPICS if _both_visible(a, b, topic) and not _differ(a, b, topic)]
    alike = shuffled(rng, [topic for topic in same if _shown(a, topic)])
    ends = shuffled(rng, [e for e in ("pose", "facing") if getattr(a, e) != getattr(b, e) or rng.chance(0.15)])
    text: list[str] = []
    while sum(len(s.split()) for s in text) < goal and (differ or alike or ends):
        if ends and ((not differ and rng.chance(0.5)) or rng.chance(0.12) or not (differ or alike)):
            text.append(_ending(a, b, names, ends.pop(), rng))
        elif differ and (not alike or rng.chance(0.88)):
            text.append(_difference(a, b, names, differ, rng))
        elif alike:
            topics = [alike.pop() for _ in range(min(len(alike), 2 if rng.chance(0.4) else 1))]
            both = _listed([_has(a, topic, rng, plural=True) for topic in topics])
            text.append(rng.pick(("both animals have {}", "they both have {}", "both have {}")).format(both))
    capital = rng.chance(0.5)  # of sentences that begin with an ordinary word
    return ". ".join(s if s.startswith("animal") or not capital else s[0].upper() + s[1:] for s in text) + "."


def _difference(a: Bird, b: Bird, names: tuple[str, str], differ: list[str], rng: RandomStream) -> str:
    """One statement on the next topics of `differ`, which it removes from the list."""
    pair = [(names[0], a), (names[1], b)]
    if rng.chance(0.3):
        pair.reverse()
    (x, first), (y, second) = pair
    topic = differ.pop()
    longer = _comparison(first, second, x, y, topic, rng)
    if longer and (topic == "size" or rng.chance(0.4)):
        return longer
    topics = [topic]
    while differ and len(topics) < 3 and rng.chance(0.4) and differ[-1] != "size":
        topics.append(differ.pop())
    one = _listed([_has(first, t, rng, second) for t in topics])
    two = _listed([_has(second, t, rng, first) for t in topics])
    forms = [
        "{x} has {one}, while {y} has {two}",
        "{x} has {one}. {y} has {two}",
        "{x} has {one}, and {y} has {two}",
        "{x} has {one} but {y} has {two}",
        "{x} has {one}, whereas {y} has {two}",
        "unlike {x} which has {one}, {y} has {two}",
    ]
    if len(topics) == 1:
        forms += ["{x} has {one}, while the other one has {two}"] * 2
    if rng.chance(0.15):
        forms = ["{y} has {two}"]
    return rng.pick(forms).format(x=x, y=y, one=one, two=two)


def _comparison(first: Bird, second: Bird, x: str, y: str, topic: str, rng: RandomStream) -> str | None:
    """A statement such as "animal1 is larger", for topics that allow one."""
    if topic == "size":
        gap = list(SIZES).index(first.size) - list(SIZES).index(second.size)
        name, words = (x, ("larger", "bigger")) if gap > 0 else (y, ("larger", "bigger"))
        if rng.chance(0.5):
            name, words = (y if name == x else x), ("smaller",)
        how = "much " if abs(gap) == 2 and rng.chance(0.7) else ""
        return rng.pick(
            (
                f"{name} is {how}{{}} overall",
                f"{name} is {how}{{}}",
                f"{name} looks {how}{{}} in size",
                f"{name} is the {{}} one of the two",
            )
        ).format(rng.pick(words))
    if topic == "neck" or (topic == "tail" and first.tail_length != second.tail_length):
        part, attribute = ("neck", "neck") if topic == "neck" else ("tail", "tail_length")
        long, short = (x, y) if getattr(first, attribute) == "long" else (y, x)
        return rng.pick((f"{long} has a longer {part}", f"{short} has a shorter {part}", f"the {part} of {long} is longer"))
    return None


def _ending(a: Bird, b: Bird, names: tuple[str, str], what: str, rng: RandomStream) -> str:
    def direction(bird: Bird) -> str:
        if what == "pose":
            return rng.pick(_POSES[bird.place])
        return rng.pick((f"facing {bird.facing}", f"facing to the {bird.facing}", f"looking to the {bird.facing}"))

    one, two = direction(a), direction(b)
    return rng.pick(
        (
            f"{names[0]} is {one}, and {names[1]} is {two}",
            f"{names[0]} is {one} while {names[1]} is {two}",
            f"{names[1]} is {two}",
            f"{names[0]} is {one}. {names[1]} is {two}",
        )
    )


def _has(bird: Bird, topic: str, rng: RandomStream, other: Bird | None = None, plural: bool = False) -> str:
    """A noun phrase for what the bird has; `other` decides which of two attributes it names."""
    s = "s" if plural else ""

    def a(phrase: str) -> str:
        return phrase + s if plural else f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"

    def of_two(value: str, color: str, same_value: bool, same_color: bool, noun: str) -> str:
        words = [*([] if same_value and rng.chance(0.7) else [value]), *([] if same_color and not same_value else [color])]
        return a(" ".join([*words, noun]))

    whose = "their" if plural else "its"
    if topic == "bill":
        same = (other is not None and other.bill == bird.bill, other is not None and other.bill_color == bird.bill_color)
        return of_two(bird.bill, bird.bill_color, *same, rng.pick(("bill", "bill", "beak")))
    if topic == "tail":
        same = (other is None or other.tail_length == bird.tail_length, other is not None and other.tail == bird.tail)
        return of_two(bird.tail_length, bird.tail, *same, "tail")
    if topic in ("head", "back", "belly", "neck"):
        noun = {"belly": rng.pick(("belly", "belly", "underside")), "neck": "neck"}.get(topic, topic)
        return a(f"{getattr(bird, topic)} {noun}").replace("bellys", "bellies")
    if topic in ("wing", "legs"):
        return f"{getattr(bird, topic)} {'wings' if topic == 'wing' else 'legs'}"
    if topic == "ring":
        around = f"ring{s} around {whose} eye{s}"
        return f"no {around}" if bird.ring == "none" else f"{'' if plural else 'a '}{bird.ring} {around}"
    if topic == "pattern":
        marks = {"spotted": "spots on {} belly", "striped": "stripes on {} belly"}
        if bird.pattern in marks and not plural and rng.chance(0.5):
            return marks[bird.pattern].format(whose)
        return a(f"{bird.pattern} belly").replace("bellys", "bellies")
    if topic == "bars":
        return f"{'white' if bird.bars else 'no white'} bars on {whose} wings"
    return f"{'a' if bird.crest else 'no'} crest on {whose} head" if not plural else "crests on their heads"


def _listed(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _differ(a: Bird, b: Bird, topic: str) -> bool:
    pairs = {"bill": ("bill", "bill_color"), "tail": ("tail", "tail_length")}
    return any(getattr(a, name) != getattr(b, name) for name in pairs.get(topic, (topic,)))


def _both_visible(a: Bird, b: Bird, topic: str) -> bool:
    return topic != "legs" or (a.legs_show and b.legs_show)


def _shown(bird: Bird, topic: str) -> bool:
    """Whether a similarity in this topic is worth a statement (not that both have no crest)."""
    return {"size": False, "ring": bird.ring != "none", "bars": bird.bars, "crest": bird.crest}.get(topic, True)
