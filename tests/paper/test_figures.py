"""The figures: computed once, kept, drawn the same again; and their notebooks, from nothing, in the smoke profile."""

import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image as PILImage

from maaf_lab.analysis.clusters import largest_cluster, mean_image
from maaf_lab.analysis.retrievals import Retrieval, pick_queries
from maaf_lab.analysis.sentences import against_other_words, by_third, heads_that_vary_most, sentence_attention
from maaf_lab.analysis.shapes import model_shapes
from maaf_lab.data.cache import PixelCache
from maaf_lab.data.dataset import MARK
from maaf_lab.data.images import decode
from maaf_lab.data.text import Vocabulary, join, tokenize
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.models.registry import build_model
from maaf_lab.notebooks import execute
from maaf_lab.paper.figures import open_figures, untrained
from maaf_lab.paper.garment_figures import Structure
from maaf_lab.plots.architecture import architecture_figure
from maaf_lab.plots.attention import avoidance_figure, color_images_figure, head_ablation_figure
from maaf_lab.plots.retrieval import retrievals_figure
from maaf_lab.plots.save import save
from maaf_lab.plots.training import curves_figure, ranks_figure, recall_by_type_figure
from maaf_lab.profiles import profile_config
from maaf_lab.retrieval.metrics import bootstrap
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.synthetic.garments.fashion_iq import redraw

FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def roots(tmp_path_factory, tiny_css):
    return {"data_root": str(tiny_css.parent), "runs_root": str(tmp_path_factory.mktemp("figures"))}


@pytest.fixture(scope="module")
def experiment(roots, tmp_path_factory):
    return open_figures(profile="smoke", steps=3, device="cpu", out=tmp_path_factory.mktemp("out"), **roots)


def test_what_was_computed_is_kept(experiment, roots, tmp_path, request):
    positions, colors, avoidance, heads = experiment.positions(), experiment.colors(), experiment.avoidance(), experiment.heads()
    assert len(positions.maps) == 9 and 4 <= len(colors.images) <= 8 and set(heads["head"]) == {0, 1, 2, 3, 4}
    assert len(list((Path(roots["runs_root"]) / "figures").glob("*.npz"))) == 4
    request.getfixturevalue("no_training")  # without data and runs, nothing can be computed again but by training
    where = {"data_root": tmp_path / "no data", "runs_root": tmp_path, "records": roots["runs_root"]}
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


def test_places_of_a_saved_figure_are_rounded(tmp_path):
    """So that the last digits of the layout, which differ between processes, cannot change the file's bytes."""
    figure = retrievals_figure(
        [Retrieval(np.zeros((4, 4, 3), np.uint8), ("a",), (np.zeros((4, 4, 3), np.uint8),) * 3, (False, True, False), 2)],
        "synthetic data",
    )
    save(figure, tmp_path, "a")
    for axis in figure.axes:
        assert axis.get_in_layout() and all(number == round(number, 6) for number in axis.get_position(True).bounds[:2])


# --- statistical figures ----------------------------------------------------------------------------------------------

ROWS = ("Image only", "TIRG", "MAAF")


def _logs(seeds):
    steps = np.arange(50, 301, 50)
    return {
        row: pd.concat(
            [
                pd.DataFrame({"step": steps, "loss": (n + 1) * np.exp(-steps / 200) + 0.1 * seed, "seed": seed})
                for seed in range(seeds)
            ],
            ignore_index=True,
        )
        for n, row in enumerate(ROWS)
    }


def _ranks():
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "row": np.repeat(ROWS, 400),
            "seed": 0,
            "rank": np.concatenate([random.integers(0, high, 400) for high in (900, 300, 60)]),
        }
    )  # 0: no relevant image in the gallery


def _hits():
    random = np.random.default_rng(0)
    lines = [
        (row, kind, query, float(random.random() < 0.2 + 0.2 * n))
        for n, row in enumerate(ROWS)
        for kind in ("add", "change", "remove", "all")
        for query in range(150)
    ]
    return pd.DataFrame(lines, columns=["row", "type", "query", "hit"])


