"""`maaf-lab tables`: trains what is missing, keeps going past what fails, does nothing twice, here and on a Ray cluster."""

import json
import os
import re
import shutil
import signal
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from maaf_lab.data.mark import MARK
from maaf_lab.errors import ConfigError, DataError, RunError
from maaf_lab.experiments.executors import Job, first_line, get_executor, run_missing
from maaf_lab.experiments.runs import Run
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.paper.report import Entry, chosen_keys, notebook_of, report_html, run_tables
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.paper.tables import TABLES

SMOKE = {"profile": "smoke", "steps": 3, "device": "cpu", "progress": False}

# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables")
    return {"data_root": root / "data", "runs_root": root / "runs", "out": root / "report"}


@pytest.fixture(scope="module")
def done(roots):
    """Table S1 in the smoke profile, from nothing."""
    return run_tables(["S1"], **SMOKE, **roots)


def test_a_table_from_nothing(done, roots):
    assert [(entry.key, entry.status, entry.why) for entry in done] == [("S1", "done", "")]
    assert len(list(roots["runs_root"].glob("*/metrics.json"))) == 2
    page = (roots["out"] / "index.html").read_text()
    assert "1 of 1 notebooks done" in page and "SYNTHETIC DATA" in page and "id='S1'" in page
    assert "Both resolutions over 7x7 alone" in page and "Holm over the 1 statement of all tables that ran" in page
    shown = (roots["out"] / done[0].page).read_text()
    assert f"href='{done[0].page}'" in page and "7x7+14x14" in shown and "SYNTHETIC DATA" in shown
    assert "<td" in page and "7x7+14x14" in page and "data:image/png;base64," in page, "table and picture stand on the page"
    assert "check_parameters" in shown and "check_parameters" not in page, "the code does not"
    assert "it/s]" not in page and "<iframe" not in page and not re.search(r"(src|href)='?\"?https?://[^']*\.(js|css)", page)
    assert not any(str(roots["out"].parent) in part for part in (page,)), "no machine's paths"


def test_a_second_call_does_nothing(done, roots, no_training):
    before = {path: path.stat().st_mtime_ns for path in roots["out"].rglob("*") if path.suffix in (".ipynb", "")}
    assert any(path.suffix == ".ipynb" for path in before)
    assert run_tables(["S1"], **SMOKE, **roots) == [replace(done[0], status="unchanged")]
    assert before == {path: path.stat().st_mtime_ns for path in before}, "a notebook was executed again"
    assert json.loads((roots["out"] / "report.json").read_text())[0]["status"] == "done"
    assert run_tables(["S1"], **SMOKE, **roots, again=True) == done
    assert all(time != path.stat().st_mtime_ns for path, time in before.items() if path.suffix == ".ipynb")


def test_a_lost_page_is_made_again(done, roots, no_training):
    page = roots["out"] / done[0].page
    page.unlink()
    assert run_tables(["S1"], **SMOKE, **roots) == done
    assert page.is_file()


def failing(jobs, **_options):
    """An executor whose runs all fail."""
    return ((job, RunError("the loss is not finite")) for job in jobs)


@pytest.fixture
def half(done, roots, tmp_path):
    """Where one of Table S1's two runs is finished, the one of row "7x7+14x14", which is Table S2's row "256"."""
    (config,) = open_table("S1", profile="smoke", steps=3, data_root=roots["data_root"], rows=["7x7+14x14"]).configs()
    shutil.copytree(roots["runs_root"] / config.name, tmp_path / "runs" / config.name)
    return {**roots, "runs_root": tmp_path / "runs", "out": tmp_path / "out"}


def rows_given(page):
    """The rows that an executed notebook was given."""
    cells = nbformat.read(page.with_suffix(".ipynb"), 4).cells
    (injected,) = (cell.source for cell in cells if cell.source.startswith("# Parameters"))
    return re.search(r"^rows = (.*)$", injected, re.MULTILINE)[1]


