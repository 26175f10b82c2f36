"""The plan: statistics near those published."""

from collections import Counter

import numpy as np

from maaf_lab.data.text import tokenize
from maaf_lab.synthetic.streets.views import VIEWS


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