DRAWN = {
    "curves": lambda: curves_figure(_logs(1), "Table 1"),
    "seeds": lambda: curves_figure(_logs(3)),
    "ranks": lambda: ranks_figure(_ranks(), "Table 1"),
    "types": lambda: recall_by_type_figure(_hits(), title="Table 1"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_statistical_figures_are_the_same_again(name, tmp_path):
    files = [[path.read_bytes() for path in save(DRAWN[name](), tmp_path / str(n), "figure")] for n in range(2)]
    assert files[0] == files[1] and files[0][0].startswith(b"\x89PNG")


def test_curves_are_means_over_seeds_with_their_range():
    (axis,) = DRAWN["seeds"]().axes
    lines = {text.get_text(): line for text, line in zip(axis.get_legend().get_texts(), axis.lines, strict=False)}
    assert list(lines) == ["MAAF", "TIRG", "Image only"], "in the order of the lines' ends"
    assert lines["MAAF"].get_ydata() == pytest.approx(3 * np.exp(-np.arange(50, 301, 50) / 200) + 0.1)
    ends = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert ends.max() == pytest.approx(3 * np.exp(-0.25) + 0.2) and ends.min() == pytest.approx(3 * np.exp(-1.5))
    assert "range over 3 seeds" in axis.get_title("left") and "seed" not in DRAWN["curves"]().axes[0].get_title("left")


def test_ranks_are_recalls_at_every_k():
    frame = _ranks()
    (axis,) = DRAWN["ranks"]().axes
    curves = [line for line in axis.lines if len(line.get_xdata()) > 2]  # the dotted lines at 1, 10 and 50 have two ends
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert [label.split(":")[0] for label in labels] == ["MAAF", "TIRG", "Image only"]
    shares = {}
    for curve in curves:
        row = next(row for row, color in _colors_of_rows().items() if color == curve.get_color())
        shares[row] = [curve.get_ydata()[curve.get_xdata() < k + 0.5].max(initial=0) for k in (1, 10, 50, 200)]
    for row in ROWS:
        ranks = frame.loc[frame["row"] == row, "rank"]
        assert shares[row] == pytest.approx([100 * ranks.between(1, k).mean() for k in (1, 10, 50, 200)]), row
        assert f"{row}: {ranks.where(ranks > 0, 10**6).median():,.0f}" in labels
    assert axis.get_ylim()[1] < 101


def test_types_show_recall_with_the_labs_interval():
    frame = _hits()
    figure = DRAWN["types"]()
    panels = {axis.get_title("left"): axis for axis in figure.axes if axis.get_title("left")}
    assert list(panels) == [f"{kind} (n = 150)" for kind in ("add", "change", "remove", "all")]
    for kind, axis in zip(("add", "change", "remove", "all"), panels.values(), strict=True):
        found = [bootstrap(frame[(frame["type"] == kind) & (frame["row"] == row)]["hit"].to_numpy()) for row in ROWS]
        places = np.concatenate([line.get_xdata() for line in axis.lines])
        for estimate in found:
            for value in (estimate.value, estimate.low, estimate.high):
                assert np.isclose(places, value).any(), "dot, and both ends of its interval"
            assert axis.get_xlim()[0] < estimate.low and estimate.high < axis.get_xlim()[1], "nothing is cut off"


def _colors_of_rows():
    """Row -> color, as the curves of the same rows have it."""
    (axis,) = DRAWN["curves"]().axes
    return {text.get_text(): line.get_color() for text, line in zip(axis.get_legend().get_texts(), axis.lines, strict=False)}


def test_a_row_has_one_color_and_baselines_are_gray():
    colors = _colors_of_rows()
    assert colors["Image only"] == "#a8a8a8" and len(set(colors.values())) == 3
    many = {str(n): _logs(1)["MAAF"].assign(loss=lambda log, n=n: log["loss"] + n) for n in range(9)}
    assert len({line.get_color() for line in curves_figure(many).axes[0].lines[:9]}) == 9, "the tables' most rows"


def test_heads_show_what_is_lost_and_its_interval():
    frame = pd.DataFrame(
        [
            (f"block{block}", head, kind, lost, lost - 1, lost + 1)
            for block in range(2)
            for head in (1, 2)
            for kind, lost in (("all", 3.0), ("add", -2.0 * block - head))
        ],
        columns=["attention", "head", "kind", "lost", "lost_low", "lost_high"],
    )
    whole = pd.DataFrame([("", 0, "all", 0.0, 0.0, 0.0)], columns=frame.columns)
    axis = head_ablation_figure(pd.concat([whole, frame])).axes[0]
    texts = [text.get_text() for text in axis.texts]
    assert texts[:8] == ["3.0"] * 4 + ["-1.0", "-2.0", "-3.0", "-4.0"]
    assert texts[8] == "2.0 to 4.0" and texts[15] == "-5.0 to -3.0"
    assert axis.collections[0].get_clim() == (-4, 4), "symmetric around nothing lost"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2\nblock0", "1", "2\nblock1"]


# --- captions ---------------------------------------------------------------------------------------------------------


def test_captions_say_what_the_data_is(experiment):
    assert experiment.caption().startswith("synthetic css") and experiment.config_name in experiment.caption()


def test_the_papers_data_has_no_boxes(roots, tiny_css, tmp_path):
    published = tmp_path / "data" / "css"
    shutil.copytree(tiny_css, published, ignore=shutil.ignore_patterns(MARK))
    with pytest.raises(ConfigError, match="only synthetic CSS has"):
        open_figures(profile="paper", **{**roots, "data_root": published.parent}).avoidance()
    with pytest.raises(ConfigError, match="unknown profile"):
        open_figures(profile="laptop top")


def test_the_shipped_model_needs_no_data_to_be_named(tmp_path):
    experiment = open_figures(data_root=tmp_path, runs_root=tmp_path)
    assert "size=full" in experiment.origin and experiment.config_name.startswith("css-maaf-") and not list(tmp_path.iterdir())


ON_CSS = ("figure3_positions", "figure5_colors", "heads_css")
ON_GARMENTS = ("figure1_retrievals", "figure4_structure", "figure6_words", "figureS1_clusters", "figureS2_retrievals")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ON_CSS, *ON_GARMENTS])
def test_notebooks_in_the_smoke_profile(name, roots, garment_roots, tmp_path):
    where = roots if name in ON_CSS else garment_roots
    settings = {"profile": "smoke", "steps": 3, "records": "", "out": str(tmp_path / "out"), "device": "cpu", **where}
    if name == "figure1_retrievals":
        settings["count"] = 1  # a model of three steps finds little
    done = execute(FOLDER / f"{name}.ipynb", tmp_path, settings, progress=False)
    outputs = [output for cell in nbformat.read(done.ipynb, 4).cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == len(list((tmp_path / "out").glob("*.svg"))) >= 1
    data = f"synthetic {'css' if name in ON_CSS else 'fashion_iq'} v1 size=tiny"
    assert data in "".join(output.get("text", "") for output in outputs)


# --- on Fashion IQ (Figures 1, 4, 6, S1, S2) ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def garment_roots(tmp_path_factory):
    root = tmp_path_factory.mktemp("garments")
    return {"data_root": str(root / "data"), "runs_root": str(root / "runs")}


@pytest.fixture(scope="module")
def garments(garment_roots, tmp_path_factory):
    where = {**garment_roots, "out": tmp_path_factory.mktemp("out")}
    return open_figures("fashion_iq", profile="smoke", steps=3, device="cpu", **where)


def test_the_matrix_is_the_models_own(garments):
    with pytest.raises(ConfigError, match="expected a query from 0 to 89 and a block from 0 to 1, found query 90, block 2"):
        garments.structure(query=90, block=2)
    found, query = garments.structure(query=2), garments.split.queries[2]
    words = tokenize(join(query.texts))
    n = 49 + 196 + len(words)
    assert found.weights.shape == (n, n) and found.tokens[-len(words) :] == tuple(words)
    assert found.spans == {"7x7": (0, 49), "14x14": (49, 245), "text": (245, n)}
    assert np.allclose(found.weights.sum(1), 1, atol=1e-5)
    shares = found.shares()
    assert list(shares.index) == ["7x7", "14x14", "text", "even"] and np.allclose(shares.sum(axis=1), 100)
    assert shares.loc["text", "7x7"] == pytest.approx(100 * found.weights[245:, :49].sum(1).mean(), rel=1e-5)
    signed = Structure(np.array([[-1.0, 3.0], [1.0, 1.0]]), ("a", "b"), {"7x7": (0, 1), "text": (1, 2)}).shares()
    assert signed.loc["7x7"].tolist() == [25, 75] and signed.loc["even"].tolist() == [50, 50]


def test_clusters_are_of_the_category(garments):
    found = garments.clusters(show=3)
    assert list(found) == ["dress", "toptee", "shirt"]
    for category, part in found.items():
        own = [i for i, image in enumerate(garments.split.images) if category in image.categories]
        assert part.count == len(own) >= part.cluster_count >= len(own) / 5 and part.first.shape == (3, 56, 56, 3)
        mean = np.mean([garments.cache.image(i).astype(float) for i in own], 0)
        assert np.abs(part.mean - mean).max() <= 0.5
    with pytest.raises(ConfigError, match="expected at least 5 images for 5 clusters, found 2"):
        largest_cluster(garments.cache, np.arange(2))


def test_the_largest_cluster_is_what_looks_alike(tmp_path):
    """Twelve dark squares among bright and gray ones: they are found, whatever their order."""
    shades = np.repeat([20, 250, 130, 90, 200], [12, 3, 2, 2, 2])
    order = np.random.default_rng(0).permutation(len(shades))
    noise = np.random.default_rng(1).integers(0, 5, (len(shades), 8, 8, 3))
    cache = PixelCache("", (shades[order][:, None, None, None] + noise).astype(np.uint8), None)
    found = largest_cluster(cache, np.arange(len(shades)))
    assert found.tolist() == np.flatnonzero(order < 12).tolist()
    assert mean_image(cache, found).shape == (8, 8, 3) and 18 <= mean_image(cache, found).mean() <= 26


def test_a_sentence_is_put_to_the_cluster(garments):
    found = garments.sentence("dress: is a *longer* dress", images=6)
    assert found.sentence == ("dress", ("is", "a", "longer", "dress"), 2) and found.count == 6
    assert found.maps.shape == (2, 4, 4, 14, 14)  # blocks, heads, words, rows, columns
    part = garments.cluster("dress")[:6]
    image = build_transform("plain", 56).eval(garments.cache.batch(part[:1]))
    _, record = garments.model.embed_query(image, ["is a longer dress"], return_attention=True)
    one = sentence_attention(garments.model, garments.cache, part[:1], "is a longer dress")
    assert np.allclose(one, record.words_to_image("14x14")[:, 0].detach().numpy(), atol=1e-6)
    each = [sentence_attention(garments.model, garments.cache, part[i : i + 1], "is a longer dress") for i in range(6)]
    assert np.allclose(found.maps, np.mean(each, 0), atol=1e-6), "the mean over pictures"
    signed = against_other_words(found.maps, 2)
    assert np.allclose(signed, found.maps[:, :, 2] - found.maps[:, :, [0, 1, 3]].mean(2))
    assert by_third(signed[0]).sum() == pytest.approx(100 * signed[0].sum((-2, -1)).mean(), abs=1e-4)
    assert np.abs(against_other_words(found.maps[:, :, :1], 0).mean()) < 1e-6, "a word alone: less its own mean"


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("is a *longer* dress", 'expected "category: a sentence'),
        ("dress: is longer", "one \\*marked\\* word"),
        ("dress: *is* *longer*", "one \\*marked\\* word"),
        ("dress: is -- *longer*", "one \\*marked\\* word"),
        ("hats: is *longer*", "expected a category of Fashion IQ .* found 'hats'"),
        ("dress: is *xylophone*", "expected words of the training texts, found 'xylophone'"),
    ],
)
def test_a_sentence_that_cannot_be_asked(garments, sentence, message):
    with pytest.raises(ConfigError, match=message):
        garments.sentence(sentence)


