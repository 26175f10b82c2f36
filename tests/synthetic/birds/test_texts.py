"""Paragraphs say what pictures show; a paragraph and its reference lead to the target."""

import re
from dataclasses import asdict

import numpy as np

from maaf_lab.data.datasets.birds_to_words import BirdsToWords, swapped
from maaf_lab.synthetic.birds.dataset import load_sidecar
from maaf_lab.synthetic.birds.drawing import BILLS, COLORS

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


def described(full):
    """(bird 1, bird 2, text, split) of every row."""
    shown, rows = full
    everything = {name: asdict(bird) for own in shown.values() for name, bird in own.items()}
    return [(everything[row[1].rsplit("/", 1)[-1]], everything[row[5].rsplit("/", 1)[-1]], row[10], row[8]) for row in rows]


def test_every_paragraph_is_true_of_its_pair_and_few_are_true_the_other_way_round(full):
    rows = described(full)
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


def test_loaded_queries_are_true_of_the_sidecars_birds(drawn):
    layout, shown = BirdsToWords(drawn("birds_to_words")), load_sidecar(drawn("birds_to_words"))
    for part in (layout.load("train"), layout.load("test")):
        for q in part.queries:
            assert true_of(q.texts[0], shown[part.images[q.source].id], shown[part.images[q.target].id])
