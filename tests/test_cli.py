"""The command line."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from training_runs import train_words

from maaf_lab import cli
from maaf_lab.experiments.runs import Run
from maaf_lab.paper import printed
from maaf_lab.paper.figures import open_figures
from maaf_lab.paper.printed import paper_table
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.paper.tables import TABLES


def test_make_and_check(shell, tmp_path, tiny_css):
    code, out, _ = shell("make", "css", "--out", tmp_path / "css", "--size", "tiny", "--pixels", "56")
    assert code == 0 and out.split() == [str(tmp_path / "css")]
    name = "css_test_000007.png"
    assert (tmp_path / "css" / "images" / name).read_bytes() == (tiny_css / "images" / name).read_bytes()
    assert shell("check", "css", "--root", tmp_path / "css")[0] == 0
    (tmp_path / "css" / "images" / name).unlink()
    code, out, _ = shell("check", "css", "--root", tmp_path / "css")
    assert code == 1 and name in out
    code, out, err = shell("check", "css", "--root", tmp_path / "nowhere")
    assert code in (1, 2) and "nowhere" in out + err and "Traceback" not in out + err
    code, _, err = shell("make", "fashion", "--out", tmp_path / "x")
    assert code == 2 and "unknown synthetic dataset 'fashion'; known: css, fashion_iq" in err
    assert "css2d. Did you mean 'fashion_iq'?" in err and "--with" not in err
    code, _, err = shell("make", "css")
    assert code == 2 and "expected --out FOLDER, or --profile laptop" in err
    code, _, err = shell("make", "css", "--profile", "paper")
    assert code == 2 and "expected smoke or laptop, which draw their data, found 'paper'" in err


def test_a_profile_says_what_is_drawn_and_where(shell, tmp_path, monkeypatch):
    """It is what `train` and `table` look for; what is named besides counts."""
    monkeypatch.setenv("MAAF_LAB_HOME", str(tmp_path))
    drawn = []
    monkeypatch.setattr("maaf_lab.synthetic.registry.make", lambda *given: drawn.append(given) or given[1])
    for profile in ("smoke", "laptop"):
        assert shell("make", "fashion_iq", "--profile", profile)[0] == 0
    assert shell("make", "css", "--profile", "laptop", "--out", "x", "--size", "tiny", "--pixels", 20, "--seed", 3)[0] == 0
    data = tmp_path / "data"
    smoke, laptop = ("fashion_iq", data / "fashion_iq-tiny", "tiny", 64, 0), ("fashion_iq", data / "fashion_iq", "full", 74, 0)
    assert drawn == [smoke, laptop, ("css", Path("x"), "tiny", 20, 3)]


def test_train_draws_what_is_not_there(shell, tmp_path, tiny_css, monkeypatch):
    """Into the lab's own folder, for the profiles that learn from synthetic data; a copy that somebody has is taken as it is."""
    monkeypatch.setenv("MAAF_LAB_HOME", str(tmp_path))
    train = ["train", "--model", "text_only", "--dataset", "css", "--profile", "smoke", "--steps", "2", "--device", "cpu"]
    code, out, err = shell(*train, "--data-root", tmp_path / "css")
    assert code == 2 and "maaf-lab make css --profile smoke" in err and not list(tmp_path.iterdir())
    code, out, err = shell(*train)
    assert code == 0 and (tmp_path / "data" / "css-tiny" / "made.json").is_file(), err
    run = Run(out.splitlines()[-1])
    assert run.config.data.origin == "synthetic css v1 size=tiny pixels=56 seed=0"
    (tmp_path / "data" / "css-tiny" / "made.json").unlink()
    code, out, err = shell(*train)
    assert code == 0 and Run(out.splitlines()[-1]).config.data.origin.startswith("published sha256:"), err