def test_what_fails_stops_nothing_else(half, tmp_path, no_training):
    notebook, folder = nbformat.read(notebook_of("S1"), 4), tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(notebook, folder / "tableS1_tokens.ipynb")
    notebook.cells[2].source = "raise ValueError('this cell is broken')"
    nbformat.write(notebook, folder / "tableS2_width.ipynb")
    bad, fine = run_tables(["S2", "S1"], **SMOKE, **half, executor=failing, notebooks=folder)
    assert (bad.status, fine.status) == ("failed", "done") and "this cell is broken" in bad.why
    page = (half["out"] / "index.html").read_text()
    assert "this cell is broken" in page and "Runs that failed" in page and "the loss is not finite" in page
    assert "1 of 2 notebooks done" in page


def test_a_failed_run_is_not_trained_again_by_the_notebook(half, tmp_path, no_training):
    """Its row is left out there; where every row has one, the notebook is not run at all."""
    (entry,) = run_tables(["S1"], **SMOKE, **half, executor=failing)
    assert entry.status == "done" and rows_given(half["out"] / entry.page) == '["7x7+14x14"]'
    assert "the loss is not finite" in (half["out"] / "index.html").read_text()
    nothing = {**half, "runs_root": tmp_path / "none", "out": tmp_path / "other"}
    (entry,) = run_tables(["S1"], **SMOKE, **nothing, executor=failing)
    assert entry.status == "failed" and "every row has a run that failed" in entry.why
    assert "the loss is not finite" in (nothing["out"] / "index.html").read_text()
    assert not list(nothing["out"].rglob("*.ipynb"))


def test_a_table_whose_data_is_spoilt_stops_no_other_notebook(tmp_path, no_training):
    spoilt = tmp_path / "data" / "fashion_iq-tiny" / MARK
    spoilt.parent.mkdir(parents=True)
    spoilt.write_text("{")
    where = {"data_root": tmp_path / "data", "runs_root": tmp_path / "runs", "out": tmp_path / "out"}
    with pytest.raises(DataError, match=MARK):
        run_tables(["S1"], **SMOKE, **where)
    bad, fine = run_tables(["S1", "figure2"], **SMOKE, **where)
    assert (bad.status, fine.status) == ("failed", "done") and MARK in bad.why and bad.title.startswith("Table S1")


def test_a_damaged_report_is_made_anew(done, roots, tmp_path, no_training):
    out = tmp_path / "report"
    out.mkdir()
    (out / "report.json").write_text("[{]")
    assert run_tables(["S1"], **SMOKE, **{**roots, "out": out})[0].status == "done"
    assert json.loads((out / "report.json").read_text())[0]["key"] == "S1"


def test_keys_and_executors():
    assert chosen_keys([]) == chosen_keys(["all"]) == chosen_keys(["tables", "figures"])
    assert chosen_keys(["tables"]) == list(TABLES) and chosen_keys(["all"])[:12] == list(TABLES)
    assert [key for key in chosen_keys(["figures"]) if "figure" in key][1:3] == ["figure2", "figure3"]
    assert chosen_keys(["s1", "FIGURE3", "2", "S1", "heads_css"]) == ["S1", "figure3", "2", "heads_css"]
    with pytest.raises(ConfigError, match="no figure 'figure0' in the lab; known: figure1, figure2"):
        chosen_keys(["figure0"])
    with pytest.raises(ConfigError, match="no table '9'"):
        chosen_keys(["9"])
    assert chosen_keys(["table1", "TableS2"]) == ["1", "S2"]
    for wrong, meant in (("tabel1", "table1"), ("tabels", "tables"), ("figur7", "figure"), ("figur", "figure")):
        with pytest.raises(ConfigError, match=rf"known: .*\. Did you mean '{meant}"):
            chosen_keys([wrong])
    with pytest.raises(ConfigError, match="no executor 'slurm'; known: local, ray"):
        get_executor("slurm")


