"""The figures on CSS: computed once, kept, drawn the same again; and their notebooks, from nothing, in the smoke profile."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from maaf_lab import figures
from maaf_lab.config import profile_config
from maaf_lab.data.text import Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.figures import open_figures, untrained
from maaf_lab.models.build import build_model
from maaf_lab.notebooks import execute
from maaf_lab.views.architecture import architecture_figure, model_shapes
from maaf_lab.views.attention import avoidance_figure, color_images_figure, head_ablation_figure

FOLDER = Path(__file__).parent.parent / "notebooks"


@pytest.fixture(scope="module")
def roots(tmp_path_factory, tiny_css):
    return {"data_root": str(tiny_css.parent), "runs_root": str(tmp_path_factory.mktemp("figures"))}


@pytest.fixture(scope="module")
def bench(roots, tmp_path_factory):
    return open_figures(profile="smoke", steps=3, device="cpu", out=tmp_path_factory.mktemp("out"), **roots)


def test_what_was_computed_is_kept(bench, roots, tmp_path, monkeypatch):
    positions, colors, avoidance, heads = bench.positions(), bench.colors(), bench.avoidance(), bench.heads()
    assert len(positions.maps) == 9 and 4 <= len(colors.images) <= 8 and set(heads["head"]) == {0, 1, 2, 3, 4}
    assert len(list((Path(roots["runs_root"]) / "figures").glob("*.npz"))) == 4
    for name in ("position_maps", "color_images", "avoidance", "head_ablation"):
        monkeypatch.setattr(figures, name, lambda *a, **k: pytest.fail("computed again"))
    where = {"data_root": tmp_path / "no data", "runs_root": tmp_path, "records": roots["runs_root"]}
    again = open_figures(profile="smoke", steps=3, **where)
    assert again.positions().counts == positions.counts
    assert all(np.allclose(again.positions().maps[word], positions.maps[word]) for word in positions.maps)
    assert all(np.allclose(again.colors().images[c], colors.images[c], atol=1e-3) for c in colors.images)
    pd.testing.assert_frame_equal(again.avoidance(), avoidance, check_dtype=False)
    pd.testing.assert_frame_equal(again.heads(), heads, check_dtype=False)
    assert not list(tmp_path.iterdir()), "records are only read"
    other = open_figures(profile="smoke", steps=4, **where)
    assert other.config_name != bench.config_name


def test_files_are_the_same_again(bench):
    draw = [lambda: color_images_figure(bench.colors().images, bench.colors().counts, bench.caption()),
            lambda: avoidance_figure(bench.avoidance(), bench.caption()), lambda: head_ablation_figure(bench.heads(), "x")]
    for number, figure in enumerate(draw):
        bench.save(figure(), f"a{number}")
        before = [(bench.out / f"a{number}.{kind}").read_bytes() for kind in ("png", "svg")]
        bench.save(figure(), f"a{number}")
        assert before == [(bench.out / f"a{number}.{kind}").read_bytes() for kind in ("png", "svg")]
        assert before[0].startswith(b"\x89PNG") and b"<svg" in before[1]


def test_captions_say_what_the_data_is(bench):
    assert bench.caption().startswith("made data: made css") and bench.config_name in bench.caption()


def test_the_papers_data_has_no_boxes(roots):
    with pytest.raises(ConfigError, match="only made CSS has"):
        open_figures(profile="paper", **roots).avoidance()
    with pytest.raises(ConfigError, match="unknown profile"):
        open_figures(profile="laptop top")


def test_the_shipped_model_needs_no_data_to_be_named(tmp_path):
    bench = open_figures(data_root=tmp_path, runs_root=tmp_path)
    assert "size=full" in bench.origin and bench.config_name.startswith("css-maaf-") and not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["figure3_positions", "figure5_colors", "heads_css"])
def test_notebooks_in_the_smoke_profile(name, roots, tmp_path):
    settings = {"profile": "smoke", "steps": 3, "records": "", "out": str(tmp_path / "out"), "device": "cpu", **roots}
    done = execute(FOLDER / f"{name}.ipynb", tmp_path, settings, progress=False)
    outputs = [output for cell in nbformat.read(done.ipynb, 4).cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == len(list((tmp_path / "out").glob("*.svg"))) >= 1
    assert "made data" in "".join(output.get("text", "") for output in outputs)


# --- the architecture (Figure 2) --------------------------------------------------------------------------------------

def test_shapes_are_the_papers():
    text = "is blue and has longer sleeves"
    shapes = model_shapes(untrained("paper", "fashion_iq", text), 224, text)
    assert shapes["stages"] == {14: (1024, 14, 14), 7: (2048, 7, 7)} and shapes["tokens"] == {14: (196, 512), 7: (49, 512)}
    assert shapes["words"] == text.split() and shapes["row"] == (251, 512) and shapes["attention"] == (2, 8, 251, 251)
    assert shapes["vector"] == (512,)


def test_the_drawing_says_what_the_model_is():
    def words(profile, dataset):
        model = untrained(profile, dataset, "make it red")
        figure = architecture_figure(model, 56, "make it red")
        return " ".join(text.get_text() for text in figure.axes[0].texts)

    smoke = words("smoke", "css")
    assert "49 tokens of 32" in smoke and "52 tokens" in smoke and "1 × attention block" in smoke and "4 heads" in smoke
    assert "245 tokens of 128" in words("laptop", "fashion_iq")
    with pytest.raises(ConfigError, match="the drawing is of MAAF, found tirg"):
        model_shapes(build_model(profile_config("smoke", "css", **{"model.name": "tirg"}).model, Vocabulary(("a",))), 56, "a")


@pytest.mark.slow
def test_its_notebook(tmp_path):
    settings = {"profile": "smoke", "out": str(tmp_path / "f")}
    done = execute(FOLDER / "figure2_architecture.ipynb", tmp_path / "nb", settings, progress=False)
    assert "(196, 32)" in done.html.read_text() and (tmp_path / "f" / "figure2.svg").is_file()
