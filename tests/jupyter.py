"""JupyterLab, started here and driven by a headless Chromium: what the browser tests and `benchmarks/explorers.py` share."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
ERROR = ".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']"


def chromium() -> str | None:
    """The system's Chromium; None where there is none (playwright may have its own)."""
    return next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """JupyterLab on this machine alone, in `folder`, with settings of its own; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = folder / ".jupyter"
    around = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
        "PYTHONPATH": str(ROOT),
        "CI": "true",
    }
    for name, settings in (
        ("apputils-extension/notification", '{"fetchNews": "false", "checkForUpdates": false}'),
        ("notebook-extension/tracker", '{"windowingMode": "none"}'),
    ):  # no question over it, all cells there
        file = own / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(settings)
    log = open(folder / "jupyter.log", "w")  # noqa: SIM115  (closed below)
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--allow-root",
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        "--ServerApp.disable_check_xsrf=True",
        "--LabApp.news_url=",
        f"--ServerApp.root_dir={folder}",
    ]
    running = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=around, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            if running.poll() is not None:
                raise RuntimeError(f"JupyterLab ended at once: {(folder / 'jupyter.log').read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=2)
                break
            except OSError:
                time.sleep(0.25)
        else:
            raise RuntimeError("JupyterLab did not answer within a minute")
        yield address
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
        log.close()


def without_outputs(name: str, folder: Path, **parameters: object) -> Path:
    """A committed notebook in `folder`, its outputs taken out, some parameters changed."""
    nb = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += "".join(f"\n{key} = {value!r}" for key, value in parameters.items())
    nbformat.write(nb, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


class Notebook:
    """A notebook in JupyterLab. drawings: the explorers' drawings in it, in order."""

    def __init__(self, page, address: str, name: str) -> None:
        self.page = page
        page.goto(f"{address}/lab/tree/{name}.ipynb?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.wait_for_function("() => document.querySelector('#jp-main-statusbar')?.innerText.includes('Idle')", timeout=60_000)

    def run(self, drawings: int = 1, timeout: int = 90_000) -> None:
        """Run all cells and wait for the drawings."""
        self.start()
        self.wait(drawings, timeout)

    def start(self) -> None:
        self.page.click("text=Run >> nth=0")
        self.page.click("text=Run All Cells")

    def wait(self, drawings: int = 1, timeout: int = 90_000) -> None:
        self.page.wait_for_function(
            "([n, wrong]) => document.querySelectorAll('.maaf-drawing svg').length >= n || document.querySelector(wrong)",
            arg=[drawings, ERROR],
            timeout=timeout,
        )
        failed = self.page.query_selector(ERROR)
        if failed:
            raise AssertionError(failed.inner_text())

    def drawing(self, n: int = 0):
        return self.page.locator(".maaf-drawing").nth(n)

    def drawn(self, n: int = 0) -> str:
        """How often the kernel has drawn it."""
        return self.page.locator(".maaf > [data-drawn]").nth(n).get_attribute("data-drawn")

    def redrawn(self, before: str, n: int = 0, timeout: int = 60_000) -> None:
        self.page.wait_for_function(
            "([n, before]) => document.querySelectorAll('.maaf > [data-drawn]')[n].dataset.drawn !== before",
            arg=[n, before],
            timeout=timeout,
        )

    def box(self, told: str, nth: int = 0):
        """The input of an ipywidgets control by its description."""
        return self.page.locator(f".widget-inline-hbox:has(.widget-label:text-is('{told}')) input").nth(nth)

    def message(self, n: int = 0) -> str:
        found = self.page.locator(".maaf-message").nth(n)
        return found.inner_text() if found.count() else ""

    def execute(self, code: str, timeout: int = 60_000) -> str:
        """Code in a new last cell; what it prints."""
        page = self.page
        page.locator(".jp-Notebook .jp-Cell").last.click()
        page.keyboard.press("Escape")
        before = page.locator(".jp-Notebook .jp-CodeCell").count()
        page.keyboard.press("b")
        page.wait_for_function("n => document.querySelectorAll('.jp-Notebook .jp-CodeCell').length > n", arg=before)
        page.keyboard.press("Enter")
        mark = f"<done {before}>"
        page.keyboard.insert_text(code + f"\nprint({mark!r})")
        page.keyboard.press("Control+Enter")
        outputs = page.locator(".jp-Notebook .jp-OutputArea-output")
        outputs.filter(has_text=mark).first.wait_for(timeout=timeout)
        return outputs.filter(has_text=mark).first.inner_text().replace(mark, "").strip()