def test_a_table_without_a_notebook_is_told(done, roots, tmp_path, no_training):
    (tmp_path / "notebooks").mkdir()
    good = notebook_of("S1")
    (tmp_path / "notebooks" / good.name).write_bytes(good.read_bytes())
    where = {**roots, "out": tmp_path / "out", "notebooks": tmp_path / "notebooks"}
    found = run_tables(["S2", "S1"], **SMOKE, **where)
    assert [entry.status for entry in found] == ["failed", "done"] and "maaf-lab table S2" in found[0].why
    with pytest.raises(RunError, match="table S2: expected one notebook"):
        run_tables(["S2"], profile="smoke", progress=False, **where)


def test_a_package_without_notebooks_says_so(tmp_path):
    with pytest.raises(RunError, match="from a clone"):
        notebook_of("1", tmp_path)


def test_the_page_escapes():
    entry = Entry("1", "a <b>", "failed", "x < y & z", "", "")
    page = report_html([entry], {}, {"run<": "why&"}, {"profile": "paper", "seeds": [0]}, synthetic=False)
    assert "x &lt; y &amp; z" in page and "run&lt;" in page and "a &lt;b&gt;" in page and "SYNTHETIC DATA" not in page


def test_the_page_corrects_over_all_tables():
    """Five tables with one statement each, p 0.02: each holds in its table, none on the page that shows all five."""
    line = {
        "statement": "a < b",
        "gained": 1.0,
        "low": 0.1,
        "high": 1.9,
        "p": 0.02,
        "direction": "holds",
        "p_holm": 0.02,
        "verdict": "holds",
    }
    entries = [Entry(key, "title", "done", "", "", "", [line]) for key in "12345"]
    page = report_html(entries, {}, {}, {"profile": "paper", "seeds": [0]}, synthetic=True)
    assert "Of 5: 5 undecided." in page and page.count("p 0.100") == 5 and "a &lt; b" in page
    assert "Holm over the 5 statements of all tables that ran" in page
    assert "SYNTHETIC DATA" in page
    alone = report_html(entries[:1], {}, {}, {"profile": "paper", "seeds": [0]}, synthetic=True)
    assert "Of 1: 1 holds." in alone


def test_the_shell_command(shell, done, roots, no_training):
    where = [part for name, path in roots.items() for part in (f"--{name.replace('_', '-')}", path)]
    code, out, _ = shell("tables", "S1", "--profile", "smoke", "--steps", "3", "--device", "cpu", *where)
    assert code == 0 and "Table S1: unchanged" in out and "index.html" in out
    for option in ("--executor", "--engine"):  # what it was called before
        code, _, err = shell("tables", "S1", option, "slurm", *where)
        assert code == 2 and "no executor 'slurm'; known: local, ray" in err
    code, _, err = shell("tables", "S1", "--profile", "smoke", "--records", roots["out"] / "none", *where)
    assert code == 2 and 'records: expected a folder, or "lab"' in err
    code, _, err = shell("tables", "S9", "--profile", "smoke", *where)
    assert code == 2 and "no table 'S9'" in err


# --- a Ray cluster ----------------------------------------------------------------------------------------------------