def test_flat_drawings_from_the_shell(shell, tmp_path, tiny_css):
    shutil.copytree(tiny_css, tmp_path / "css", ignore=shutil.ignore_patterns(".cache"))
    assert shell("check", "css2d3d", "--root", tmp_path / "css")[0] == 1
    assert shell("make", "css2d", "--out", tmp_path / "css")[0] == 0
    assert shell("check", "css2d3d", "--root", tmp_path / "css")[0] == 0


def test_train_prints_its_folder_and_trains_once(shell, tmp_path, tiny_css, monkeypatch):
    where = ["--dataset", "css", "--data-root", tiny_css, "--runs-root", tmp_path, "--profile", "smoke", "--steps", "3"]
    settings = ["--device", "cpu", "--set", "train.warmup_steps=1", "--set", "model.attention=identity"]
    code, out, err = shell("train", "--model", "maaf", *where, *settings)
    folder = next(tmp_path.iterdir())
    assert code == 0 and out.splitlines()[-1] == str(folder) and "R1" in err
    config = Run(folder).config
    assert (config.train.steps, config.train.warmup_steps, config.model.attention, config.profile) == (3, 1, "identity", "smoke")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert "finished earlier" not in err
    monkeypatch.setattr("maaf_lab.experiments.train.fit", None)
    code, out, err = shell("train", "--model", "maaf", *where, *settings)
    assert code == 0 and out.splitlines()[-1] == str(folder) and f"Delete {folder} to train again" in err
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, out, _ = shell("evaluate", folder, "--data-root", tiny_css, "--device", "cpu")
    assert code == 0 and "R1" in out and "320 queries" in out


def test_folders_that_are_left_out_are_the_labs_own(shell, tmp_path, tiny_css, monkeypatch):
    """As in notebooks and in Python, wherever the command is started; "." is the folder where that is."""
    (tmp_path / "home" / "data").mkdir(parents=True)
    (tmp_path / "home" / "data" / "css-tiny").symlink_to(tiny_css)
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("MAAF_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    train = ["train", "--model", "text_only", "--dataset", "css", "--profile", "smoke", "--steps", "2", "--device", "cpu"]
    code, out, err = shell(*train)
    folder = Path(out.splitlines()[-1])
    assert code == 0, err
    assert folder.parent == tmp_path / "home" / "runs" and not list(Path.cwd().iterdir())
    code, out, err = shell("table", "1", "--profile", "smoke", "--steps", "2", "--row", "Text only", "--device", "cpu")
    assert code == 0 and "2 steps" in out, err
    assert [path.name for path in (tmp_path / "home" / "runs").iterdir()] == [folder.name], "the same run"
    code, out, _ = shell(*train, "--runs-root", ".")
    assert code == 0 and out.splitlines()[-1] == folder.name and (Path.cwd() / folder.name).is_dir()
    code, _, err = shell("table", "1", "--profile", "smoke", "--steps", "2", "--row", "Text only", "--runs-root", ".")
    assert code == 0 and len(list(Path.cwd().iterdir())) == 1, err
    table, figures = open_table("1"), open_figures()
    assert (table.data_root, figures.data_root) == (tmp_path / "home" / "data",) * 2
    assert (table.runs_root, figures.runs_root, figures.out) == tuple(tmp_path / "home" / n for n in ("runs", "runs", "figures"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "maff", "--profile", "smoke"], "unknown system 'maff'; known: maaf, two_stream, tirg, "),
        (["--model", "maaf", "--profile", "smoek"], "unknown profile 'smoek'; known: paper, laptop, smoke"),
        (
            ["--model", "maaf", "--profile", "smoke", "--set", "model.widht=3"],
            "model.widht: maaf has no such setting; it reads att",
        ),
        (["--model", "maaf", "--profile", "smoke", "--set", "model.heads"], "expected name=value, found 'model.heads'"),
        (["--model", "maaf", "--profile", "smoke", "--set", "train.seed=1"], "--set train.seed: use --seed instead"),
        (["--model", "maaf", "--profile", "smoke", "--set", "model.heads=5"], "does not divide into 5 heads"),
        (
            ["--model", "maaf", "--profile", "smoke", "--steps", "0"],
            "train.steps: expected a whole number, at least 1 and at most 1,000,000,000; found",
        ),
        (
            ["--model", "maaf", "--profile", "smoke", "--set", "train.batch_size=4000"],
            "one batch of 4000 queries, found 320: lower it, with --set train.batch_size=320 or in",
        ),
    ],
    ids=str,
)
def test_wrong_settings_are_a_message_and_exit_code_2(shell, tmp_path, tiny_css, args, message):
    where = ["--dataset", "css", "--data-root", tiny_css, "--runs-root", tmp_path]
    code, out, err = shell("train", *where, *args)
    assert code == 2 and out == ""
    assert "maaf-lab: " in err and message in err and "Traceback" not in err
    assert not list(tmp_path.rglob("model.safetensors"))


