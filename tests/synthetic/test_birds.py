"""Synthetic Birds-to-Words: paragraphs say what pictures show, a text narrows the search, the same seed gives the same bytes."""

import hashlib
import json
import re
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest

from maaf_lab.data.datasets.birds_to_words import BirdsToWords, swapped
from maaf_lab.data.text import tokenize
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.synthetic.birds import dataset as birds
from maaf_lab.synthetic.birds.dataset import load_sidecar, make_birds_to_words, plan
from maaf_lab.synthetic.birds.drawing import BILLS, COLORS, PLACES, Bird, draw_bird, random_bird
from maaf_lab.synthetic.random_stream import RandomStream

PIXELS = 24


@pytest.fixture(scope="module")
def full():
    return plan("full", 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.sched_getaffinity", lambda process: {0}, raising=False)
        return make_birds_to_words(tmp_path_factory.mktemp("made") / "birds", "tiny", PIXELS, seed=3, progress=False)


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- a slow reader of paragraphs, on purpose not the package's ----------------------------------------------------------

_C = f"({'|'.join(COLORS)})"
_THINGS = {
    rf"(?:an? )?(?:({'|'.join(BILLS)}) )?(?:{_C} )?(?:bill|beak)s?": lambda b, m: (
        m[1] in (None, b["bill"]) and m[2] in (None, b["bill_color"])
    ),
    rf"(?:an? )?(?:(short|long) )?(?:{_C} )?tails?": lambda b, m: m[1] in (None, b["tail_length"]) and m[2] in (None, b["tail"]),
    rf"(?:an? )?{_C} (head|back)s?": lambda b, m: b[m[2]] == m[1],
    rf"(?:an? )?{_C} (?:belly|bellies|undersides?)": lambda b, m: b["belly"] == m[1],
    r"(?:a )?(long|short) necks?": lambda b, m: b["neck"] == m[1],
    rf"{_C} wings": lambda b, m: b["wing"] == m[1],
    rf"{_C} legs": lambda b, m: b["legs"] == m[1] and b["pose"] in ("perched", "standing"),
    r"no rings? around (?:its|their) eyes?": lambda b, m: b["ring"] == "none",
    rf"(?:a )?{_C} rings? around (?:its|their) eyes?": lambda b, m: b["ring"] == m[1],
    r"(spots|stripes) on its belly": lambda b, m: b["pattern"] == {"spots": "spotted", "stripes": "striped"}[m[1]],
    r"(?:a )?(plain|spotted|striped) bell(?:y|ies)": lambda b, m: b["pattern"] == m[1],
    r"(no )?white bars on (?:its|their) wings": lambda b, m: b["bars"] == (m[1] is None),
    r"(?:a crest on its head|crests on their heads)": lambda b, m: b["crest"],
    r"no crest on its head": lambda b, m: not b["crest"],
}
_PLACES = {
    "perched on a branch": "branch",
    "sitting on a branch": "branch",
    "standing in the grass": "grass",
    "standing on the grass": "grass",
    "standing on the sand": "sand",
    "standing on sandy ground": "sand",
    "swimming in the water": "water",
    "floating on the water": "water",
    "flying": "sky",
    "in flight": "sky",
    "flying in the sky": "sky",
}
_ORDER = {"small": 0, "medium": 1, "large": 2}


def shows(bird, phrase):
    for pattern, test in _THINGS.items():
        match = re.fullmatch(pattern, phrase)
        if match:
            return test(bird, match)
    raise AssertionError(f"a phrase that nobody can read: {phrase!r}")


def true_of(text, a, b):
    """Whether every statement of a paragraph holds for the two birds (dicts)."""
    text = re.sub(r"animal ([12])", r"animal\1", text.lower()).rstrip(".")
    clauses = re.split(r", while | while |, whereas | but |, and (?=animal)| and (?=animal)|, (?=animal)|\. ", text)
    subject, good = None, True
    for clause in clauses:
        match = re.fullmatch(r"(?:unlike )?(?:animal([12])|(the other one))(?: which)? has (.+)", clause)
        longer = re.fullmatch(
            r"animal([12]) has a (longer|shorter) (neck|tail)|the (neck|tail) of animal([12]) is longer", clause
        )
        size = re.fullmatch(
            r"animal([12]) (?:is|looks) (?:the )?(?:much )?(larger|bigger|smaller)(?: overall| in size| one of the two)?", clause
        )
        both = re.fullmatch(r"(?:both animals|they both|both) have (.+)", clause)
        state = re.fullmatch(r"animal([12]) is (.+)", clause)
        if longer:
            key = {"neck": "neck", "tail": "tail_length"}[longer[3] or longer[4]]
            one, two = (a, b) if (longer[1] or longer[5]) == "1" else (b, a)
            good &= (one[key], two[key]) == (("short", "long") if longer[2] == "shorter" else ("long", "short"))
        elif match:
            subject = int(match[1]) if match[1] else 3 - subject
            good &= all(shows((a, b)[subject - 1], phrase) for phrase in re.split(r", | and ", match[3]))
        elif size:
            one, two = (a, b) if size[1] == "1" else (b, a)
            gap = _ORDER[one["size"]] - _ORDER[two["size"]]
            good &= (gap < 0 if size[2] == "smaller" else gap > 0) and ("much" not in clause or abs(gap) == 2)
        elif both:
            good &= all(shows(bird, phrase) for bird in (a, b) for phrase in re.split(r", | and ", both[1]))
        else:
            assert state, clause
            bird = (a, b)[int(state[1]) - 1]
            facing = re.fullmatch(r"(?:facing|facing to the|looking to the) (left|right)", state[2])
            good &= bird["facing"] == facing[1] if facing else bird["place"] == _PLACES[state[2]]
    return good


def told(full):
    """(bird 1, bird 2, text, split) of every row."""
    shown, rows = full
    everything = {name: asdict(bird) for own in shown.values() for name, bird in own.items()}
    return [(everything[row[1].rsplit("/", 1)[-1]], everything[row[5].rsplit("/", 1)[-1]], row[10], row[8]) for row in rows]


# --- texts --------------------------------------------------------------------------------------------------------------


def test_every_paragraph_is_true_of_its_pair_and_few_are_true_the_other_way_round(full):
    rows = told(full)
    assert all(true_of(text, a, b) for a, b, text, _ in rows)
    assert all(true_of(swapped(text), b, a) for a, b, text, _ in rows[::4])  # as training uses them
    assert np.mean([true_of(text, b, a) for a, b, text, _ in rows[::4]]) < 0.02


def test_a_text_and_its_reference_lead_to_the_target(full):
    test = {name: asdict(bird) for name, bird in full[0]["test"].items()}
    fits, found, image_alone = [], [], []
    for row in [row for row in full[1] if row[8] == "test"][::12]:
        source, target = (row[i].rsplit("/", 1)[-1] for i in (1, 5))
        rest = [name for name in test if name != source]
        near = {n: sum(test[n][k] != test[source][k] for k in test[n]) for n in rest}
        true = [n for n in rest if true_of(row[10], test[source], test[n])]
        fits.append(len(true))
        found.append(near[target] == min(near[n] for n in true))
        image_alone.append(near[target] == min(near.values()))
    assert min(fits) >= 1 and np.median(fits) < 30  # of 449: the text narrows the search, and seldom ends it
    assert np.mean(np.array(fits) > 1) > 0.3
    assert np.mean(found) > max(0.75, 0.2 + np.mean(image_alone))  # only both together do


def test_statistics_are_near_the_published_set(full):
    lengths = [len(tokenize(row[10])) for row in full[1]]
    assert 30 < np.mean(lengths) < 36 and min(lengths) >= 10 and max(lengths) < 85  # published: 32.1 a paragraph
    words = Counter(word for row in full[1] for word in tokenize(row[10]))
    assert len(words) > 90 and words["animal1"] > 10_000 and words["animal"] > 300
    assert len({row[10] for row in full[1]}) > 0.99 * len(full[1])
    kinds = Counter(row[7] for row in full[1])
    assert set(kinds) == {"visual", "sameSpecies", "sameGenus", "sameFamily", "sameOrder", "sameClass"}
    assert all((row[2] == row[6]) == (row[7] == "sameSpecies") for row in full[1])
    assert all(row[2].split()[0] == row[6].split()[0] for row in full[1] if row[7] == "sameGenus")
    pairs = Counter((row[1], row[5]) for row in full[1] if row[8] == "train")
    assert len(pairs) == 2300 and set(pairs.values()) == {2, 3}


def test_splits_share_no_picture_and_follow_the_seed(full):
    shown, rows = full
    assert [len(own) for own in shown.values()] == [3450, 450, 450]
    assert len({name for own in shown.values() for name in own}) == 4350
    used = {row[i].rsplit("/", 1)[-1]: row[8] for row in rows for i in (1, 5)}
    assert all(used[name] == split for split, own in shown.items() for name in own)
    assert plan("tiny", 1) == plan("tiny", 1) != plan("tiny", 2)


# --- pictures -----------------------------------------------------------------------------------------------------------

CHANGES = {
    "back": "red",
    "belly": "white",
    "head": "yellow",
    "wing": "orange",
    "tail": "white",
    "bill": "long",
    "bill_color": "red",
    "legs": "orange",
    "ring": "yellow",
    "pattern": "striped",
    "bars": True,
    "crest": True,
    "neck": "long",
    "tail_length": "long",
    "size": "large",
}


@pytest.mark.parametrize("pose", PLACES)
def test_every_attribute_that_a_text_may_tell_shows(pose):
    base = Bird(
        "blue",
        "gray",
        "black",
        "green",
        "black",
        "short",
        "gray",
        "black",
        "none",
        "plain",
        False,
        False,
        "short",
        "short",
        "medium",
        pose,
        "right",
        PLACES[pose][0],
    )
    assert {*CHANGES, "pose", "facing", "place"} == set(asdict(base))
    plain = draw_bird(base, 96, RandomStream(1)).astype(int)
    middle = {}
    for name, value in CHANGES.items():
        other = draw_bird(replace(base, **{name: value}), 96, RandomStream(1)).astype(int)
        ys, xs = np.nonzero(np.abs(other - plain).sum(-1) > 60)
        if name == "legs" and not base.legs_show:
            assert not len(ys)
            continue
        assert len(ys) >= 9, name
        middle[name] = np.median(xs), np.median(ys)
    assert middle["head"][0] > middle["wing"][0] > middle["tail"][0] and middle["head"][1] < middle["belly"][1]
    assert middle["crest"][1] < middle["head"][1] and middle["bill_color"][0] > middle["head"][0]
    heads = {}
    for facing in ("left", "right"):
        picture = draw_bird(replace(base, facing=facing, head="red"), 96, RandomStream(1)).astype(int)
        red = (picture[..., 0] > 120) & (picture[..., 1:].max(-1) < 90)
        assert red.sum() > 40
        heads[facing] = np.median(np.nonzero(red)[1])
    assert heads["left"] + 6 < heads["right"]


def test_colors_differ():
    base = random_bird(RandomStream(4))
    base = replace(base, pose="standing", place="grass", neck="long", ring="none", crest=False)
    pictures = {c: draw_bird(replace(base, head=c), 64, RandomStream(2)).astype(int) for c in COLORS}
    changed = np.abs(pictures["red"] - pictures["white"]).sum(-1) > 150
    tones = {c: p[changed].mean(0) for c, p in pictures.items()}
    gaps = [np.abs(tones[a] - tones[b]).sum() for a in COLORS for b in COLORS if a < b]
    assert changed.sum() > 60 and min(gaps) > 40


# --- the files ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes(made, tmp_path, cores):
    first = hashes(made)
    assert len(first) == 60 + 3
    cores(2)
    assert hashes(make_birds_to_words(tmp_path / "again", "tiny", PIXELS, seed=3, progress=False)) == first
    cores(1)
    other = hashes(make_birds_to_words(tmp_path / "other", "tiny", PIXELS, seed=4, progress=False))
    assert set(other) == set(first) and not any(other[name] == first[name] for name in first)


def test_the_loader_reads_what_was_made(made):
    layout = BirdsToWords(made)
    report = layout.check(progress=False)
    assert report.complete and not report.problems
    train, test = layout.load("train"), layout.load("test")
    assert (len(train.images), len(train.queries)) == (30, 120) and (len(test.images), len(test.queries)) == (15, 20)
    assert test.origin == "synthetic birds_to_words v1 size=tiny pixels=24 seed=3"
    shown = load_sidecar(made)
    for part in (train, test):
        for q in part.queries:
            assert true_of(q.texts[0], shown[part.images[q.source].id], shown[part.images[q.target].id])


def test_what_is_refused(made, tmp_path):
    with pytest.raises(ConfigError, match="tiny"):
        make_birds_to_words(tmp_path / "x", "huge")
    with pytest.raises(DataError, match="another folder"):
        make_birds_to_words(made, "tiny", PIXELS, seed=5, progress=False)
    with pytest.raises(DataError, match=birds.SIDECAR):
        load_sidecar(tmp_path)
    assert json.loads((made / "made.json").read_text())["counts"]["val"] == [15, 20]
