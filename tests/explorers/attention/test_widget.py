"""The attention explorer without a browser: its boxes, its methods, heads turned off, averages."""

from __future__ import annotations

import re

import pytest
from drawings import press, sound

import maaf_lab
from maaf_lab.errors import ConfigError
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.explorers.attention.widget import AttentionExplorer
from maaf_lab.utils.wording import rank_name


def test_another_query_and_another_text(attention, css):
    attention.find("purple sphere")
    words = css.text_of(attention.query).split()
    assert (
        {"purple", "sphere"} <= set(words)
        and attention.query != 12
        and f"query {attention.query:,} of" in attention.state.caption
    )
    before = attention.query
    attention.step()
    assert attention.query > before and {"purple", "sphere"} <= set(css.text_of(attention.query).split())
    attention.step(-1)
    assert attention.query == before
    shown = attention.svg()
    attention.control("with the words").value = "unicorn"
    assert (
        "no query of css test holds" in attention.message.value
        and "alert" in attention.message.value
        and attention.svg() == shown
    )
    attention.control("with the words").value = "?!"
    assert "expected words of letters" in attention.message.value and attention.svg() == shown
    attention.control("with the words").value = ""
    assert attention.message.value == "", "without words to find there is no message"
    attention.type("make the fluffy sphere red")
    assert "never seen" in attention.message.value and "fluffy" in attention.message.value and "fluffy" in repr(attention)
    assert "no target is known" in attention.state.caption and attention.state.target is None
    attention.control("or your own text").value = "?!"
    assert "expected words" in attention.message.value
    attention.type("")
    assert attention.state.target is not None and f"query {before:,} of" in attention.state.caption
    attention.show_query(40)
    assert attention.query == 40 and css.text_of(40).replace("-", "") in attention.describe()
    attention.query = 10**9
    assert "expected a query from 0 to 15,999" in attention.message.value and "query 40 of" in attention.state.caption


