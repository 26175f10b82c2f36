"""Every table's rows as settings, run beside the paper, and what is said of their differences."""

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from maaf_lab.analysis.by_modification import by_modification_type, modification_counts
from maaf_lab.analysis.modification_types import MODIFICATION_TYPES, has_modification_type, holds
from maaf_lab.data import registry as datasets
from maaf_lab.data.dataset import MARK
from maaf_lab.errors import ConfigError, TrainingError
from maaf_lab.paper.printed import TITLES, paper_table
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.paper.table_results import TableRuns, comparisons_frame, judged, run_table, statements_frame, table_frame
from maaf_lab.paper.tables import TABLES, Comparison, row_configs, table
from maaf_lab.plots.tables import comparisons_text, statements_text, table_html, table_text
from maaf_lab.profiles import profile_config
from maaf_lab.retrieval.metrics import Estimate, bootstrap, holm, mean_recall, paired_gain, paired_p
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.utils.registry import MODELS

CAPTIONS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "fashion_iq" / "captions"

# --- settings ---------------------------------------------------------------------------------------------------------


def test_every_table_of_the_paper_has_rows():
    assert list(TABLES) == list(TITLES)


@pytest.mark.parametrize("key", TITLES)
def test_rows_and_columns_are_the_papers(key):
    printed, ours = paper_table(key), table(key)
    extra = {"N", "Rel"} if key == "S4" else set()  # counted and computed, not run
    named = [row.paper for row in ours.rows if row.paper is not None]
    assert set(printed["row"]) - extra == set(named) and len(named) == len(set(named))
    assert list(dict.fromkeys(printed["column"])) == [column.label for column in ours.columns]
    assert all(row.note for row in ours.rows if row.changes is None), "a row of reported numbers says why"
    assert ours.standard in {row.label for row in ours.rows}
    for comparison in ours.comparisons:
        for label in (*comparison.better, *comparison.worse):
            assert ours.row(label).changes is not None


@pytest.mark.parametrize(("key", "profile"), list(product(TITLES, ("smoke", "laptop", "paper"))))
def test_rows_are_settings(key, profile):
    chosen, names = table(key), []
    for row, dataset in product(chosen.rows, chosen.datasets):
        for config in row_configs(key, row.label, profile, "somewhere", (0, 1), dataset):
            assert config.profile == profile and config.data.dataset == dataset and config.model.name in MODELS
            names.append(config.name)
    assert len(names) == len(set(names)) > 1, "two rows are one run"


def test_the_papers_own_settings():
    """The paper's recipe, line by line: what the `paper` profile trains."""

    def settings(key, label, dataset=None):
        return row_configs(key, label, "paper", "published", (0,), dataset)[0]

    css, iq, states = settings("1", "MAAF"), settings("2", "RP+ITA+IT"), settings("S5", "MAAF")
    assert (css.model.attention, css.model.resolutions, css.model.blocks, css.train.steps) == ("identity", (7,), 1, 75_000)
    assert css.train.learning_rate == css.train.image_learning_rate == 0.01
    assert (iq.model.feedforward, iq.model.heads, iq.model.blocks, iq.model.width) == (256, 8, 2, 512)
    assert (iq.train.steps, iq.train.decay_every, iq.train.batch_size, iq.train.single_category) == (150_000, 50_000, 32, True)
    assert (iq.train.learning_rate, iq.train.image_learning_rate, iq.data.transform) == (0.01, 0.001, "crops")
    assert (states.model.feedforward, states.model.blocks, states.data.transform) == (32, 1, "plain")
    assert settings("6", "MAAF", "birds_to_words").train.steps == 30_000
    assert settings("6", "MAAF", "spot_the_diff").train.decay_every == 30_000
    assert settings("7", "MAAF").model.feedforward == 256 and settings("7", "MAAF").data.transform == "plain"
    none = settings("2", "none").model
    assert not (none.resolutionwise_pooling or none.image_through_attention or none.include_text)
    star, plain = settings("5", "Linear Layer with GLOVE*"), settings("5", "Linear Layer with GLOVE")
    assert (star.train.text_learning_rate, plain.train.text_learning_rate) == (0.001, None)
    assert star.model == plain.model and star.model.freeze_text and star.model.word_vectors == "glove"
    assert settings("5", "BERT").model.bert == "bert-base-uncased" and settings("5", "BERT (frozen)").model.freeze_text
    assert settings("4", "Self(x) || Self(t), Cross(x,t), Cross(t,x)").train.learning_rate == 0.005
    assert settings("S1", "7x7").model.resolutions == (7,)


