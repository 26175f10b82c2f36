"""The attention explorer's drawing, compared with slow, obvious counts."""

from __future__ import annotations

import numpy as np
from drawings import SVG, sound

from maaf_lab.explorers.attention.drawing import attention_svg
from maaf_lab.explorers.attention.paint import PATCHES, color, number, packed, unpacked
from maaf_lab.explorers.attention.state import AttentionState, Seen, start_selection
from maaf_lab.explorers.attention.widget import AttentionExplorer
from maaf_lab.explorers.page.svg import palette
from maaf_lab.utils.wording import rank_name


def test_attention_shows_what_the_model_attends_to(attention, css):
    look = css.look(css.split.queries[12].source, css.text_of(12))
    root = sound(attention.svg())
    cells = {e.get("id"): e for e in root.iter() if (e.get("id") or "").startswith("c0-0-")}
    row = unpacked(packed(look.weights))[0].mean(0)[50]  # “middleleft”, which names something
    for i in range(49):
        assert cells[f"c0-0-{i}"].get("fill") == palette(False)[int(255 * row[i] / row[:49].max() + 0.5)]
        assert cells[f"c0-0-{i}"].get("aria-label") == f"7x7 row {i // 7 + 1}, column {i % 7 + 1}: {number(row[i], False)}"
    texts = {e.get("id"): e.text for e in root.iter(f"{SVG}text")}
    assert texts["n0"] == number(row[49], False) and texts["n2"] == number(row[51], False)
    assert "“middleleft” looks past what it names" in texts["q0"]
    ranks = css.ranks_without_each(12)
    assert [texts[f"x{h}"] for h in range(1, 9)] == [f"off: {rank_name(r)}" for r in ranks[0]]
    assert "target 1st" in repr(attention) and attention.svg() == AttentionExplorer([css], 12).svg(), "same state, same bytes"


def test_the_referent_is_weighed_by_its_share(attention):
    state = attention.state
    record, row = state.data["records"][0], state.weights[0][0].mean(0)[50][:49]
    cover = np.array(record["referents"]["50"])
    share = (row * cover).sum() / cover.sum() / ((row * (1 - cover)).sum() / (1 - cover).sum())
    assert f"{share:.2f} × the attention of the rest" in state.painted()["q0"]["text"] and share < 0.55
    assert (
        state.painted({**state.selection, "sides": [{**state.selection["sides"][0], "token": PATCHES}] * 2})["q0"]["text"] == ""
    )


def test_signed_attention_stands_on_a_diverging_scale():
    weights = np.random.default_rng(0).normal(size=(1, 2, 6, 6))
    seen = (Seen("identity", weights, {"2x2": (0, 4)}, ("red", "cube"), True, ("block 1",)),)
    state = AttentionState(seen, np.zeros((8, 8, 3), np.uint8), "made", start_selection(seen))
    painted, row = state.painted(), state.weights[0][0].mean(0)[5]
    assert painted["c0-0-0"]["fill"] == color(row[0], np.abs(row[:4]).max(), True) and painted["d0"]["display"] == "none"
    assert painted["m0"]["text"] == number(np.abs(row[:4]).max(), True) and painted["l0"]["text"].startswith("−")
    assert "signed scores, not shares" in painted["r0"]["text"]
    sound(attention_svg(state))