def test_calls_in_code_are_shown_or_refused(attention, css):
    """The same verbs as the boxes and buttons, from a notebook's cell: what is wrong is raised, and what was shown stays."""
    attention.find("purple sphere")
    first = attention.query
    attention.step(2)
    second = attention.query
    attention.step(-1)
    assert first < attention.query < second and attention.control("with the words").value == "purple sphere"
    attention.find("")
    attention.show_query(15_999)
    attention.step()
    assert attention.query == 0, "without words the next one, and after the last the first"
    attention.show_query(12)
    attention.pick("object", head=3)
    assert "“object”, head 3, block 1" in repr(attention) and attention.drawing.selection == attention.state.selection
    attention.pick(0)
    assert "“remove”, head 3, block 1" in repr(attention)
    attention.pick("all patches", head=0)
    assert "all patches, mean of heads, block 1" in repr(attention)
    shown, query = attention.svg(), attention.query
    for verb, message in (
        (lambda: attention.find("unicorn"), "no query of css test holds 'unicorn'"),
        (lambda: attention.find("?!"), "expected words of letters"),
        (lambda: attention.type("?!"), "expected words of letters"),
        (lambda: attention.show_query(-1), "expected a query from 0 to 15,999, found -1"),
        (lambda: attention.pick("cube"), "expected a word of 'remove', 'middleleft', 'object', 'all patches'; found 'cube'"),
        (lambda: attention.pick(3), "expected a word from 0 to 2, found 3"),
        (lambda: attention.pick(head=9), "expected a head from 0 to 8, found 9"),
        (lambda: attention.pick(block=1), "expected a block from 0 to 0, found 1"),
        (lambda: attention.average("mood"), "expected a word, position"),
        (lambda: attention.compare("garments-laptop"), "two models of one dataset"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            verb()
        assert attention.svg() == shown and attention.query == query
    attention.average("position")
    attention.pick("top-left", head=2)
    assert "head 2, block 1, picked top-left" in repr(attention) and attention.control("show").value == "position"
    with pytest.raises(ConfigError, match=r"expected a group of .*'top-left'.*; found 'nowhere'"):
        attention.pick("nowhere")
    attention.type("make cube red")
    assert attention.control("show").value == "this query" and "make cube red" in repr(attention)


def test_heads_off_move_the_target(css):
    """A query that needs a head: its target's rank follows the switch, and comes back."""
    explorer = next(e for q in range(0, 400, 7) if (e := AttentionExplorer([css], q)).state.seen[0].ranks.max() > 1)
    query, ranks = explorer.query, explorer.state.seen[0].ranks
    head = int(ranks[0].argmax())
    explorer.turn_off([(0, head)])
    assert (
        explorer.state.rank_off
        == ranks[0, head]
        == css.rank_of(css.look(css.split.queries[query].source, css.text_of(query), off=[(0, head)]).vector, query)
    )
    assert f"without block 1 head {head + 1}: {rank_name(ranks[0, head])}" in repr(explorer)
    toggles = [explorer.control(f"block 1, head {h} off") for h in range(1, 9)]
    explorer.turn_off([])
    assert explorer.state.rank_off is None and "without" not in repr(explorer) and len(set(toggles)) == 8
    with pytest.raises(ConfigError, match=r"expected the label of a control, one of 'query', .*found 'block 1, head 9 off'"):
        explorer.control("block 1, head 9 off")
    toggles[1].value = True
    assert explorer.off == ((0, 1),)


def test_selections_come_from_the_browser(attention):
    side = {"record": 0, "block": 0, "head": 3, "token": 49}
    attention.drawing.selection = {"compare": "off", "active": 0, "thumbs": "token", "sides": [side, side]}
    assert "“remove”, head 3, block 1" in repr(attention)
    drawn = attention.drawing.drawn
    attention.drawing.selection = {"compare": "word", "active": 1, "thumbs": "token", "sides": [side, {**side, "token": 51}]}
    assert (
        attention.drawing.drawn == drawn + 1 and 'id="c1-0-48"' in attention.drawing.svg and "“object”, head 3" in repr(attention)
    )
    sound(attention.svg())


def test_averages(attention):
    attention.control("show").value = "a word"
    assert "type a word" in attention.message.value
    attention.control("word").value = "gray"
    assert "Average attention of the word “gray”" in repr(attention)
    drawn = attention.drawing.drawn
    press(attention, "head", "2")
    assert "head 2" in repr(attention) and attention.drawing.drawn == drawn + 1
    sound(attention.svg())
    shown = repr(attention)
    attention.control("word").value = "unicorn"
    assert "unicorn" in attention.message.value and repr(attention) == shown
    attention.average("this query")
    assert repr(attention).startswith("AttentionExplorer: Attention of “remove")


def test_two_models_side_by_side(css):
    explorer = maaf_lab.explore_attention("css-laptop", compare="css-laptop", query=12)
    assert (
        explorer.state.data["compares"] == ["off", "word", "head", "model"]
        and explorer.models[0].split is explorer.models[1].split
    )
    with pytest.raises(ConfigError, match="two models of one dataset"):
        maaf_lab.explore_attention("css-laptop", compare="garments-laptop")
    with pytest.raises(ConfigError, match="expected a query from 0 to 15,999, found 16000"):
        AttentionExplorer([css], 16000)
    with pytest.raises(ConfigError, match="expected a word from 0 to 2, found 9"):
        AttentionExplorer([css], 12, 9)


def test_every_attending_system_can_be_looked_at(tiny_css, smoke, tmp_path):
    for system, changes in (
        ("two_stream", {}),
        ("val", {}),
        ("locally_bounded", {}),
        ("maaf", {"model.attention": "identity"}),
        ("maaf", {"model.text_encoder": "transformer"}),
    ):
        config = smoke(system, **{"train.steps": 1, "train.warmup_steps": 1, **changes})
        run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
        explorer = maaf_lab.explore_attention(run.folder, query=3, data_root=tiny_css, runs_root=tmp_path)
        sound(explorer.svg())
        assert explorer.state.seen[0].signed == (changes.get("model.attention") == "identity"), system
    run = train_and_evaluate(
        smoke("tirg", **{"train.steps": 1, "train.warmup_steps": 1}), tiny_css, tmp_path, device="cpu", progress=False
    )
    with pytest.raises(ConfigError, match="is tirg, a system without attention"):
        maaf_lab.explore_attention(run.folder, data_root=tiny_css, runs_root=tmp_path)
    assert "target" in repr(maaf_lab.explore_retrieval(run.folder, data_root=tiny_css, runs_root=tmp_path)), "but it retrieves"