def test_one_model_of_several_tables_is_one_run():
    where = [
        ("2", "RP+ITA+IT"),
        ("3", "MAAF"),
        ("4", "MAAF"),
        ("5", "LSTM"),
        ("S1", "7x7+14x14"),
        ("S2", "256"),
        ("S3", "2"),
        ("S4", "MAAF"),
    ]
    assert len({row_configs(key, label, "laptop", "x", (0,))[0].name for key, label in where}) == 1


def test_rows_as_settings():
    three = row_configs("1", "TIRG", "paper", "published", (0, 1, 2))
    assert [config.train.seed for config in three] == [0, 1, 2] and len({config.name for config in three}) == 3
    assert three[0].model.image_encoder == "resnet50" and three[0].train.steps == 75_000
    assert row_configs("3", "Designovel", "paper", "published", (0,)) == []
    with pytest.raises(ConfigError, match=r"no row 'Tirg'; rows: .*TIRG"):
        row_configs("1", "Tirg", "paper", "", (0,))
    with pytest.raises(ConfigError, match="no table '99' in the lab; known: 1"):
        table("99")
    with pytest.raises(ConfigError, match="no table '99'"):
        run_table("99", "smoke", "", "", origin="")
    with pytest.raises(ConfigError, match=r"unknown profile 'lapdog'; known: .*laptop"):
        open_table("1", profile="lapdog")
    with pytest.raises(ConfigError, match="at least one"):
        open_table("1", seeds=())
    with pytest.raises(ConfigError, match="no row 'MAFF'"):
        open_table("1", rows=["MAFF"])
    with pytest.raises(ConfigError, match="table 6 is about birds_to_words, spot_the_diff; found 'css'"):
        open_table("6").run("css")


def test_an_experiment_is_described_in_a_line():
    one, two = open_table("1"), open_table("6", profile="smoke", rows=["TIRG"], seeds=[0, 3])
    assert repr(one) == "TableExperiment(Table 1: CSS, recall at 1; laptop profile, 9 rows, seed 0)"
    assert repr(two) == "TableExperiment(Table 6: Birds-to-Words and Spot-the-Diff; smoke profile, 1 row, seeds 0, 3)"


# --- beside the paper -------------------------------------------------------------------------------------------------

FEW = ("Image only", "Text only", "TIRG", "MAAF")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, tiny_css):
    """Four rows of Table 1 run in the smoke profile, three steps a row."""
    runs_root = tmp_path_factory.mktemp("table")
    experiment = open_table("1", profile="smoke", data_root=tiny_css.parent, runs_root=runs_root, steps=3, device="cpu", rows=FEW)
    experiment.run()
    return experiment


def test_table_1_stands_beside_the_paper(experiment):
    frame = experiment.frame().set_index("row")
    assert frame.loc["TIRG", "paper"] == 73.7 and frame.loc["MAAF", "paper"] == 87.8
    here = frame["here"].notna()
    assert set(frame.index[here]) == set(FEW) and (frame.loc[here, "status"] == "run").all()
    assert set(frame.index[~here]) == {"Show and Tell", "Parameter hashing", "Relationship", "FiLM", "Locally Bounded Features"}
    assert (frame.loc[~here, "seeds"] == 0).all() and frame.loc[~here, "paper"].notna().all()
    assert (frame.loc[~here, "status"] == "not run").all()
    run = experiment.run()["TIRG"][0]
    assert run.config.model.name == "tirg" and frame.loc["TIRG", "here"] == run.metrics["metrics"]["R1"]["value"]
    assert frame.loc["TIRG", "runs"] == run.name and frame.loc["TIRG", "steps"] == 3
    assert experiment.run()["MAAF"][0].config.model.attention == "identity"


