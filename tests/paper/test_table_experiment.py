"""Tables run beside the paper."""

import shutil

import numpy as np
import pandas as pd
import pytest

from maaf_lab.data import registry as datasets
from maaf_lab.data.mark import MARK
from maaf_lab.errors import TrainingError
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.paper.table_results import TableRuns, run_table, table_frame
from maaf_lab.plots.tables import statements_text, table_html, table_text

FEW = ("Image only", "Text only", "TIRG", "MAAF")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, tiny_css):
    """Four rows of Table 1 run in the smoke profile, three steps a row."""
    runs_root = tmp_path_factory.mktemp("table")
    experiment = open_table("1", profile="smoke", data_root=tiny_css.parent, runs_root=runs_root, steps=3, device="cpu", rows=FEW)
    experiment.run()
    return experiment


def test_an_experiment_is_described_in_a_line():
    one, two = open_table("1"), open_table("6", profile="smoke", rows=["TIRG"], seeds=[0, 3])
    assert repr(one) == "TableExperiment(Table 1: CSS, recall at 1; laptop profile, 9 rows, seed 0)"
    assert repr(two) == "TableExperiment(Table 6: Birds-to-Words and Spot-the-Diff; smoke profile, 1 row, seeds 0, 3)"


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
    assert line["seeds"] == 2 and line["here"] == pytest.approx(np.mean(values), abs=1e-3)  # metrics.json has three digits
    assert line["spread"] == pytest.approx(np.std(values, ddof=1), abs=1e-3)
    assert line["low"] < line["here"] < line["high"]
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


@pytest.mark.parametrize(
    ("part", "content"),
    [("metrics.json", b""), ("config.json", b"{"), ("rankings.parquet", b"PAR1"), ("environment.json", b"[]")],
    ids=str,
)
def test_a_run_with_a_damaged_file_leaves_the_others(experiment, tmp_path, no_training, part, content):
    for label in FEW:
        for run in experiment.run()[label]:
            shutil.copytree(run.folder, tmp_path / run.name)
    (spoilt,) = experiment.run()["TIRG"]
    (tmp_path / spoilt.name / part).write_bytes(content)
    where = {"data_root": experiment.data_root, "runs_root": tmp_path}
    again = open_table("1", profile="smoke", steps=3, rows=FEW, **where)
    frame = again.frame().set_index("row")
    assert frame.loc["TIRG", "status"] == "failed" and part in frame.loc["TIRG", "note"]
    assert (frame.loc[[label for label in FEW if label != "TIRG"], "status"] == "run").all()
    assert "failed" in table_text(again.frame(), again.caption()) and len(again.statements()) and len(again.digest()) == 16
    assert (tmp_path / spoilt.name / part).read_bytes() == content, "what is left of it is kept"


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
