"""What all explorers share: a second run, saved files, no widgets left behind, errors as messages."""

from __future__ import annotations

import re

import ipywidgets
import pytest
from drawings import sound
from PIL import Image as PILImage

import maaf_lab
from maaf_lab.errors import ConfigError
from maaf_lab.explorers.attention.widget import AttentionExplorer
from maaf_lab.explorers.modifications.widget import ModificationExplorer
from maaf_lab.explorers.retrieval.widget import RetrievalExplorer


def test_a_second_run_is_named_in_the_widget(attention, retrieval, rankings, garments):
    """And one that does not fit, or is none, is a message; what was shown stays."""
    modifications = ModificationExplorer(rankings, garments)
    shown = repr(attention), repr(retrieval), repr(modifications)
    for explorer in (attention, retrieval):
        explorer.control("beside it").value = "garments-laptop"
        assert "two models of one dataset" in explorer.message.value
    modifications.control("beside it").value = "css-laptop"
    assert "two models of one dataset" in modifications.message.value
    for explorer in (attention, retrieval, modifications):
        explorer.control("beside it").value = "nothing of the kind"
        assert "is no run" in explorer.message.value and "alert" in explorer.message.value
    assert (repr(attention), repr(retrieval), repr(modifications)) == shown
    attention.compare("css-laptop")
    retrieval.compare("css-laptop")
    modifications.compare("fashion_iq-tirg-815bb2bbab")
    assert "model" in attention.state.data["compares"] and len(retrieval.state.turns[0].found) == 2
    assert modifications.state.models == ("one", "tirg, 900 steps (bbab)") and modifications.message.value == ""
    for explorer in (attention, retrieval, modifications):
        explorer.control("beside it").value = ""
    assert len(retrieval.state.turns[0].found) == len(attention.state.seen) == len(modifications.state.models) == 1


@pytest.mark.parametrize("kind", ["attention", "retrieval", "modifications", "together"])
def test_saved_files(kind, css, rankings, garments, tmp_path):
    make = {
        "attention": lambda: AttentionExplorer([css], 12),
        "retrieval": lambda: RetrievalExplorer([css], 12),
        "modifications": lambda: ModificationExplorer(rankings, garments),
        "together": lambda: maaf_lab.explore("css-laptop", query=12),
    }[kind]
    explorer = make()
    for ending in ("html", "svg", "png"):
        assert explorer.save(tmp_path / f"x.{ending}").stat().st_size > 10_000
    html = (tmp_path / "x.html").read_text()
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", html) and "@import" not in html
    sound((tmp_path / "x.svg").read_text())
    assert PILImage.open(tmp_path / "x.png").width == 2040
    again = make()
    for ending in ("html", "svg", "png"):
        before = (tmp_path / f"x.{ending}").read_bytes()
        assert again.save(tmp_path / f"y.{ending}").read_bytes() == before, "the same state, the same bytes"
    bundle = explorer._repr_mimebundle_()
    assert {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"} <= set(bundle) and bundle[
        "text/plain"
    ] == repr(explorer)
    for name, message in (("x.pdf", "ends in .html, .svg, .png, found 'x.pdf'"), ("nowhere/x.png", "a folder that is there")):
        with pytest.raises(ConfigError, match=message):
            explorer.save(tmp_path / name)


def test_interactions_leave_nothing_behind(attention, retrieval, rankings, garments):
    """Hundreds of interactions must not collect widgets, of which each is a model in the browser too."""

    def alive() -> int:
        return len(ipywidgets.Widget.get_manager_state()["state"])

    modifications = ModificationExplorer(rankings, garments, details=False)
    before = None
    for n in range(30):
        attention.query = 40 + n % 7
        attention.turn_off([(0, n % 8)])
        retrieval.type(f"make cube {('red', 'blue', 'small')[n % 3]}")
        modifications.pick(("color", "shape")[n % 2])
        before = before or alive()
    assert alive() == before


def test_errors_in_a_notebook_are_messages():
    assert ConfigError("what to do")._render_traceback_() == ["ConfigError: what to do"]