def test_synthetic_is_what_the_data_is_whatever_the_profile(tiny_css, tmp_path):
    own = tmp_path / "css"
    shutil.copytree(tiny_css, own, ignore=shutil.ignore_patterns(MARK))
    for root, synthetic in ((tiny_css, True), (own, False)):
        opened = open_table("1", profile="paper", data_root=root)
        assert opened.synthetic is synthetic
        assert opened.title() == f"Table 1: CSS, {'synthetic' if synthetic else 'published'} data, paper profile"


def test_printed_tables(experiment):
    text, html = table_text(experiment.frame(), experiment.caption()), table_html(experiment.frame(), experiment.caption())
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "not run" in lines["FiLM"] and "not run" not in lines["TIRG"] and "73.7" in lines["TIRG"] and "87.8" in lines["MAAF"]
    assert "1 seed, 3 steps" in lines["MAAF"]
    assert html.count("<tr") == 1 + len(experiment.frame()) and html.count("not run") == 5 and "SYNTHETIC DATA" in html
    assert experiment.run()["MAAF"][0].name in html
    assert html.index("f = identity") < html.index("87.8"), "a note stands with its row's name"


def test_a_table_that_is_run_trains_nothing_again(experiment, no_training):
    again = open_table("1", profile="smoke", data_root=experiment.data_root, runs_root=experiment.runs_root, steps=3, rows=FEW)
    pd.testing.assert_frame_equal(again.frame(), experiment.frame())


def test_records_stand_in_for_runs_and_data(experiment, tmp_path, no_training):
    """With records of finished runs neither data nor runs are made."""
    nowhere = {"data_root": tmp_path / "data", "runs_root": tmp_path / "runs"}
    read = open_table("1", profile="smoke", **nowhere, records=experiment.runs_root, steps=3, rows=FEW)
    pd.testing.assert_frame_equal(read.frame(), experiment.frame())
    assert not list(tmp_path.iterdir())


def test_the_data_is_asked_for_when_something_has_to_be_trained_and_not_before(experiment, tmp_path, tiny_css):
    """A plain function gives the folder: nothing is drawn because somebody turned a path into text."""
    asked, given = [], []

    def draw():
        asked.append(1)
        return tiny_css

    def train(jobs, **_options):
        for job in jobs:
            given.append(job.data_root)
            yield job, None

    settings = {"origin": experiment.origin(), "rows": FEW, "executor": train, "progress": False, **experiment.changes}
    found = run_table("1", "smoke", draw, experiment.runs_root, **settings)
    assert not asked and found.keys() == set(FEW)
    run_table("1", "smoke", draw, tmp_path, **settings)
    assert asked and set(given) == {tiny_css}


def test_seeds_give_a_spread(experiment):
    runs_of = TableRuns(experiment.run())
    runs_of["MAAF"] = [*runs_of["MAAF"], *runs_of["TIRG"]]  # two runs, as if of two seeds
    values = [run.metrics["metrics"]["R1"]["value"] for run in runs_of["MAAF"]]
    frame = table_frame("1", runs_of)
    line = frame.set_index("row").loc["MAAF"]
    assert line["seeds"] == 2 and line["here"] == pytest.approx(np.mean(values))
    assert line["spread"] == pytest.approx(np.std(values, ddof=1))
    assert f"± {line['spread']:.1f}" in table_text(frame, "") and "2 seeds" in table_html(frame, "")


def test_a_row_that_fails_leaves_the_others(experiment, tmp_path, no_training):
    def fail(jobs, **_options):
        for job in jobs:
            assert job.config.model.name == "text_only", "the other row's run is there"
            yield job, TrainingError("the loss is not finite at step 2\nmore")

    where = {"data_root": experiment.data_root, "runs_root": tmp_path, "records": experiment.runs_root, "executor": fail}
    (tmp_path / "some").mkdir()
    for run in experiment.run()["MAAF"]:
        (tmp_path / "some" / run.name).symlink_to(run.folder)
    part = open_table("1", profile="smoke", steps=3, rows=["Text only", "MAAF"], **{**where, "records": tmp_path / "some"})
    line = part.frame().set_index("row").loc["Text only"]
    assert line["status"] == "failed" and "not finite at step 2" in line["note"] and "more" not in line["note"]
    assert part.frame().set_index("row").loc["MAAF", "status"] == "run"
    assert "failed" in table_text(part.frame(), "")
    alone = open_table("1", profile="smoke", steps=3, rows=["Text only"], **{**where, "records": ""})
    with pytest.raises(TrainingError, match="not finite"):
        alone.run()