def _workers():
    """Processes that are in the middle of a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::on_a_worker" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # gone meanwhile
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the workers in /proc")
def test_a_worker_that_dies_loses_nothing(tmp_path, smoke, tiny_css, css_train_cache, css_test_cache):
    cluster = pytest.importorskip("ray")
    plan = {"train.steps": 30, "train.checkpoint_every": 3, "train.log_every": 5}
    jobs = [Job(smoke(**plan, **{"train.seed": seed}), str(tiny_css), str(tmp_path), "cpu") for seed in range(3)]
    killed = []

    def kill_one():
        end = time.monotonic() + 240
        while not killed and time.monotonic() < end:
            if list(tmp_path.glob("*/state/checkpoint.pt")) and (workers := _workers()):
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])
            time.sleep(0.02)

    cluster.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        killer = threading.Thread(target=kill_one)
        killer.start()
        ended = list(get_executor("ray")(jobs, cpus=1, gpus=0))
        killer.join()
    finally:
        cluster.shutdown()
    assert killed, "no worker was killed in the middle of a run"
    assert sorted(job.config.name for job, _ in ended) == sorted(job.config.name for job in jobs), "one lost, or one doubled"
    assert [error for _, error in ended] == [None, None, None]
    for job in jobs:
        run = Run(tmp_path / job.config.name)
        assert run.finished and run.log["step"].tolist() == list(range(5, 31, 5)), "each step once"
    assert len(list(tmp_path.iterdir())) == 3


def test_an_error_in_a_line():
    assert (first_line(ValueError("a\nb")), first_line(OSError()), first_line(RunError("\nb"))) == ("a", "OSError", "RunError")


def test_without_ray_the_executor_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError, match=r"maaf-lab\[scale\]"):
        list(get_executor("ray")([]))


def test_the_local_executor_goes_on_past_what_fails(tmp_path, smoke, tiny_css, no_training, monkeypatch):
    monkeypatch.setattr(Run, "damage", lambda *_: None)
    jobs = [Job(smoke(**{"train.seed": seed}), tiny_css, tmp_path) for seed in range(3)]
    for job in (jobs[0], jobs[2]):  # finished runs
        (tmp_path / job.config.name).mkdir()
        (tmp_path / job.config.name / "metrics.json").write_text("{}")
        (tmp_path / job.config.name / "model.safetensors").touch()
    spoilt = tmp_path / "data"
    spoilt.mkdir()
    (spoilt / MARK).write_text("{")
    jobs[1] = Job(jobs[1].config, spoilt, tmp_path)
    ended = list(get_executor("local")(jobs, progress=False))
    assert [job for job, _ in ended] == jobs and [error and type(error) for _, error in ended] == [None, DataError, None]
    frames = [frame for frame, _ in traceback.walk_tb(ended[1][1].__traceback__)]
    assert len(frames) > 2 and not any(frame.f_locals for frame in frames[1:]), "what failed keeps no model in memory"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file"])
def test_the_local_executor_goes_on_past_a_torn_checkpoint(tmp_path, smoke, tiny_css, css_train_cache, content):
    torn, fine = (Job(smoke(**{"train.seed": seed, "train.steps": 2}), tiny_css, tmp_path, "cpu") for seed in range(2))
    checkpoint = tmp_path / torn.config.name / "state" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(content)
    failed = run_missing([(lambda: tiny_css, [torn.config, fine.config])], tmp_path, device="cpu", progress=False)
    assert list(failed) == [torn.config.name] and Run(tmp_path / fine.config.name).finished


def test_what_is_missing_is_trained_once(tmp_path, smoke, tiny_css):
    """Of three runs one is finished, and two tables want one of the others; no folder is asked for without need."""
    configs, asked, given = [smoke(**{"train.seed": seed, "train.steps": 1}) for seed in range(3)], [], []
    train_and_evaluate(configs[0], tiny_css, tmp_path, device="cpu", progress=False)

    def draw():
        asked.append(1)
        return tiny_css

    def train(jobs, **options):
        for job in jobs:
            given.append((job, options))
            yield job, RunError("gone\nfor good") if job.config == configs[1] else None

    where = {"executor": train, "device": "cpu", "progress": False}
    failed = run_missing([(draw, configs[:2]), (draw, configs[1:])], tmp_path, **where)
    assert given == [(Job(config, tiny_css, tmp_path, "cpu"), {"progress": False}) for config in configs[1:]]
    assert len(asked) == 2 and {name: first_line(error) for name, error in failed.items()} == {configs[1].name: "gone"}
    assert run_missing([(draw, configs[:1])], tmp_path, **where) == {}
    assert run_missing([(draw, configs[:1])], tmp_path / "none", tmp_path, **where) == {}, "records stand in for runs"
    assert len(asked) == 2 and len(given) == 2


def test_data_that_cannot_be_drawn_fails_its_runs_alone(tmp_path, smoke, tiny_css):
    ours, theirs = smoke(), smoke(**{"data.dataset": "mit_states"})

    def full():
        raise OSError("no space left")

    wanted = [(full, [theirs]), (lambda: tiny_css, [ours])]
    failed = run_missing(wanted, tmp_path, executor=lambda jobs, **_options: ((job, None) for job in jobs), progress=False)
    assert {name: first_line(error) for name, error in failed.items()} == {theirs.name: "no space left"}
