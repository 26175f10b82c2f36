"""Runs that are only their ranks."""

from types import SimpleNamespace

import pandas as pd

from maaf_lab.retrieval.rankings import Rankings


class FakeRun:
    """A run that is only its ranks, and the seed that its settings name."""

    def __init__(self, ranks, texts=None, categories=None, name="fake", seed=0):
        count = len(ranks)
        self.name = name
        self.config = SimpleNamespace(train=SimpleNamespace(seed=seed))
        self.rankings = Rankings(
            pd.DataFrame(
                {
                    "query": range(count),
                    "source": [f"s{i}" for i in range(count)],
                    "text": texts or [f"t{i}" for i in range(count)],
                    "target_label": "x",
                    "category": categories or [None] * count,
                    "rank": ranks,
                    "top": [[]] * count,
                    "scores": [[]] * count,
                }
            ),
            "",
        )


def apart(gained, lost, of=1000):
    """Two runs of `of` queries: `gained` that only the first finds, `lost` that only the second finds."""
    rest = of - gained - lost
    return [FakeRun([1] * gained + [99] * lost + [99] * rest)], [FakeRun([99] * gained + [1] * lost + [99] * rest)]
