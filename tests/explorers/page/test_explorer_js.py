"""The page's script in Node.js, without a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import maaf_lab
from maaf_lab.explorers.page.html import HERE


@pytest.fixture(scope="module")
def node():
    found = shutil.which("node")
    return found or pytest.skip("needs Node.js (18 or newer), which runs the explorers' scripts without a browser")


def test_the_page_by_itself(node):
    """Numbers, sentences and colors of a selection, in JavaScript: `explorer.test.mjs`."""
    command = [node, "--test", "--test-reporter=tap", Path(__file__).parents[1] / "explorer.test.mjs"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "# pass 7" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("run", ["css-laptop", "garments-laptop"])
def test_the_page_paints_what_python_paints(node, run, tmp_path):
    """The script and `attention_paint` are twins: every attribute, for selections of all kinds. In a browser: test_browser."""
    random, state = np.random.default_rng(0), maaf_lab.explore_attention(run, query=12).state
    blocks, heads, tokens = state.data["records"][0]["weights"]["shape"][:3]
    selections = [
        {
            "compare": str(random.choice(["off", "word", "head"])),
            "active": int(random.integers(2)),
            "thumbs": str(random.choice(["patches", "token"])),
            "sides": [
                {
                    "record": 0,
                    "block": int(random.integers(blocks)),
                    "head": int(random.integers(heads + 1)),
                    "token": int(random.integers(-1, tokens)),
                }
                for _ in range(2)
            ],
        }
        for _ in range(24)
    ]
    (tmp_path / "selections.json").write_text(json.dumps({"data": state.data, "selections": selections}))
    script = f"""
import {{ readFileSync }} from "node:fs";
import {{ paint, unpack }} from {json.dumps((HERE / "explorer.js").as_uri())};
const {{ data, selections }} = JSON.parse(readFileSync("selections.json", "utf8"));
const weights = data.records.map((record) => unpack(record.weights));
process.stdout.write(JSON.stringify(selections.map((selection) => paint(data, weights, selection))));"""
    (tmp_path / "paint.mjs").write_text(script)
    done = subprocess.run([node, "paint.mjs"], capture_output=True, text=True, encoding="utf-8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for selection, painted in zip(selections, json.loads(done.stdout), strict=True):
        assert painted == state.painted(selection), selection