def test_wrong_data_is_a_message_and_exit_code_2(shell, tmp_path):
    where = ["--dataset", "css", "--data-root", tmp_path, "--runs-root", tmp_path / "runs"]
    code, _, err = shell("train", "--model", "maaf", *where)
    assert code == 2 and "maaf-lab: " in err and "Traceback" not in err
    code, _, err = shell("evaluate", tmp_path, "--data-root", tmp_path)
    assert code == 2 and "expected a run's folder with its config.json, found none" in err
    code, _, err = shell("evaluate", "css-laptop")
    assert code == 2 and "expected a run that was trained here" in err


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("yes", True), ("on", True), ("false", False), ("no", False), ("off", False)]
)
def test_words_for_true_and_false(shell, tmp_path, tiny_css, monkeypatch, text, value):
    made = []
    monkeypatch.setattr(
        "maaf_lab.experiments.train.train_and_evaluate", lambda config, *_args, **_named: made.append(config) or exit(3)
    )
    shell(*train_words(tiny_css, tmp_path, "--set", f"model.include_text={text}", "--set", f"train.compile={text}"))
    assert made[0].model.include_text is value and made[0].train.compile is value


@pytest.mark.parametrize(
    "setting",
    [
        "model.include_text=nope",
        "model.blocks=1.5",
        "train.batch_size=16.0",
        "model.scale=NaN",
        'model.image_channels=["a"]',
        "model.width=" + "[" * 3000,
        "train.steps=Infinity",
    ],
)
def test_the_shell_refuses_in_one_line(shell, tmp_path, tiny_css, setting):
    code, out, err = shell(*train_words(tiny_css, tmp_path, "--set", setting))
    assert code == 2 and out == "" and err.startswith("maaf-lab: ") and len(err.splitlines()) == 1
    assert setting.partition("=")[0] in err and not list(tmp_path.iterdir())


def test_the_shell_lists_the_settings_of_a_system(shell):
    code, out, _ = shell("settings", "tirg")
    width = "model.width: D of every token and embedding. (a whole number, at least 1 and at most 8,192; default 512)"
    assert code == 0 and width in out
    assert "model.blocks" not in out and "train.seed: " in out and "data.pixels: " in out
    assert shell("settings", "maff")[0] == 2


def test_the_help_imports_neither_torch_nor_pydantic():
    code = (
        "import sys; sys.argv = ['maaf-lab', '--help']\nfrom maaf_lab import cli\ntry: cli.main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'pydantic'} & set(sys.modules)\nimport maaf_lab.config, maaf_lab.profiles\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), RecursionError("too deep"), MemoryError(), EOFError(), KeyError("x")]
)
def test_the_last_net_is_one_line_and_a_saved_report(shell, tmp_path, monkeypatch, error):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(*_):
        raise error

    monkeypatch.setattr("maaf_lab.data.registry.check", fail)
    code, out, err = shell("check", "css", "--root", tmp_path)
    (report,) = tmp_path.iterdir()
    assert (
        (code, out) == (1, "")
        and err.count("\n") == 1
        and err.startswith("maaf-lab: a defect of the lab, ")
        and str(report) in err
    )
    text = report.read_text()
    assert type(error).__name__ in text and "Traceback" in text and "check css --root" in text
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    code, _, err = shell("check", "css", "--root", tmp_path)
    assert code == 1 and err.count("\n") == 1 and "could not be saved" in err


