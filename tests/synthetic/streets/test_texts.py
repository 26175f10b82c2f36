"""Sentences are true; in a clip only the sentence identifies the target."""

import json
import re

import numpy as np
import pytest

from maaf_lab.data.datasets.spot_the_diff import SpotTheDiff
from maaf_lab.synthetic.streets.dataset import describe, load_sidecar
from maaf_lab.synthetic.streets.things import CAR_COLORS, CAR_KINDS, PERSON_KINDS, SHIRTS


@pytest.fixture(scope="module")
def pairs(full):
    """Pairs of one split of a full set, as the sidecar describes them, with their sentences."""
    return [(describe(0, pair), pair.entries) for pair in full["val"]]


_C = f"(?:{'|'.join({*CAR_COLORS, *SHIRTS})})"


_PLACE = (
    r"near the (?:entrance|tree|lamp post)|on the crosswalk|in the (?:back|front) on the (?:left|right)|"
    r"in the middle of the (?:back|front)|in the middle|on the (?:left|right)"
)


_NAME = (
    rf"(?:(?P<color>{_C}) )?(?P<kind>{'|'.join((*CAR_KINDS, *PERSON_KINDS))}|vehicle|person)"
    rf"(?: in (?:a )?(?P<shirt>{_C})(?: shirt)?)?(?: with an? (?P<extra>umbrella|bag))?(?: (?P<place>{_PLACE}))?"
)


GONE = re.compile(
    rf"(?:the |a )?{_NAME} (?:is gone|is no longer there|is missing|has left|is not there anymore|is gone now|"
    rf"is no longer in the picture)|there is no longer a (?P<rest>.+)"
)


NEW = re.compile(
    rf"(?:there is a |there is now a |a new |a ){_NAME} ?(?:now|has appeared|appeared|is|that was not there before)*"
    rf"(?: (?P<at>{_PLACE}))?(?: that was not there before| now)?"
)


MOVED = re.compile(
    rf"(?:the |a ){_NAME} (?:is (?P<now>{_PLACE}) now|has moved and is now (?P<then>{_PLACE})|"
    rf"(?:has moved to|moved to|is further to) the (?P<side>left|right)|"
    rf"is (?P<depth>closer to the camera|farther away))"
)


COUNT = re.compile(r"there (?:are|is) (?P<n>one |two |three )?(?P<how>more|less|fewer) (?P<what>people|person|cars?)")


def at(place, thing):
    if place is None:
        return True
    if place.startswith("near the "):
        return place.removeprefix("near ") in thing["landmarks"]
    if place == "on the crosswalk":
        return "the crosswalk" in thing["landmarks"]
    tests = {
        "left": thing["x"] < 0.4,
        "right": thing["x"] > 0.6,
        "middle": 0.36 < thing["x"] < 0.64,
        "back": thing["y"] < 0.58,
        "front": thing["y"] > 0.8,
    }
    return all(good for word, good in tests.items() if word in place.split())


def fits(match, thing):
    kind, car = match["kind"], thing["kind"] in CAR_KINDS
    return (
        ((kind == "vehicle" and car) or (kind == "person" and not car) or kind == thing["kind"])
        and all(match[key] in (None, thing[of]) for key, of in (("color", "color"), ("shirt", "color"), ("extra", "extra")))
        and at(match["place"], thing)
    )


def key(thing):
    return thing["spot"], thing["kind"], thing["color"], thing["extra"], thing["look"]


def holds(text, pair):
    """Whether a sentence is true of a pair as the sidecar describes it."""
    before, after = pair["before"], pair["after"]
    there, then = {key(t) for t in before}, {key(t) for t in after}
    count = COUNT.fullmatch(text)
    if count:
        cars = count["what"].startswith("car")
        more = sum((t["kind"] in CAR_KINDS) == cars for t in after) - sum((t["kind"] in CAR_KINDS) == cars for t in before)
        number = {"one ": 1, "two ": 2, "three ": 3}.get(count["n"])
        return (more > 0) == (count["how"] == "more") and more != 0 and number in (None, abs(more))
    gone = GONE.fullmatch(text)
    if gone and gone["rest"]:
        name = re.fullmatch(_NAME, gone["rest"])
        return any(fits(name, t) for t in before) and not any(fits(name, t) for t in after)
    if gone:
        return any(fits(gone, t) and key(t) not in then for t in before)
    moved = MOVED.fullmatch(text)
    if moved:
        for t in (t for t in before if fits(moved, t) and key(t) not in then):
            for u in (u for u in after if key(u)[1:] == key(t)[1:] and key(u) not in there):
                side, depth = moved["side"], moved["depth"]
                if (
                    at(moved["now"] or moved["then"], u)
                    and (not side or (u["x"] > t["x"]) == (side == "right"))
                    and (not depth or (u["y"] > t["y"]) == (depth == "closer to the camera"))
                ):
                    return True
        return False
    new = NEW.fullmatch(text)
    assert new, f"a sentence that nobody can read: {text!r}"
    return any(fits(new, t) and at(new["at"], t) and key(t) not in there for t in after)


def test_every_sentence_is_true_and_few_are_true_the_other_way_round(pairs):
    texts = [(text, pair) for pair, entries in pairs for entry in entries for text in entry if text]
    assert len(texts) > 900
    assert all(holds(text, pair) for text, pair in texts)
    assert np.mean([holds(text, {**pair, "before": pair["after"], "after": pair["before"]}) for text, pair in texts]) < 0.05


def test_a_sentence_tells_the_target_from_the_clip(pairs):
    clip = [(pair, entries) for pair, entries in pairs if pair["clip"] == 2]
    frames = [scene for pair, _ in clip for scene in (pair["before"], pair["after"])]
    assert len({tuple(sorted(key(t)[:4] for t in frame)) for frame in frames}) == len(frames) == 40
    distance, true = [], []
    for pair, entries in clip:
        own = {key(t) for t in pair["before"]}
        others = [f for f in frames if f is not pair["before"]]
        gaps = [len(own ^ {key(t) for t in f}) for f in others]
        distance.append(np.mean([g <= gaps[others.index(pair["after"])] for g in gaps]))
        true += [np.mean([holds(text, {**pair, "after": f}) for f in others]) for entry in entries for text in entry if text]
    assert np.mean(distance) > 0.1  # other frames of the clip are as near to the reference as the target is
    assert np.mean(true) < 0.5  # and a sentence rules out most of them


def test_loaded_queries_are_true_of_the_sidecars_pairs(drawn):
    folder = drawn("spot_the_diff")
    shown = load_sidecar(folder)
    for split in ("train", "val", "test"):
        part, pairs = SpotTheDiff(folder).load(split), {pair["id"]: pair for pair in shown[split]}
        assert all(holds(q.texts[0], pairs[part.images[q.source].id]) for q in part.queries)
        entries = json.loads((folder / f"annotations/{split}.json").read_text())
        assert [entry for entry in entries if entry["sentences"] == [""]]
