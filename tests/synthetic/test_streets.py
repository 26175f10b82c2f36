"""Synthetic Spot-the-Diff: sentences are true, changes show where they happen, clips need the text, same seed, same bytes."""

import hashlib
import json
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image as PILImage

from maaf_lab.data.datasets.spot_the_diff import SpotTheDiff
from maaf_lab.data.text import tokenize
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.synthetic.streets import dataset as streets
from maaf_lab.synthetic.streets.dataset import describe, load_sidecar, make_spot_the_diff, plan
from maaf_lab.synthetic.streets.texts import box
from maaf_lab.synthetic.streets.things import CAR_COLORS, CAR_KINDS, PERSON_KINDS, SHIRTS, Thing, draw_scene
from maaf_lab.synthetic.streets.views import VIEWS, view

PIXELS = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.sched_getaffinity", lambda process: {0}, raising=False)
        return make_spot_the_diff(tmp_path_factory.mktemp("made") / "streets", "tiny", PIXELS, seed=3, progress=False)


@pytest.fixture(scope="module")
def full():
    return plan("full", 0)


@pytest.fixture(scope="module")
def pairs(full):
    """Pairs of one split of a full set, as the sidecar tells them, with their sentences."""
    return [(describe(0, pair), pair.entries) for pair in full["val"]]


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- a slow reader of sentences, on purpose not the package's -----------------------------------------------------------

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
    """Whether a sentence is true of a pair as the sidecar tells it."""
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


# --- texts --------------------------------------------------------------------------------------------------------------


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


def test_statistics(full):
    assert {split: len(own) for split, own in full.items()} == {"train": 3000, "val": 500, "test": 500}
    texts = [text for own in full.values() for pair in own for entry in pair.entries for text in entry]
    assert 0.001 < texts.count("") / len(texts) < 0.006  # published: 53 of 17,676
    lengths = [len(tokenize(text)) for text in texts if text]
    assert 8 < np.mean(lengths) < 13 and min(lengths) >= 4 and max(lengths) < 26
    assert 1.05 < np.mean([len(pair.entries) for pair in full["train"]]) < 1.2  # published: 9,524 entries of 8,566 pairs
    assert set(Counter(len(pair.changes) for pair in full["train"])) == {1, 2, 3}
    ids = [pair.id for own in full.values() for pair in own]
    assert len(set(ids)) == len(ids) and {pair.view for pair in full["test"]} == set(range(VIEWS))


# --- pictures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_change_shows_where_it_happens_and_nowhere_else(number):
    own = [pair for pair in plan("tiny", 5)["train"] if pair.view == number][:4]
    assert own
    for pair in own:
        one, two = (draw_scene(scene, 5, number, 112, RandomStream(9)).astype(int) for scene in (pair.before, pair.after))
        differs = np.abs(one - two).sum(-1) > 24
        ys, xs = np.nonzero(differs)
        inside = np.zeros(len(ys), bool)
        for thing in (t for change in pair.changes for t in (change.before, change.after) if t):
            spot = view(5, number).spots[thing.spot]
            x0, y0, x1, y1 = (112 * v for v in box(thing, spot))
            tall = y1 - y0
            beside, above = 3 + 0.6 * tall, 3 + 0.3 * tall  # umbrellas and shadows stand out of the box
            inside |= (xs > x0 - beside) & (xs < x1 + beside) & (ys > y0 - above) & (ys < y1 + 4 + 0.1 * tall)
            there = differs[max(0, int(y0)) : int(y1) + 1, max(0, int(x0)) : int(x1) + 1]
            assert there.mean() > 0.15
        assert inside.all()


def test_kinds_and_colors_show():
    spots = view(0, 0).spots
    car = next(i for i, s in enumerate(spots) if s.holds == "car" and s.y > 0.8 and 0.3 < s.x < 0.7)
    person = next(i for i, s in enumerate(spots) if s.holds == "person" and s.y > 0.7 and 0.3 < s.x < 0.7)
    drawn = {
        t: draw_scene([Thing(*t)], 0, 0, 112, RandomStream(3)).astype(int)
        for t in [(k, c, car) for k in CAR_KINDS for c in CAR_COLORS]
        + [(k, c, person, e) for k in PERSON_KINDS for c in SHIRTS for e in ("", "umbrella", "bag")]
    }
    empty = draw_scene([], 0, 0, 112, RandomStream(3)).astype(int)
    assert all((np.abs(picture - empty).sum(-1) > 40).sum() > 60 for picture in drawn.values())
    for t, picture in drawn.items():
        nearest = min(np.abs(picture - other).sum(-1).clip(0, 60).sum() for u, other in drawn.items() if u != t and u[2] == t[2])
        assert nearest > 400, t


# --- the files ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes(made, tmp_path, cores):
    first = hashes(made)
    assert len(first) == 2 * 75 + 3 + 2
    cores(2)
    assert hashes(make_spot_the_diff(tmp_path / "again", "tiny", PIXELS, seed=3, progress=False)) == first
    cores(1)
    other = hashes(make_spot_the_diff(tmp_path / "other", "tiny", PIXELS, seed=4, progress=False))
    assert set(other) == set(first) and not any(other[name] == first[name] for name in first)


def test_the_loader_reads_what_was_made(made):
    layout = SpotTheDiff(made)
    report = layout.check(progress=False)
    assert report.complete and not report.problems
    shown = load_sidecar(made)
    for split, count in (("train", 45), ("val", 15), ("test", 15)):
        part = layout.load(split)
        assert len(part.images) == 2 * count and part.origin == "synthetic spot_the_diff v1 size=tiny pixels=24 seed=3"
        told = {pair["id"]: pair for pair in shown[split]}
        assert all(holds(q.texts[0], told[part.images[q.source].id]) for q in part.queries)
        silent = [e for e in json.loads((made / f"annotations/{split}.json").read_text()) if e["sentences"] == [""]]
        assert silent
    assert PILImage.open(part.images[0].path).size == (PIXELS, PIXELS)


def test_what_is_refused(made, tmp_path):
    with pytest.raises(ConfigError, match="tiny"):
        make_spot_the_diff(tmp_path / "x", "huge")
    with pytest.raises(DataError, match="another folder"):
        make_spot_the_diff(made, "tiny", PIXELS, seed=5, progress=False)
    with pytest.raises(DataError, match=streets.SIDECAR):
        load_sidecar(tmp_path)