def test_retrievals_show_what_was_ranked(garments, garment_roots, tmp_path, request):
    found, frame = garments.retrievals(4, 3, pixels=48), garments.rankings.frame
    chosen = pick_queries(garments.rankings, 4)
    assert len(chosen) == len(set(chosen)) == 4 and chosen == sorted(chosen)
    for item, q in zip(found, chosen, strict=True):
        assert item.texts == garments.split.queries[q].texts and item.rank == frame["rank"].iloc[q]
        assert item.relevant == tuple(place == item.rank for place in (1, 2, 3))
        (drawn,) = redraw([frame["top"].iloc[q][0]], "val", "tiny", 48)
        PILImage.fromarray(drawn).save(tmp_path / "drawn.jpg", quality=92)
        assert np.array_equal(item.results[0], decode(tmp_path / "drawn.jpg"))
    request.getfixturevalue("no_training")  # without data and runs, nothing can be ranked again but by training
    again = open_figures(
        "fashion_iq",
        profile="smoke",
        steps=3,
        records=garment_roots["runs_root"],
        runs_root=tmp_path / "none",
        data_root=tmp_path / "none",
    )
    assert [item.texts for item in again.retrievals(4, 3, pixels=48)] == [item.texts for item in found]
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="expected 91 queries, found 90 of 90; ask for fewer"):
        pick_queries(Rankings(frame, ""), 91)
    with pytest.raises(ConfigError, match="at least 1 query to show, found 0"):
        pick_queries(Rankings(frame, ""), 0)
    ranked = Rankings(frame.assign(rank=[3, 1, 0, *[9] * 87]), "")
    assert pick_queries(ranked, 2, within=3) == [0, 1]
    with pytest.raises(ConfigError, match="3 queries with a relevant image among the first 3, found 2"):
        pick_queries(ranked, 3, within=3)