def test_what_figures_are_drawn_from(experiment):
    """Rows, seeds, ranks and hits by type are those of the runs."""
    runs = experiment.run()
    ranks, logs, hits = experiment.ranks(), experiment.logs(), experiment.hits_by_type()
    assert experiment.title() == "Table 1: CSS, synthetic data, smoke profile"
    for label, (run,) in runs.items():
        assert ranks.loc[ranks["row"] == label, "rank"].tolist() == run.rankings.column("rank").tolist()
        assert logs[label]["loss"].tolist() == run.log["loss"].tolist() and set(logs[label]["seed"]) == {0}
        mine = hits[hits["row"] == label]
        assert sorted(mine["query"]) == list(range(len(run.rankings))), "each query is of one type"
        assert mine.sort_values("query")["hit"].tolist() == run.rankings.hits(1).tolist()
        first = run.rankings.frame["text"].str.split().str[0].replace({"make": "change"})
        expected = 100 * pd.Series(run.rankings.hits(1)).groupby(first).mean()
        assert experiment.recall_by_type()[label].to_dict() == pytest.approx(expected.to_dict())


def test_table_command(shell, experiment, no_training):
    where = ["--data-root", experiment.data_root, "--runs-root", experiment.runs_root]
    rows = [part for row in FEW for part in ("--row", row)]
    code, out, _ = shell("table", "1", "--profile", "smoke", *where, "--steps", "3", *rows)
    assert code == 0 and out.startswith(table_text(experiment.frame(), experiment.caption()))
    assert out.rstrip().endswith(statements_text(experiment.statements()))
    code, _, err = shell("table", "17", "--profile", "smoke")
    assert code == 2 and "no table '17'" in err


@pytest.mark.parametrize("split", ["train", "test"])
def test_samples_without_files_are_those_of_the_files(tmp_path, tiny_css, split):
    """The same pictures, drawn again from the seed."""
    with_files = open_table("1", profile="smoke", data_root=tiny_css.parent)
    without = open_table("1", profile="smoke", data_root=tmp_path)
    a, b = with_files.samples(split, 6, seed=3), without.samples(split, 6, seed=3)
    assert with_files.origin() == without.origin() == datasets.origin("css", tiny_css)
    assert len(a) == len(b) == 6 and not list(tmp_path.iterdir())
    for one, other in zip(a, b, strict=True):
        assert one["text"] == other["text"]
        assert (one["source"] == other["source"]).all() and (one["target"] == other["target"]).all()


# --- more than chance? ------------------------------------------------------------------------------------------------


class FakeRun:
    """A run that is only its ranks."""

    def __init__(self, ranks, texts=None, categories=None, name="fake"):
        count = len(ranks)
        self.name = name
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


def test_paired_gain_equals_a_loop():
    random = np.random.default_rng(0)
    kinds = ["a"] * 10 + ["b"] * 50
    runs = [FakeRun(random.integers(1, 80, 60), categories=kinds).rankings for _ in range(4)]
    gain = paired_gain(runs[:2], runs[2:], (10, 50))
    means = []
    for side in (runs[:2], runs[2:]):
        values = [
            np.mean([(r.frame["rank"][rows] <= k).mean() for r in side for k in (10, 50)])
            for rows in (slice(0, 10), slice(10, 60))
        ]
        means.append(100 * np.mean(values))
    assert gain.value == pytest.approx(means[0] - means[1]) and gain.low < gain.value < gain.high
    assert mean_recall(runs[:2], (10, 50)) == pytest.approx(means[0])
    one = [FakeRun([1, 5, 2]).rankings], [FakeRun([3, 5, 1]).rankings]
    assert paired_gain(*one, (1,)).value == bootstrap(np.array([1, 0, -1])).value
    with pytest.raises(ValueError, match="same queries"):
        paired_gain([FakeRun([1, 2]).rankings], [FakeRun([1, 2], ["a", "b"]).rankings], (1,))


