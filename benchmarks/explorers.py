"""How fast the explorers answer, in JupyterLab and a headless Chromium: first view, hovering, a head, typing, and memory.

    python benchmarks/explorers.py

Milliseconds are from the browser's own clock: from the event until the drawing has changed. Times of this machine; the first
view is also given as a share of what importing torch alone takes here. Writes explorers.json.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import jupyter  # noqa: E402

# Resolves to the milliseconds from `act()` until the drawing differs from before: its attributes, or the drawing as a whole.
TIMED = """async ([what, value]) => {
  const drawing = document.querySelector(".maaf-drawing");
  const start = performance.now();
  const done = new Promise((resolve) => {
    const seen = new MutationObserver(() => {
      seen.disconnect();
      requestAnimationFrame(() => resolve(performance.now() - start));
    });
    seen.observe(drawing.closest(".maaf"), { subtree: true, childList: true, attributes: true, characterData: true });
  });
  const one = (selector) => drawing.querySelector(selector);
  if (what === "hover") one(`[data-token="${value}"]`).dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
  else if (what === "head") {
    one(`[data-set="head"][data-value="${value}"]`).dispatchEvent(new MouseEvent("click", { bubbles: true }));
  }
  else {
    const boxes = [...document.querySelectorAll(".widget-text")];
    const box = boxes.find((e) => e.innerText.includes("change it")).querySelector("input");
    box.value = value;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  }
  return done;
}"""
HEAP = "() => performance.memory.usedJSHeapSize"
TORCH_ALONE = """import subprocess, sys, time
start = time.monotonic()
subprocess.run([sys.executable, '-c', 'import torch'])
print(time.monotonic() - start)"""
RSS = "import gc, os\ngc.collect()\nprint(int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE'))"


def _spread(values: list[float]) -> dict[str, float]:
    return {"median_ms": round(statistics.median(values), 1), "largest_ms": round(max(values), 1), "times": len(values)}


def _end_kernels(page, address: str) -> None:
    """What an earlier notebook still computes would slow the next one."""
    page.wait_for_timeout(500)
    page.goto("about:blank")
    with urllib.request.urlopen(f"{address}/api/kernels") as answer:
        running = json.load(answer)
    for kernel in running:
        urllib.request.urlopen(urllib.request.Request(f"{address}/api/kernels/{kernel['id']}", method="DELETE")).close()


NOTEBOOKS = {
    "explore_attention": {"group": "a word", "of_word": "gray"},
    "explore_modifiers": {},
    "explore_retrieval": {},
    "start_here": {},
}


def _first_views(page, address: str, folder: Path, times: int = 3) -> dict[str, dict[str, object]]:
    """From "Run All Cells" in an idle kernel to the first drawing in the browser, beside what importing torch alone takes."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in NOTEBOOKS}
    for n in range(times):
        for name, parameters in NOTEBOOKS.items():
            jupyter.without_outputs(name, folder, **parameters).rename(folder / f"first-{name}-{n}.ipynb")
            lab = jupyter.Notebook(page, address, f"first-{name}-{n}")
            torch_alone = float(lab.execute(TORCH_ALONE))
            page.wait_for_timeout(3000)  # JupyterLab is busy with itself after it has opened a notebook
            lab.page.click("text=Run >> nth=0")
            start = time.monotonic()
            lab.page.click("text=Run All Cells")
            lab.wait(1)
            found[name].append((time.monotonic() - start, torch_alone))
            _end_kernels(page, address)
    return {
        name: {
            "median_seconds": round(statistics.median(seconds for seconds, _ in rows), 2),
            "all_seconds": [round(seconds, 2) for seconds, _ in rows],
            "import_torch_alone_seconds": [round(alone, 2) for _, alone in rows],
            "median_ratio": round(statistics.median(seconds / alone for seconds, alone in rows), 2),
        }
        for name, rows in found.items()
    }


def main() -> None:
    from playwright.sync_api import sync_playwright

    folder = Path(tempfile.mkdtemp())
    with jupyter.server(folder) as address, sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=jupyter.chromium(),
            args=[*jupyter.ARGUMENTS, "--enable-precise-memory-info", "--js-flags=--expose-gc"],
        )
        page = browser.new_page(viewport={"width": 1360, "height": 1100})
        page.set_default_timeout(120_000)
        result = {"first_view": _first_views(page, address, folder)}
        print(result)

        jupyter.without_outputs("explore_attention", folder, group="a word", of_word="gray")
        lab = jupyter.Notebook(page, address, "explore_attention")
        lab.run(2)
        hover = [page.evaluate(TIMED, ["hover", 49 + n % 3]) for n in range(60)]
        heads = [page.evaluate(TIMED, ["head", 1 + n % 8]) for n in range(60)]
        result |= {"new_word": _spread(hover), "new_head": _spread(heads)}
        print(result)
        _end_kernels(page, address)

        jupyter.without_outputs("explore_retrieval", folder, run="css-laptop")
        lab = jupyter.Notebook(page, address, "explore_retrieval")
        lab.run(2)
        colors, shapes = ("red", "blue", "green", "gray", "cyan"), ("cube", "sphere", "cylinder")
        texts = [f"make {color} {shape} {size}" for color in colors for shape in shapes for size in ("small", "large")]
        typed = []
        for text in texts:
            typed.append(page.evaluate(TIMED, ["type", text]))
            page.wait_for_timeout(50)
        result["typed_query_17000_images"] = _spread(typed)
        print(result)

        def memory() -> dict[str, float]:
            kernel = int(lab.execute(RSS))
            page.evaluate("() => { if (window.gc) { gc(); gc(); } }")
            return {"kernel_mb": kernel / 1e6, "browser_mb": page.evaluate(HEAP) / 1e6}

        for n in range(100):  # what is kept on purpose (pictures that were drawn) fills first
            page.evaluate(TIMED, ["type", texts[n % len(texts)]])
        before = memory()
        for n in range(500):
            page.evaluate(TIMED, ["type", texts[n % len(texts)]])
        after = memory()
        result["memory_over_500_typed_queries"] = {
            key: {"before": round(before[key], 1), "after": round(after[key], 1), "ratio": round(after[key] / before[key], 3)}
            for key in before
        }
        browser.close()
    (HERE / "explorers.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
