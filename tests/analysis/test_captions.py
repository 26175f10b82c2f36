"""Caption statistics against counts made by hand, and against the published annotations where they are at hand."""

import pytest

from maaf_lab.analysis.captions import caption_frame, caption_statistics, commonest
from maaf_lab.data.datasets.fashion_iq import FashionIQ
from maaf_lab.errors import DataError
from maaf_lab.paper.printed import paper_captions
from maaf_lab.synthetic import registry as sets


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
    with pytest.raises(DataError, match="at least one caption"):
        caption_statistics([])


def test_the_published_captions_of_fashion_iq(published, annotations_only):
    found = caption_statistics(annotations_only(FashionIQ)(published("fashion_iq")).load("train").texts)
    assert found["captions"] == 36_000 and found["words"] == 3_945 and round(found["tokens a caption"], 1) == 5.3


def test_made_captions_are_like_the_published_ones():
    """Not word for word, but in length: within a fifth of what the paper or the published files say."""
    birds = paper_captions("birds_to_words").set_index("statistic")["value"]["tokens a caption"]
    for name, told in (("fashion_iq", 5.3), ("birds_to_words", birds), ("mit_states", 1.0)):
        texts = sets.training_texts(name, "tiny")
        assert abs(caption_statistics(texts)["tokens a caption"] - told) < 0.2 * told, name