def saying(*comparisons):
    """Table 1 with TIRG as its standard row and other statements."""
    return replace(table("1"), standard="TIRG", comparisons=comparisons)


def test_verdicts():
    good, middle, poor = (FakeRun([1] * n + [9] * (200 - n)) for n in (150, 100, 20))
    almost = FakeRun([9] * 98 + [1] * 102)
    made_up = saying(
        Comparison("a", ("MAAF",), ("TIRG", "Image only")),
        Comparison("b", ("Image only",), ("TIRG",)),
        Comparison("c", ("FiLM",), ("TIRG",)),
        Comparison("d", ("MAAF",), ("Relationship",)),
        Comparison("e", ("FiLM",), ("TIRG",), margin=60.0),
        Comparison("f", ("MAAF",), ("TIRG",), margin=5.0),
    )
    runs = {"MAAF": [good], "TIRG": [middle], "Image only": [poor], "FiLM": [almost]}
    found = statements_frame(made_up, runs).set_index("statement")
    assert found["verdict"].to_dict() == {
        "a": "holds",
        "b": "does not hold",
        "c": "undecided",
        "d": "not run",
        "e": "holds",
        "f": "does not hold",
    }
    assert found.loc["a", "gained"] == 25.0, "against the strongest of the other side"
    against = comparisons_frame(made_up, runs).set_index("row")
    assert against["verdict"].to_dict() == {"MAAF": "more", "Image only": "less", "FiLM": "undecided"}
    assert (against["against"] == "TIRG").all()
    text = statements_text(statements_frame(made_up, runs))
    assert "holds" in text and "+25.0 [" in text and "not run" in text and "95%, Holm over the 5 statements of this table" in text
    assert "Holm over the 3 rows above" in comparisons_text(comparisons_frame(made_up, runs))


@pytest.mark.parametrize("seed", range(20))
def test_holm_decides_as_its_definition(seed):
    """Step by step: the smallest p against 5% / N, the next against 5% / (N - 1), ... until one is not below."""
    random = np.random.default_rng(seed)
    p = random.choice([0.0001, 0.003, 0.02, 0.049, 0.3, 1.0, *random.random(4) / 20], size=int(random.integers(1, 30)))
    adjusted = holm(p)
    for level in (0.001, 0.01, 0.05, 0.2):
        rejected = set()
        for step, n in enumerate(sorted(range(len(p)), key=lambda n: p[n])):
            if p[n] * (len(p) - step) >= level:
                break
            rejected.add(n)
        assert set(np.flatnonzero(adjusted < level)) == rejected
    assert (adjusted >= p).all() and (adjusted <= 1).all()


def test_holm_of_one_and_of_none():
    assert holm([0.04]).tolist() == [0.04] and holm([]).tolist() == []
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06]), "no p is adjusted past a larger one"


def _apart(gained, lost, of=1000):
    """Two runs of `of` queries: `gained` that only the first finds, `lost` that only the second finds."""
    rest = of - gained - lost
    return [FakeRun([1] * gained + [99] * lost + [99] * rest)], [FakeRun([99] * gained + [1] * lost + [99] * rest)]


