"""Caption statistics against counts made by hand, and against the published annotations where they are at hand."""

import os
from pathlib import Path

import pytest

from maaf_lab.analysis.captions import caption_frame, caption_statistics, commonest
from maaf_lab.data import dataset as layout
from maaf_lab.data import registry as datasets
from maaf_lab.paper.printed import paper_captions
from maaf_lab.synthetic import registry as sets

PUBLISHED = Path(os.environ.get("MAAF_LAB_PUBLISHED", Path(__file__).parents[3] / "shared" / "data"))


def test_counts():
    texts = ["Is darker, and has longer sleeves", "is blue", "", "blue blue sleeves"]
    assert caption_statistics(texts) == {
        "captions": 4,
        "tokens a caption": 2.75,
        "median": 2.5,
        "longest": 6,
        "words": 7,
        "once": 4,
    }
    assert commonest(texts, 3) == [("blue", 2), ("is", 2), ("sleeves", 2)]
    assert caption_frame({"a": texts, "b": ["x"]})[""].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="at least one caption"):
        caption_statistics([])


def test_the_published_captions_of_fashion_iq(monkeypatch):
    root = PUBLISHED / "fashion_iq"
    if not root.is_dir():
        pytest.skip(f"no published annotations at {root}; name their folder in MAAF_LAB_PUBLISHED")
    monkeypatch.setattr(layout, "damage", lambda path: None)  # only the annotations are at hand
    found = caption_statistics(datasets.load("fashion_iq", root, "train").texts)
    assert found["captions"] == 36_000 and found["words"] == 3_945 and round(found["tokens a caption"], 1) == 5.3


def test_made_captions_are_like_the_published_ones():
    """Not word for word, but in length: within a fifth of what the paper or the published files say."""
    birds = paper_captions("birds_to_words").set_index("statistic")["value"]["tokens a caption"]
    for name, told in (("fashion_iq", 5.3), ("birds_to_words", birds), ("mit_states", 1.0)):
        texts = sets.training_texts(name, "tiny")
        assert abs(caption_statistics(texts)["tokens a caption"] - told) < 0.2 * told, name
