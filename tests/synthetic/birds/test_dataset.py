"""The plan: statistics near those published, splits that share no image."""

from collections import Counter

import numpy as np

from maaf_lab.data.text import tokenize
from maaf_lab.synthetic.birds.dataset import plan


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