@pytest.mark.parametrize(
    ("gained", "lost", "margin"), [(60, 40, 0), (40, 60, 0), (50, 50, 0), (50, 50, 2), (45, 60, 1), (52, 50, 1), (70, 30, 2)]
)
def test_p_is_that_of_the_normal_distribution(gained, lost, margin):
    """Of a thousand queries the mean is all but normal, and its p needs no resampling."""
    first, second = ([run.rankings for run in side] for side in _apart(gained, lost))
    values = np.repeat([1.0, -1.0, 0.0], [gained, lost, 1000 - gained - lost])
    mean, error = 100 * values.mean(), 100 * values.std() / len(values) ** 0.5
    below, above = (NormalDist(mean, error).cdf(edge) for edge in (-margin, margin))  # how much of the means lies below an edge
    one_sided = max(below, 1 - above) if abs(mean) < margin else min(above, 1 - below)
    expected = min(1, 2 * one_sided)
    assert paired_p(first, second, (1,), margin) == pytest.approx(expected, rel=0.25, abs=0.002)
    assert paired_p(first, second, (1,), margin) == paired_p(first, second, (1,), margin), "the same again"


def test_p_agrees_with_the_interval_beside_it():
    for gained in range(50, 90, 4):
        first, second = ([run.rankings for run in side] for side in _apart(gained, 50))
        gain, p = paired_gain(first, second, (1,)), paired_p(first, second, (1,))
        if not 0.04 < p < 0.06:  # the interval rests on fewer resamples
            assert (gain.low > 0) == (p < 0.05), gained


def test_p_is_never_zero_and_ties_are_no_difference():
    same, better = [FakeRun([1] * 9).rankings], [FakeRun([9] * 9).rankings]
    assert paired_p(same, better, (1,)) == 2 / 20_001
    assert paired_p(same, same, (1,)) == paired_p(same, better, (1,), margin=100.0) == 1.0


def test_a_verdict_that_holds_alone_is_undecided_among_many():
    """One ordering with p about 0.02 holds; beside nine others that show nothing, one such was to be expected."""
    first, second = _apart(70, 45)
    runs = {"MAAF": first, "TIRG": second, "FiLM": second}
    one, none = Comparison("one", ("MAAF",), ("TIRG",)), Comparison("none", ("TIRG",), ("FiLM",))

    def of(*comparisons):
        return statements_frame(saying(*comparisons), runs)

    alone, among = of(one).iloc[0], of(one, *[none] * 9).iloc[0]
    assert alone["p"] == among["p"] == alone["p_holm"] and 0.005 < alone["p"] < 0.05
    assert alone["verdict"] == "holds" and among["verdict"] == "undecided" and among["p_holm"] == pytest.approx(10 * alone["p"])
    assert (alone["gained"], alone["low"], alone["high"]) == (among["gained"], among["low"], among["high"])
    assert judged(pd.concat([of(one), of(*[none] * 9)], ignore_index=True))["verdict"][0] == "undecided", "over all tables"
    assert of(one, Comparison("d", ("MAAF",), ("Relationship",)))["verdict"].tolist() == ["holds", "not run"], "what ran counts"


def test_many_rows_are_corrected_too():
    """A row that gains as chance would let one of nine gain is "more" alone and undecided among them."""
    first, second = _apart(70, 45)
    others = [row.label for row in table("1").rows if row.label not in ("MAAF", "TIRG")]
    alone = comparisons_frame("1", {"MAAF": second, "TIRG": first})
    among = comparisons_frame("1", {"MAAF": second, "TIRG": first} | {label: second for label in others})
    assert alone["verdict"].tolist() == ["more"] and set(among["verdict"]) == {"undecided"}


def test_a_statement_about_several_rows_needs_each_and_is_refuted_by_one():
    first, second = _apart(70, 45)
    runs = {"MAAF": first, "Image only": second, "Text only": [FakeRun([99] * 1000)]}
    both = saying(Comparison("over both", ("MAAF",), ("Image only", "Text only")))
    each = statements_frame(both, runs).iloc[0]
    assert each["verdict"] == "holds" and each["p"] == paired_p([first[0].rankings], [second[0].rankings], (1,)), "the larger p"
    refuted = statements_frame(both, {**runs, "MAAF": second, "Image only": first}).iloc[0]
    twice = 2 * paired_p([second[0].rankings], [first[0].rankings], (1,))
    assert refuted["verdict"] == "does not hold" and refuted["p"] == pytest.approx(twice), "one of two: p counts twice"