def test_a_made_picture_is_drawn_as_it_was(garments):
    """`redraw` at the size of the files gives the files, but for JPEG."""
    some = garments.split.images[:3]
    for image, drawn in zip(some, redraw([image.id for image in some], "val", "tiny", 64), strict=True):
        assert np.abs(decode(image.path).astype(int) - drawn).mean() < 4
    with pytest.raises(DataError, match="no picture 'B00'"):
        redraw(["B00"], "val", "tiny")


def test_the_target_shows_without_color(garments):
    found = [
        Retrieval(np.zeros((4, 4, 3), np.uint8), ("a", "b"), (np.zeros((4, 4, 3), np.uint8),) * 2, (False, True), 2),
        Retrieval(np.zeros((4, 4, 3), np.uint8), ("c",), (np.zeros((4, 4, 3), np.uint8),) * 2, (False, False), 0),
    ]
    figure = retrievals_figure(found, "synthetic data")
    told = [axis.get_xlabel() for axis in figure.axes]
    assert told.count("target") == 1 and told.index("target") == 3
    assert figure.axes[3].spines["top"].get_linewidth() == 3 and not figure.axes[2].spines["top"].get_visible()
    assert any("no target in the gallery" in text.get_text() for axis in figure.axes for text in axis.texts)
    assert heads_that_vary_most(np.stack([np.zeros((2, 2)), np.eye(2), 3 * np.eye(2), 2 * np.eye(2)])) == [1, 2, 3]


def test_there_are_figures_on_two_datasets():
    with pytest.raises(ConfigError, match="the paper has figures on css and fashion_iq, found 'mit_states'"):
        open_figures("mit_states")


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
