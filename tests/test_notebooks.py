"""Notebooks are run, checked and cleaned on tiny ones made here; the committed ones must be clean and guarded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from maaf_lab import notebooks
from maaf_lab.errors import ConfigError
from maaf_lab.notebooks import NotebookError

COMMITTED = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
CLEAN = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}, "language_info": {"name": "python"}}
PARAMETERS = "profile = 'smoke'  # or laptop\nsteps: int = 3\nrate = 0.5\nnames = ['a']\nanything = None"


def write(path: Path, *cells, parameters: str | None = PARAMETERS) -> Path:
    nb = new_notebook(metadata=CLEAN)
    if parameters is not None:
        guard = new_code_cell("from maaf_lab import notebooks\nnotebooks.check_parameters()")
        nb.cells += [new_code_cell(parameters, metadata={"tags": ["parameters"]}), guard]
    nb.cells += [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    nbformat.write(nb, path)
    return path


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nb")
    source = write(
        folder / "tiny.ipynb", new_markdown_cell("# Title\n$x^2$"), "import os; print(profile, steps, os.getcwd())",
        "import matplotlib.pyplot as plt\nplt.plot([1, steps])\nplt.show()",
        "import ipywidgets\nipywidgets.IntSlider(description='head')",
    )  # fmt: skip
    before = source.read_bytes()
    made = notebooks.execute(source, folder / "out", {"steps": 5, "rate": 1}, progress=False)
    assert source.read_bytes() == before
    return made


def text_of(path: Path) -> str:
    nb = nbformat.read(path, as_version=4)
    return "".join(output.get("text", "") for cell in nb.cells for output in cell.get("outputs", []))


def test_progress_bars_are_not_on_the_page(tmp_path):
    source = write(
        tmp_path / "bars.ipynb",
        "from tqdm.notebook import tqdm\nfor _ in tqdm(range(3), desc='working'):\n    pass",
        "import ipywidgets\nipywidgets.IntSlider(description='head')",
    )
    done = notebooks.execute(source, tmp_path / "out", progress=False)
    assert "working:" in done.ipynb.read_text() and "working:" not in done.html.read_text()
    assert "IntSlider" in done.html.read_text()


def test_execute_runs_in_the_notebooks_folder_with_parameters(executed):
    assert text_of(executed.ipynb).split() == ["smoke", "5", str(executed.ipynb.parents[1])]
    assert executed.html == executed.ipynb.with_suffix(".html")


def test_executed_notebook_has_no_paths_or_timings_in_its_metadata(executed):
    nb = nbformat.read(executed.ipynb, as_version=4)
    assert "papermill" not in nb.metadata
    assert all(set(cell.metadata) <= {"tags"} for cell in nb.cells)
    assert all(cell.execution_count for cell in nb.cells if cell.cell_type == "code")


def test_a_kernel_does_not_warn_on_the_terminal(tmp_path, capfd):
    notebooks.execute(write(tmp_path / "one.ipynb", "1"), tmp_path / "done", progress=False)
    assert "IPKernelApp" not in capfd.readouterr().err


def test_an_article_has_outputs_and_no_code(tmp_path):
    told = new_code_cell("print('for a test')", metadata={"tags": [notebooks.NOT_ON_A_PAGE]})
    told.outputs = [new_output("stream", text="for a test")]
    seen = new_code_cell("print('seen' + '!')")
    seen.outputs = [new_output("stream", text="seen!"), new_output("stream", name="stderr", text="warning")]
    article = notebooks.to_article(write(tmp_path / "a.ipynb", new_markdown_cell("# Title"), told, seen))
    assert "Title" in article and "seen!" in article
    assert not any(hidden in article for hidden in ("for a test", "print", "warning", "check_parameters"))


def test_html_page_loads_nothing_from_elsewhere(executed):
    html = executed.html.read_text(encoding="utf-8")
    assert "smoke 5" in html and "data:image/png;base64," in html
    assert "IntSlider" in html, "a widget must leave its text behind"
    assert re.findall(r"<script[^>]*\ssrc=", html) == []
    assert re.findall(r"<link[^>]*\shref=", html) == []
    assert re.findall(r"""(?:src|import|url)\s*[=(]?\s*["'(]\s*(?:https?:)?//[^"')]+""", html) == []
    assert not re.search(r"cdnjs|jsdelivr|unpkg|googleapis", html)


@pytest.mark.parametrize("given, message", [
    ({"stepz": 3, "steps": 1}, r"tiny.ipynb has no parameter 'stepz'; its parameters and defaults: profile = 'smoke', st"),
    ({"steps": "3"}, r"'steps' takes int \(its default is 3\); found '3', str"),
    ({"steps": 2.5}, r"found 2.5, float"),
    ({"steps": True}, r"found True, bool"),
    ({"profile": 3}, r"'profile' takes str"),
    ({"names": "a"}, r"'names' takes list"),
])  # fmt: skip
def test_wrong_parameters_are_refused_before_anything_runs(tmp_path, given, message):
    source = write(tmp_path / "tiny.ipynb", "raise SystemExit('never run')")
    with pytest.raises(ConfigError, match=message):
        notebooks.execute(source, tmp_path / "out", given)
    assert not (tmp_path / "out").exists()


def test_declared_parameters(tmp_path):
    declared = notebooks.declared_parameters(write(tmp_path / "a.ipynb"))
    assert declared == {"profile": "smoke", "steps": 3, "rate": 0.5, "names": ["a"], "anything": None}
    plain = write(tmp_path / "b.ipynb", parameters=None)
    assert notebooks.declared_parameters(plain) == {}
    with pytest.raises(ConfigError, match=r"defaults: none \(it has no parameters cell\)"):
        notebooks.execute(plain, tmp_path / "out", {"steps": 1})


def test_parameters_are_read_as_python_reads_them(tmp_path):
    """Folders of a data lake hold `=`, sentences hold `#`, and a list may take several lines."""
    source = """\
root = '/data/date=2026-01-02'
sentence = 'model # 5'  # help
names: list = [
    'a=b',  # one
]
long = '''a
b'''"""
    path = write(tmp_path / "a.ipynb", "print(root, names)", parameters=source)
    assert notebooks.declared_parameters(path) == {
        "root": "/data/date=2026-01-02", "sentence": "model # 5", "names": ["a=b"], "long": "a\nb"
    }  # fmt: skip
    done = notebooks.execute(path, tmp_path / "out", {"root": "x=y # z"}, progress=False)
    assert "x=y # z ['a=b']" in text_of(done.ipynb)


def test_python3_is_the_labs_own_python(tmp_path, monkeypatch):
    """A JUPYTER_PATH, as clusters have it, offers another Python by that name."""
    kernel = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text('{"argv": ["/bin/false", "{connection_file}"], "display_name": "site", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = write(tmp_path / "a.ipynb", "import sys; print(sys.executable)")
    assert text_of(notebooks.execute(path, tmp_path / "out", progress=False).ipynb).strip() == sys.executable
    notebooks.refresh(path)
    assert notebooks.clean(path, check=True) is False


@pytest.mark.parametrize("source", ["import os\na = 1", "import os", "a = 1\nb = a", "a, b = 1, 2", "a = b = 1", "a ="])
def test_a_parameters_cell_holds_literals_only(tmp_path, source):
    with pytest.raises(NotebookError, match="`name = literal` lines only"):
        notebooks.declared_parameters(write(tmp_path / "a.ipynb", parameters=source))


def test_a_failing_cell_raises_its_error_and_leaves_the_partial_notebook(tmp_path):
    source = write(tmp_path / "tiny.ipynb", "print('so far')", "1 / 0")
    with pytest.raises(NotebookError, match=r"tiny.ipynb: cell 4 failed with ZeroDivisionError: division by zero") as caught:
        notebooks.execute(source, tmp_path / "out", progress=False)
    partial = tmp_path / "out" / "tiny.ipynb"
    assert str(partial) in str(caught.value)
    assert "so far" in text_of(partial) and "papermill" not in nbformat.read(partial, as_version=4).metadata
    before = source.read_bytes()
    with pytest.raises(NotebookError, match="left as it was"):
        notebooks.refresh(source)
    assert source.read_bytes() == before


def test_execute_does_not_overwrite_its_source(tmp_path):
    source = write(tmp_path / "tiny.ipynb")
    with pytest.raises(ConfigError, match="would be overwritten"):
        notebooks.execute(source, tmp_path)


@pytest.mark.parametrize("option, error", [
    (["-p", "stepz", "3"], "ConfigError: this notebook has no parameter 'stepz'; its parameters and defaults: profile = 'smoke'"),
    (["-p", "steps", "many"], "ConfigError: this notebook: parameter 'steps' takes int"),
    (["-p", "steps", "4", "-p", "rate", "2"], None),
])  # fmt: skip
def test_papermill_called_directly_fails_on_a_wrong_parameter(tmp_path, option, error):
    source = write(tmp_path / "tiny.ipynb", "print('reached')")
    command = [sys.executable, "-m", "papermill", str(source), str(tmp_path / "out.ipynb"), "--no-progress-bar", *option]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    if error:
        assert done.returncode != 0 and error in done.stderr
        assert "reached" not in text_of(tmp_path / "out.ipynb")
    else:
        assert done.returncode == 0, done.stderr
        assert "reached" in text_of(tmp_path / "out.ipynb")


def test_check_parameters_in_a_kernels_history(monkeypatch):
    import IPython

    class Shell:
        user_ns: ClassVar = {"In": []}

    monkeypatch.setattr(IPython, "get_ipython", Shell)
    call = "notebooks.check_parameters()"
    for cells in (
        [],
        [PARAMETERS],
        ["# Parameters\nsteps = 1"],
        [PARAMETERS, "# Parameters\nsteps = 1\nrate = float('nan')"],
        [PARAMETERS, "# Parameters\nsteps = 1", "k = 5", "import os", "# Parameters\nsteps = 1"],
    ):
        Shell.user_ns["In"] = ["", *cells, call]
        notebooks.check_parameters()
    Shell.user_ns["In"] = ["", "# What follows\n", PARAMETERS, "# Parameters\nstep = float('nan')\n", call]
    with pytest.raises(ConfigError, match="no parameter 'step'"):
        notebooks.check_parameters()


def test_clean_keeps_what_is_compared_and_drops_the_rest(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    home = str(Path.home())
    path = write(tmp_path / "a.ipynb", "print(1)")
    nb = nbformat.read(path, as_version=4)
    nb.metadata.update(papermill={"input_path": home}, widgets={"x": 1}, toc=True)
    nb.metadata.language_info = {"name": "python", "version": "3.11.1", "pygments_lexer": "ipython3"}
    cell = nb.cells[-1]
    cell.metadata.update(execution={"iopub.status.busy": "2020"}, tags=["slow"], collapsed=True)
    cell.execution_count = 7
    picture = {"image/png": "aGVsbG8=", "text/plain": f"Figure('{tmp_path}/figures/a.png')"}
    cell.outputs = [
        new_output("stream", text=f"wrote {tmp_path}/runs/x\nread {home}/data and /work in {tmp_path}-more\n"),
        new_output("display_data", data=picture),
        new_output("error", ename="E", evalue=f"no {tmp_path}/b", traceback=["File /tmp/ipykernel_12/345.py:1"]),
    ]
    nbformat.write(nb, path)
    assert notebooks.clean(path, check=True) and "papermill" in path.read_text()
    assert notebooks.clean(path)
    assert not notebooks.clean(path) and not notebooks.clean(path, check=True)
    nb = nbformat.read(path, as_version=4)
    assert nb.metadata == CLEAN
    assert nb.cells[0].metadata == {"tags": ["parameters"]} and nb.cells[1].metadata == {}
    cell = nb.cells[-1]
    assert (cell.metadata, cell.execution_count) == ({"tags": ["slow"]}, 7)
    stream, display, error = cell.outputs
    assert stream.text.startswith("wrote ./runs/x\nread ~/data and /work in ") and f"in {tmp_path.name}" not in stream.text
    assert display.data == {"image/png": "aGVsbG8=", "text/plain": "Figure('./figures/a.png')"}
    assert (error.evalue, error.traceback) == ("no ./b", ["File <cell>:1"])


def test_refresh_runs_in_place_and_cleans(tmp_path):
    path = write(tmp_path / "a.ipynb", "print('now', steps)")
    notebooks.refresh(path)
    assert "now 3" in text_of(path) and not notebooks.clean(path, check=True)


def test_command_line(tmp_path, capsys):
    path = write(tmp_path / "a.ipynb", new_code_cell("1", metadata={"collapsed": True}))
    assert [notebooks.main([*options, str(path)]) for options in (["--check"], [], ["--check"], ["--what"])] == [1, 0, 0, 2]
    printed = capsys.readouterr()
    assert [line.split()[-1] for line in printed.out.splitlines()] == ["unclean", "cleaned", "clean"]
    assert "python -m maaf_lab.notebooks" in printed.err


def sanitized(text: str) -> str:
    rules = Path(__file__).resolve().parents[1] / "notebooks" / "sanitize.cfg"
    for regex, replacement in pytest.importorskip("nbval.plugin").get_sanitize_patterns(rules.read_text(encoding="utf-8")):
        text = re.sub(regex, replacement, text)
    return text


@pytest.mark.parametrize("committed, fresh", [
    ("wrote ./runs/css-maaf-1/log.csv", "wrote /home/me/lab/runs/css-maaf-1/log.csv"),
    ("'~/data/css'", "'/srv/data/css'"),
    ("took 3 min 4 s, 0.15 s a step", "took 12 s, 98 ms a step"),
    ("2024-05-06 07:08:09 start", "2031-01-01T00:00:00.123Z start"),
    ("train: 100%|#####| 30/30 [00:03<00:00, 9.1it/s]\nR1 51.2", "\rtrain:  50%|##   | 15/30 [00:09<00:11, 1.10s/it]\rR1 51.2"),
    ("<object at 0x7f00aa11bb22>", "<object at 0x55d0aa11bb22>"),
    ("\x1b[31mred\x1b[0m 12.5 steps/s", "red 7 steps/s"),
    ("torch 2.14.1, numpy==2.4.6", "torch 2.9.0+cpu, numpy==2.0"),
    ("File /tmp/ipykernel_1/2.py:3", "File <cell>:3"),
])  # fmt: skip
def test_sanitize_hides_what_machines_and_hours_decide(committed, fresh):
    assert sanitized(committed) == sanitized(fresh)


@pytest.mark.parametrize("text", [
    "R1 72.4 [70.9, 73.8], R10 95.1", "css-maaf-0123456789 | 2,000 steps | seed 0", "7x7/14x14, 1/2/3, and/or/not",
    "16,000 queries over 3 seeds; batch 96", "<tr><td>87.8 +- 0.9</td></tr></tbody></table>", "head 3: top 10 of 100%",
])  # fmt: skip
def test_sanitize_leaves_numbers_alone(text):
    assert sanitized(text) == text


def test_missing_and_broken_notebooks(tmp_path):
    with pytest.raises(NotebookError, match="no notebook at"):
        notebooks.clean(tmp_path / "none.ipynb")
    (tmp_path / "bad.ipynb").write_text("[1, 2")
    with pytest.raises(NotebookError, match="expected a Jupyter notebook"):
        notebooks.to_html(tmp_path / "bad.ipynb")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_notebooks_are_clean_run_and_guarded(path):
    assert not notebooks.clean(path, check=True), f"run: python -m maaf_lab.notebooks {path.name}"
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells), "a cell without an execution count is not compared by nbval"
    if notebooks.declared_parameters(path):
        at = next(i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", []))
        assert "check_parameters()" in cells[at + 1].source, "the cell after the parameters must call check_parameters()"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_notebooks_are_compared(path):
    """No cell is skipped or allowed to fail, and at most one in ten has its output ignored."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    marks = [{*cell.metadata.get("tags", []), *re.findall(r"#\s*(NBVAL\w+|PYTEST\w+)", cell.source)} for cell in cells]
    marks = [{mark.lower().replace("_", "-") for mark in of} for of in marks]
    refused = {"nbval-skip", "nbval-raises-exception", "raises-exception", "pytest-validate-ignore-output"}
    assert not any(of & refused for of in marks)
    ignored = sum("nbval-ignore-output" in of for of in marks)
    assert ignored <= len(cells) / 10, f"{ignored} of {len(cells)} cells have their output ignored"
