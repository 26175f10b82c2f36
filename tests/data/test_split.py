"""The protocol in words, of today's datasets and of older records."""

from maaf_lab.data.datasets.birds_to_words import BirdsToWords
from maaf_lab.data.split import Protocol, reworded
from maaf_lab.experiments.runs import finished_runs
from maaf_lab.utils.paths import records_folder
from maaf_lab.utils.registry import DATASETS


def test_a_protocol_in_words():
    assert BirdsToWords.protocol.describe() == (
        "gallery: all images of the split, without the query's own reference; a hit is the target image; ranked by cosine"
    )
    assert "the query's category, the query's own reference included" in Protocol("category", exclude_source=False).describe()


def test_recorded_protocols_are_reworded():
    before = BirdsToWords.protocol.describe().replace("the target image", "an image that shows the image")
    assert reworded(before) == BirdsToWords.protocol.describe() != before
    runs = finished_runs(records_folder("lab"))
    assert len(runs) > 50
    for run in runs:
        assert run.metrics["protocol"] == DATASETS[run.config.data.dataset].protocol.describe()
