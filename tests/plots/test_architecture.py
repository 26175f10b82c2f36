"""The architecture (Figure 2)."""

import pytest

from maaf_lab.analysis.shapes import model_shapes
from maaf_lab.data.text import Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.models.registry import build_model
from maaf_lab.paper.figures import untrained
from maaf_lab.plots.architecture import architecture_figure
from maaf_lab.profiles import profile_config


def test_shapes_are_the_papers():
    text = "is blue and has longer sleeves"
    shapes = model_shapes(untrained("paper", "fashion_iq", text), 224, text)
    assert shapes["stages"] == {14: (1024, 14, 14), 7: (2048, 7, 7)} and shapes["tokens"] == {14: (196, 512), 7: (49, 512)}
    assert shapes["words"] == text.split() and shapes["row"] == (251, 512) and shapes["attention"] == (2, 8, 251, 251)
    assert shapes["vector"] == (512,)


def test_the_drawing_says_what_the_model_is():
    def words(profile, dataset):
        model = untrained(profile, dataset, "make it red")
        figure = architecture_figure(model, profile_config(profile, dataset).data.pixels, "make it red")
        return " ".join(text.get_text() for text in figure.axes[0].texts)

    smoke = words("smoke", "css")
    assert "49 tokens of 32" in smoke and "52 tokens" in smoke and "1 × attention block" in smoke and "4 heads" in smoke
    assert "80 tokens of 128" in words("laptop", "fashion_iq")
    with pytest.raises(ConfigError, match="the drawing is of MAAF, found tirg"):
        model_shapes(build_model(profile_config("smoke", "css", **{"model.name": "tirg"}).model, Vocabulary(("a",))), 56, "a")