def test_a_switch_compares_means_of_rows():
    """Table 2: rows that have ITA against rows that do not, query by query."""
    rows = {row.label: [FakeRun([1] * 60 + [99] * 40 if "ITA" in row.label else [1] * 30 + [99] * 70)] for row in table("2").rows}
    found = statements_frame("2", rows).set_index("statement")
    assert found.loc["ITA over no ITA", "gained"] == pytest.approx(30) and found.loc["ITA over no ITA", "verdict"] == "holds"
    assert found.loc["IT changes little (less than 1 point)", "verdict"] == "holds"


def test_one_among_several_that_change_little():
    """Table S2: 3 points up for one width and 3 down for another are no "little" because they cancel."""

    def runs(**hits):
        return {width: [FakeRun([1] * n + [99] * (1000 - n))] for width, n in hits.items()}

    def said(found):
        return statements_frame("S2", found).iloc[0]

    apart = said(runs(**{"64": 300, "128": 300, "256": 330, "512": 420}))
    assert apart["verdict"] == "does not hold" and apart["gained"] == pytest.approx(-9), "the largest difference is shown"
    assert said(runs(**{"64": 330, "128": 331, "256": 330, "512": 331}))["verdict"] == "holds"
    assert said(runs(**{"64": 330, "128": 330, "256": 330, "512": 340}))["verdict"] == "undecided"


# --- modification types (Table S4) ----------------------------------------------------------------------------------------


def test_modification_types_by_keyword():
    texts = ["Is plaid blue and black.", "longer sleeves", "is a T-shirt", "more elegant", "V-neck"]
    found = holds(texts, MODIFICATION_TYPES)
    assert [tuple(name for name in MODIFICATION_TYPES if found[name][n]) for n in range(len(texts))] == [
        ("color", "texture"),
        ("shape", "parts"),
        ("type",),
        (),
        ("shape",),
    ]
    assert has_modification_type(texts, "color").tolist() == [True, False, False, False, False]
    assert has_modification_type(texts, "all").all()
    with pytest.raises(ConfigError, match="expected all, color, texture, shape, parts, type; found 'colour'"):
        has_modification_type(texts, "colour")


@pytest.mark.skipif(not CAPTIONS.exists(), reason="the published Fashion IQ captions are not beside this checkout")
def test_subset_sizes_are_close_to_the_papers():
    """Within 5% of the row N of Table S4, on the published val captions."""
    texts = [
        " ".join(entry["captions"])
        for name in ("dress", "shirt", "toptee")
        for entry in json.loads((CAPTIONS / f"cap.{name}.val.json").read_text())
    ]
    printed = paper_table("S4").query("row == 'N'").set_index("column")["value"]
    counts = {kind: int(has_modification_type(texts, kind).sum()) for kind in ("all", *MODIFICATION_TYPES)}
    assert counts == {"all": 6016, "color": 5096, "texture": 1490, "shape": 2971, "parts": 3005, "type": 309}
    for kind, count in counts.items():
        assert count == pytest.approx(printed[kind], rel=0.05), kind


def test_table_s4_is_recall_by_type():
    texts = ["is blue", "longer sleeves", "is blue with stripes", "nicer"]
    maaf, tirg = FakeRun([1, 20, 60, 3], texts), FakeRun([60, 20, 60, 60], texts)
    found = by_modification_type([maaf], ("all", "color", "texture", "type"))
    assert {kind: e.value for kind, e in found.items()} == {"all": 62.5, "color": 50.0, "texture": 0.0}
    assert all(isinstance(e, Estimate) for e in found.values())
    assert modification_counts(maaf, ("all", *MODIFICATION_TYPES)) == {
        "all": 4,
        "color": 2,
        "texture": 1,
        "shape": 1,
        "parts": 1,
        "type": 0,
    }
    assert by_modification_type([maaf, tirg], ("color",))["color"].value == 25.0
    assert statements_frame("S4", {"MAAF": [maaf], "TIRG": [tirg]})["gained"].tolist() == [50.0]


def test_the_profiles_know_every_dataset():
    for profile, dataset in product(("smoke", "laptop", "paper"), {d for t in TABLES.values() for d in t.datasets}):
        assert profile_config(profile, dataset).data.dataset == dataset
