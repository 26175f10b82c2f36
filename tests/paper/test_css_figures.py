"""The figures on CSS: computed once, kept, drawn the same again."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from maaf_lab.data.mark import MARK
from maaf_lab.errors import ConfigError
from maaf_lab.paper.figures import open_figures
from maaf_lab.plots.attention import avoidance_figure, color_images_figure, head_ablation_figure


@pytest.fixture(scope="module")
def experiment(figure_roots, tmp_path_factory):
    return open_figures(profile="smoke", steps=3, device="cpu", out=tmp_path_factory.mktemp("out"), **figure_roots)


def test_what_was_computed_is_kept(experiment, figure_roots, tmp_path, request):
    positions, colors, avoidance, heads = experiment.positions(), experiment.colors(), experiment.avoidance(), experiment.heads()
    assert len(positions.maps) == 9 and 4 <= len(colors.images) <= 8 and set(heads["head"]) == {0, 1, 2, 3, 4}
    assert len(list((Path(figure_roots["runs_root"]) / "figures").glob("*.npz"))) == 4
    request.getfixturevalue("no_training")  # without data and runs, nothing can be computed again but by training
    where = {"data_root": tmp_path / "no data", "runs_root": tmp_path, "records": figure_roots["runs_root"]}
    again = open_figures(profile="smoke", steps=3, **where)
    assert again.positions().counts == positions.counts
    assert all(np.allclose(again.positions().maps[word], positions.maps[word]) for word in positions.maps)
    assert all(np.allclose(again.colors().images[c], colors.images[c], atol=1e-3) for c in colors.images)
    pd.testing.assert_frame_equal(again.avoidance(), avoidance, check_dtype=False)
    pd.testing.assert_frame_equal(again.heads(), heads, check_dtype=False)
    assert not list(tmp_path.iterdir()), "records are only read"
    other = open_figures(profile="smoke", steps=4, **where)
    assert other.config_name != experiment.config_name


def test_files_are_the_same_again(experiment):
    draw = [
        lambda: color_images_figure(experiment.colors().images, experiment.colors().counts, experiment.caption()),
        lambda: avoidance_figure(experiment.avoidance(), experiment.caption()),
        lambda: head_ablation_figure(experiment.heads(), "x"),
    ]
    for number, figure in enumerate(draw):
        experiment.save(figure(), f"a{number}")
        before = [(experiment.out / f"a{number}.{kind}").read_bytes() for kind in ("png", "svg")]
        experiment.save(figure(), f"a{number}")
        assert before == [(experiment.out / f"a{number}.{kind}").read_bytes() for kind in ("png", "svg")]
        assert before[0].startswith(b"\x89PNG") and b"<svg" in before[1]


def test_captions_say_what_the_data_is(experiment):
    assert experiment.caption().startswith("synthetic css") and experiment.config_name in experiment.caption()


def test_the_papers_data_has_no_boxes(figure_roots, tiny_css, tmp_path):
    published = tmp_path / "data" / "css"
    shutil.copytree(tiny_css, published, ignore=shutil.ignore_patterns(MARK))
    with pytest.raises(ConfigError, match="only synthetic CSS has"):
        open_figures(profile="paper", **{**figure_roots, "data_root": published.parent}).avoidance()
    with pytest.raises(ConfigError, match="unknown profile"):
        open_figures(profile="laptop top")


def test_the_shipped_model_needs_no_data_to_be_named(tmp_path):
    experiment = open_figures(data_root=tmp_path, runs_root=tmp_path)
    assert "size=full" in experiment.origin and experiment.config_name.startswith("css-maaf-") and not list(tmp_path.iterdir())