def test_a_wrong_module_is_told_before_anything_is_done(shell, tmp_path, tiny_css, monkeypatch, no_training):
    monkeypatch.setenv("MAAF_LAB_MODULES", "")  # set back after the test
    monkeypatch.setattr("sys.path", sys.path.copy())
    code, out, err = shell("--with", "nowhere_at_all", *train_words(tiny_css, tmp_path))
    assert code == 2 and out == "" and "'nowhere_at_all' could not be imported" in err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        ("a", "a", "nothing was trained. Delete"),
        ("a", "b", "trained; the lab's code has changed since. Delete"),
        ("a", "a+", "trained; the lab's code has changed since. Delete"),
        ("a+", "a+", "trained; the lab's code may have changed since. Delete"),
        ("unknown", "unknown", "nothing was trained. Delete"),
    ],
)
def test_a_finished_run_says_whether_the_code_has_changed(tmp_path, monkeypatch, then, now, told):
    (tmp_path / "environment.json").write_text(json.dumps({"commit": then}))
    monkeypatch.setattr("maaf_lab.experiments.runs.lab_commit", lambda: now)
    assert told in cli.runs._finished_earlier(Run(tmp_path))


def test_a_run_is_found_by_its_name(shell, tmp_path, tiny_css):
    """In the folder of all runs, by every command that takes one."""
    code, out, err = shell(*train_words(tiny_css, tmp_path, "--steps", "2", "--device", "cpu", model="text_only"))
    name = Path(out.splitlines()[-1]).name
    code, out, err = shell("evaluate", name, "--runs-root", tmp_path, "--device", "cpu")
    assert code == 0 and "320 queries" in out, err
    code, out, err = shell("record", name, "--runs-root", tmp_path, "--out", tmp_path / "records")
    assert code == 0 and out.strip() == name, err
    code, _, err = shell("record", "nowhere", "--out", tmp_path / "records")
    assert code == 2 and "'nowhere' is no run's folder, no run in " in err


def test_a_table_of_ones_own(shell, tmp_path, tiny_css, monkeypatch, no_training):
    """It needs its printed numbers before anything is trained; without statements nothing is said of orderings."""
    mine = replace(TABLES["1"], key="8", comparisons=())
    monkeypatch.setitem(TABLES, "8", mine)
    ask = ["table", "8", "--row", "Text only", "--profile", "smoke", "--data-root", tiny_css, "--runs-root", tmp_path / "runs"]
    code, _, err = shell(*ask)
    assert code == 2 and "no printed numbers of table '8', no paper/table8.csv; known: 1, 2" in err
    shutil.copytree(printed._FOLDER, tmp_path / "paper", ignore=lambda *_: ["__pycache__"])
    shutil.copy(tmp_path / "paper" / "table1.csv", tmp_path / "paper" / "table8.csv")
    monkeypatch.setattr(printed, "_FOLDER", tmp_path / "paper")
    assert paper_table("8").attrs["title"] == f"Table 8. {mine.title}"
    monkeypatch.setattr("maaf_lab.paper.table_experiment.TableExperiment.frame", lambda self: "")
    monkeypatch.setattr("maaf_lab.paper.table_experiment.TableExperiment.caption", lambda self: "")
    monkeypatch.setattr("maaf_lab.plots.tables.table_text", lambda *_: "the table")
    code, out, err = shell(*ask)
    assert code == 0 and out.strip() == "the table", err
