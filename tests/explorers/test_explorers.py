"""The explorers without a browser: what they draw, describe and save. Drawings are compared with slow, obvious counts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from PIL import Image as PILImage

import maaf_lab
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.explorers.attention.drawing import attention_svg
from maaf_lab.explorers.attention.paint import PATCHES, color, number, packed, unpacked
from maaf_lab.explorers.attention.state import AttentionState, Seen, start_selection
from maaf_lab.explorers.attention.widget import AttentionExplorer
from maaf_lab.explorers.base import Explorer
from maaf_lab.explorers.modifications.widget import ModificationExplorer
from maaf_lab.explorers.page.html import HERE, page
from maaf_lab.explorers.page.svg import document, font_folder, lines, palette, shortened, stacked, tag, text_width, to_png, wrap
from maaf_lab.explorers.retrieval.widget import RetrievalExplorer
from maaf_lab.explorers.session import describe_run
from maaf_lab.utils.wording import rank_name

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def attention(css):
    return AttentionExplorer([css], 12)


@pytest.fixture
def retrieval(css):
    return RetrievalExplorer([css], 12)


@pytest.fixture(scope="module")
def rankings(garments):
    from maaf_lab.experiments.runs import find_run

    return {"one": garments.run.rankings, "two": find_run("fashion_iq-tirg-e2a551407a").rankings}


def from_browser(widget: ipywidgets.Widget, content: dict, buffers: list[bytes] | None = None) -> None:
    """What a widget's script sends to the kernel."""
    widget.comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": buffers or []})


def press(explorer: Explorer, act: str, value: object) -> None:
    """A part of the drawing is pressed in the browser."""
    from_browser(explorer.drawing, {"act": act, "value": str(value)})


def sound(svg: str) -> ElementTree.Element:
    """Well-formed, nothing fetched, no id twice, everything to press and every picture named."""
    root = ElementTree.fromstring(svg)
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids)), "an id twice"
    assert root.get("aria-label")
    for e in root.iter():
        if e.get("tabindex") is not None or e.tag == f"{SVG}image":
            assert e.get("aria-label") and e.get("role"), ElementTree.tostring(e)[:200]
    assert re.findall(r"https?://[^\"' ]*", svg) == ["http://www.w3.org/2000/svg"]
    return root


# --- pieces -----------------------------------------------------------------------------------------------------------


def test_numbers_for_people():
    assert [number(v, False) for v in (0, 0.0123, 0.5, 0.12345)] == ["0.0%", "1.2%", "50.0%", "12.3%"]
    assert [number(v, True) for v in (0, 0.126, -2)] == ["+0.00", "+0.13", "−2.00"]
    assert [rank_name(n) for n in (0, 1, 2, 3, 4, 11, 12, 13, 21, 102, 111, 1023)] == [
        "no target",
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "13th",
        "21st",
        "102nd",
        "111th",
        "1,023rd",
    ]
    assert color(0, 1, False) == palette(False)[0] and color(1, 1, False) == palette(False)[255] == color(9, 1, False)
    assert (
        color(-1, 1, True) == palette(True)[0]
        and color(0, 1, True) == palette(True)[128]
        and color(0, 0, True) == palette(True)[128]
    )


def test_the_palettes_and_the_fonts_are_matplotlibs():
    import matplotlib

    for signed, name in ((False, "cividis"), (True, "RdBu_r")):
        theirs = np.round(255 * matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3]).astype(int)
        assert palette(signed) == tuple("#{:02x}{:02x}{:02x}".format(*color) for color in theirs.tolist())
    assert font_folder().samefile(Path(matplotlib.get_data_path()) / "fonts" / "ttf")


def test_an_explorer_opens_without_what_only_others_need():
    """Each of these takes from a tenth to half a second to import, before anything shows."""
    script = """
import sys, maaf_lab
maaf_lab.explore_attention()._repr_mimebundle_()
print(*sorted({"accelerate", "matplotlib", "nbformat", "pandas", "seaborn", "torch._dynamo"} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_weights_survive_the_page():
    weights = np.random.default_rng(0).normal(size=(2, 3, 9, 9)).astype(np.float32)
    weights[0, 0] = 0.25  # all the same
    back = unpacked(json.loads(json.dumps(packed(weights))))
    span = weights.max((-2, -1)) - weights.min((-2, -1))
    assert (np.abs(back - weights).max((-2, -1)) <= span / 131_070 + 1e-7).all() and np.allclose(back[0, 0], 0.25)


def test_lines_of_text():
    rows = wrap("a red cube and a very large yellow sphere", 100, 13)
    assert len(rows) > 2 and all(text_width(row, 13) <= 100 for row in rows) and " ".join(rows).startswith("a red cube")
    assert "".join(wrap("w" * 80, 100, 13)) == "w" * 80 and all(text_width(row, 13) <= 100 for row in wrap("w" * 80, 100, 13))
    assert wrap("", 50) == [""] and shortened("short", 200) == "short" and shortened("much too long for this", 60).endswith("…")
    svg, below = lines(0, 0, "one two three four five six", 60, 13, most=2)
    assert svg.count("<text") == 2 and "…" in svg and below > 20
    assert tag("text", x=1.5, class_="a", stroke_width=None, note='<&"') == '<text x="1.5" class="a" note="&lt;&amp;&quot;"/>'


def test_drawings_below_one_another_keep_their_ids_apart():
    one = document(10, 20, [tag("rect", id="a")], "one")
    both = stacked([one, one], "two of them")
    assert sound(both) is not None and 'id="s0-a"' in both and 'id="s1-a"' in both and 'height="60"' in both


def test_a_page_keeps_what_could_end_its_script():
    svg = document(10, 10, [], "x")
    made = page("t<", svg, "&", frames={"a:b": "</script><b>"})
    assert made.count("</script>") == 2 and "t&lt;" in made and "<\\/script>" in made


# --- the page's own half, without a browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node():
    found = shutil.which("node")
    return found or pytest.skip("needs Node.js (18 or newer), which runs the explorers' scripts without a browser")


def test_the_page_by_itself(node):
    """Numbers, sentences and colors of a selection, in JavaScript: `explorer.test.mjs`."""
    command = [node, "--test", "--test-reporter=tap", Path(__file__).with_name("explorer.test.mjs")]
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


# --- attention --------------------------------------------------------------------------------------------------------


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
    assert f"{share:.2f} × the attention of the rest" in state.painted()["q0"]["text"] and share < 0.5
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


def test_a_second_run_is_named_in_the_widget(attention, retrieval, rankings, garments):
    """And one that does not fit, or is none, is a message; what was shown stays."""
    modifications = ModificationExplorer(rankings, garments)
    shown = repr(attention), repr(retrieval), repr(modifications)
    for explorer in (attention, retrieval):
        explorer.control("beside it").value = "garments-laptop"
        assert "two models of one dataset" in explorer.message.value
    modifications.control("beside it").value = "css-laptop"
    assert "expected rankings of the same queries" in modifications.message.value
    for explorer in (attention, retrieval, modifications):
        explorer.control("beside it").value = "nothing of the kind"
        assert "is no run" in explorer.message.value and "alert" in explorer.message.value
    assert (repr(attention), repr(retrieval), repr(modifications)) == shown
    attention.compare("css-laptop")
    retrieval.compare("css-laptop")
    modifications.compare("fashion_iq-tirg-e2a551407a")
    assert "model" in attention.state.data["compares"] and len(retrieval.state.turns[0].found) == 2
    assert modifications.state.models == ("one", "tirg, 300 steps (407a)") and modifications.message.value == ""
    for explorer in (attention, retrieval, modifications):
        explorer.control("beside it").value = ""
    assert len(retrieval.state.turns[0].found) == len(attention.state.seen) == len(modifications.state.models) == 1


def test_errors_in_a_notebook_are_messages():
    assert ConfigError("what to do")._render_traceback_() == ["ConfigError: what to do"]


def test_every_attending_system_can_be_looked_at(tiny_css, smoke, tmp_path):
    from maaf_lab.experiments.train import train_and_evaluate

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


# --- retrieval --------------------------------------------------------------------------------------------------------


def test_retrieval_shows_the_protocols_ranking(retrieval, css):
    found = retrieval.state.turns[0].found[0]
    query = css.split.queries[12]
    vector = css.look(query.source, css.text_of(12), attention=False).vector
    scores = css.gallery @ vector
    order = [int(i) for i in np.argsort(-scores, kind="stable")]
    ranked = [r.image for r in found.results if not r.source]
    assert ranked == [i for i in order if i != query.source][: len(ranked)] and len(ranked) == 10
    assert found.rank == css.run.rankings.frame["rank"][12] and next(r.relevant for r in found.results if not r.source)
    assert all(r.source == (r.image == query.source) for r in found.results)
    root = sound(retrieval.svg())
    assert sum(e.get("data-act") == "refine" for e in root.iter()) == len(found.results)
    assert retrieval.svg() == RetrievalExplorer([css], 12).svg() and "target 1st of 16,999" in repr(retrieval)


def test_typing_moves_the_results(retrieval, css):
    before = [r.image for r in retrieval.state.turns[0].found[0].results]
    retrieval.control("change it:").value = "make middle-left object red"
    assert [r.image for r in retrieval.state.turns[0].found[0].results] != before and "object red" in repr(retrieval)
    assert retrieval.state.turns[0].found[0].rank is None, "nobody knows this text's target"
    retrieval.type("remove middle-left object")
    assert [r.image for r in retrieval.state.turns[0].found[0].results] == before and retrieval.state.turns[0].found[0].rank == 1
    shown = repr(retrieval)
    retrieval.control("change it:").value = "?!"
    assert "none that the model can read" in retrieval.message.value and repr(retrieval) == shown
    retrieval.type("")
    assert "the picture alone is the query" in retrieval.message.value and "no text" in repr(retrieval)
    retrieval.type("make sparkly cube red")
    assert "never seen: sparkly" in repr(retrieval)


def test_a_dialogue(retrieval, css):
    second = retrieval.state.turns[0].found[0].results[3]
    press(retrieval, "refine", second.image)
    assert len(retrieval.state.turns) == 2 and retrieval.state.turns[1].name == second.name
    assert retrieval.control("change it:").value == ""
    assert retrieval.state.turns[1].found[0].results[0].source, "with no text an image is most like itself"
    retrieval.type("add blue cube to top-left")
    assert repr(retrieval).startswith(f"RetrievalExplorer: Turn 2 of 2: {second.name} + “add blue cube to top-left”")
    vector = css.look(second.image, "add blue cube to top-left", attention=False).vector
    best = [i for i in np.argsort(-(css.gallery @ vector), kind="stable") if i != second.image]
    assert [r.image for r in retrieval.state.turns[1].found[0].results if not r.source][:5] == best[:5]
    press(retrieval, "turn", 0)
    assert "Turn 1 of 2" in repr(retrieval)
    sound(retrieval.svg())
    retrieval.control("start over").click()
    assert len(retrieval.state.turns) == 1 and "remove middle-left object" in repr(retrieval)


def test_any_picture(retrieval, css, tmp_path):
    retrieval.choose("css_test_000007")
    assert "css_test_000007 + no text" in repr(retrieval)
    PILImage.fromarray(css.picture(9, 100)).save(tmp_path / "mine.png")
    retrieval.choose(tmp_path / "mine.png")
    assert "mine.png" in repr(retrieval) and retrieval.state.turns[0].found[0].results[0].score > 0.5
    shown = repr(retrieval)
    (tmp_path / "text.png").write_text("no picture")
    retrieval.control("picture").value = str(tmp_path / "text.png")
    assert "cannot be read as an image" in retrieval.message.value and repr(retrieval) == shown
    retrieval.control("picture").value = "nothing of the kind"
    assert "no image of that name among 17,000, and no such file" in retrieval.message.value and repr(retrieval) == shown
    from_browser(retrieval.drop, {"act": "picture", "name": "dropped.png"}, [(tmp_path / "mine.png").read_bytes()])
    assert "dropped.png" in repr(retrieval)
    from_browser(retrieval.drop, {"act": "picture", "name": "bad.png"}, [b"no picture"])
    assert "bad.png" in retrieval.message.value and "dropped.png" in repr(retrieval)
    from_browser(retrieval.drop, {"act": "refused", "name": "notes.txt", "size": 12})
    assert "notes.txt: cannot be read as an image (12 bytes)" in retrieval.message.value


def test_a_dialogue_in_code(retrieval, css):
    retrieval.take(css.picture(9, 100), "scene nine")
    retrieval.type("make cube red")
    retrieval.refine(retrieval.state.turns[-1].found[0].results[0].image)
    assert len(retrieval.state.turns) == 2 and retrieval.state.turns[0].name == "scene nine"
    retrieval.show_turn(0)
    shown = repr(retrieval)
    assert shown.startswith("RetrievalExplorer: Turn 1 of 2: scene nine + “make cube red”")
    for verb, kind, message in (
        (lambda: retrieval.show_turn(2), ConfigError, "expected a turn from 0 to 1, found 2"),
        (lambda: retrieval.show_query(16_000), ConfigError, "expected a query from 0 to 15,999, found 16000"),
        (lambda: retrieval.choose("nothing of the kind"), DataError, "no image of that name"),
        (lambda: retrieval.search_folder("/no/such/folder"), DataError, "expected a folder of images"),
    ):
        with pytest.raises(kind, match=message):
            verb()
        assert repr(retrieval) == shown
    retrieval.start_over()
    assert len(retrieval.state.turns) == 1 and "target 1st of 16,999" in repr(retrieval)


def test_names_and_texts_that_no_drawing_can_hold(retrieval, css, tmp_path):
    """Control characters, and bytes of a file name that are no text: a mark stands for each."""
    import os

    for n, name in enumerate((b"bell\x07.png", b"latin\xe9.png", b"<b>&amp;.png")):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            PILImage.fromarray(css.picture(n, 80)).save(file, "PNG")
    (tmp_path / "torn\x01.jpg").write_bytes(b"\xff\xd8\xff")
    retrieval.search_folder(tmp_path)
    assert "3 images, 1 broken left out" in retrieval.message.value and "torn\ufffd.jpg" in retrieval.broken.value
    retrieval.type("remove \x00\x1bcube")
    svg = retrieval.svg()
    named = [e.get("aria-label") for e in sound(svg).iter() if e.get("data-act") == "refine"]
    assert all(any(name in label for label in named) for name in ("bell\ufffd.png", "latin\ufffd.png", "<b>&amp;.png"))
    assert "“remove \ufffd\ufffdcube”" in repr(retrieval)
    for ending in ("html", "svg", "png"):
        assert retrieval.save(tmp_path.parent / f"odd.{ending}").stat().st_size > 10_000
    assert b"latin\xef\xbf\xbd.png" in (tmp_path.parent / "odd.html").read_bytes()
    json.dumps(retrieval.drawing.get_state()["svg"], ensure_ascii=False).encode()  # as it goes to the browser


def test_a_folder_of_ones_own(retrieval, css, tmp_path):
    for n in range(14):
        PILImage.fromarray(css.picture(n, 80)).save(tmp_path / f"p{n:02}.png")
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    retrieval.control("your folder of images").value = str(tmp_path)
    assert (
        "14 images" in retrieval.message.value and "1 broken" in retrieval.message.value and "torn.jpg" in retrieval.broken.value
    )
    retrieval.type("remove cube")
    found = retrieval.state.turns[0].found[0]
    assert {r.name for r in found.results} <= {f"p{n:02}.png" for n in range(14)} and "14 images searched" in retrieval.svg()
    image = css.square(np.asarray(PILImage.open(tmp_path / "p00.png")))
    vectors = np.stack([css.embed_picture(css.square(np.asarray(PILImage.open(tmp_path / f"p{n:02}.png")))) for n in range(14)])
    best = np.argsort(-(vectors @ css.look(image, "remove cube", attention=False).vector), kind="stable")
    assert [r.image for r in found.results if not r.source] == [i for i in best.tolist() if i != 0][:10]
    shown = repr(retrieval)
    retrieval.control("your folder of images").value = str(tmp_path / "nowhere")
    assert "nowhere" in retrieval.message.value and repr(retrieval) == shown
    retrieval.search_folder("")
    assert "target 1st of 16,999" in repr(retrieval)


def test_retrieval_refuses_nonsense(css, garments):
    with pytest.raises(ConfigError, match="k from 1 to 50"):
        RetrievalExplorer([css], 0, 0)
    with pytest.raises(ConfigError, match="two models of one dataset"):
        RetrievalExplorer([css, garments])
    with pytest.raises(DataError):
        RetrievalExplorer([css], 0, folder="/no/such/folder")


# --- modifications ----------------------------------------------------------------------------------------------------


def test_modifications(rankings, garments):
    explorer = ModificationExplorer(rankings, garments)
    root = sound(explorer.svg())
    bars = [e.get("data-value") for e in root.iter() if e.get("data-act") == "type"]
    assert bars == ["all", "color", "texture", "shape", "parts", "type"]
    assert "all n = 6,000: 69.4" in repr(explorer)
    press(explorer, "type", "color")
    press(explorer, "sort", "best first")
    assert explorer.state.picked == "color" and explorer.state.lines[0].ranks[0] == 1
    first = [line.query for line in explorer.state.lines]
    press(explorer, "page", "on")
    assert [line.query for line in explorer.state.lines] != first and explorer.state.start == 6
    press(explorer, "page", "back")
    press(explorer, "page", "back")
    assert [line.query for line in explorer.state.lines] == first
    press(explorer, "sort", "sideways")
    assert "expected an order of" in explorer.message.value and explorer.state.sort == "best first"
    explorer.control("only with the words").value = "stripes"
    count = sum("stripes" in t for t in explorer.table.tokens)
    assert (
        explorer.state.recalls["all"][0] == count
        and "only with stripes" in repr(explorer)
        and f"{count} of 6,000" in explorer.message.value
    )
    shown = repr(explorer)
    explorer.control("only with the words").value = "unicorn"
    assert "no query fits" in explorer.message.value and repr(explorer) == shown
    explorer.control("only with the words").value = ""
    explorer.control("category").value = "dress"
    assert explorer.state.recalls["all"][0] == 2000
    explorer.control("words").value = (3, 5)
    assert "3 to 5 words" in repr(explorer)


def test_modification_types_in_code(rankings, garments):
    explorer = ModificationExplorer(rankings, garments, details=False)
    explorer.filter("stripes", category="dress", longest=8)
    labels = ("only with the words", "category", "words")
    assert [explorer.control(label).value for label in labels] == ["stripes", "dress", (0, 8)]
    explorer.filter()
    explorer.turn_page()
    assert explorer.state.start == 6
    explorer.turn_page(-2)
    assert explorer.state.start == 6, "there are none before the first"
    explorer.show_query(7)
    assert explorer.query == explorer.state.opened == 7 and explorer.retrieval is explorer.attention is None
    with pytest.raises(ConfigError, match="expected a query from 0 to 5,999, found 6000"):
        explorer.show_query(6000)


def test_types_are_edited_in_place(rankings, garments):
    explorer = ModificationExplorer(rankings, garments)
    explorer.pick("texture")
    shown = repr(explorer)
    explorer.control("types and their words").value = "color: red\nnonsense"
    assert "line 2" in explorer.message.value and repr(explorer) == shown
    explorer.edit("red things: red reds\nlong: long longer")
    assert list(explorer.state.recalls) == ["all", "red things", "long"] and explorer.state.picked == "all"
    assert "2 types, 4 words" in explorer.message.value
    assert explorer.state.recalls["red things"][0] == sum(bool({"red", "reds"} & t) for t in explorer.table.tokens)


def test_a_query_opens_its_retrievals_and_its_attention(rankings, garments):
    explorer = ModificationExplorer(rankings, garments)
    query = explorer.state.lines[2].query
    press(explorer, "query", query)
    retrieval, attention = explorer.retrieval, explorer.attention
    assert retrieval.query == attention.query == query and explorer.state.opened == query
    rank = garments.run.rankings.frame["rank"][query]
    assert retrieval.state.turns[0].found[0].rank == rank, "what the bar counted is what is shown"
    explorer.query = 5
    assert retrieval.query == attention.query == 5
    explorer.query = 10**9
    assert "expected a query" in explorer.message.value


def test_rankings_have_to_fit_the_split(css, garments):
    with pytest.raises(ConfigError, match="expected rankings of the queries of css test"):
        ModificationExplorer({"one": garments.run.rankings}, css)


# --- all --------------------------------------------------------------------------------------------------------------


def test_the_three_are_linked(css):
    lab = maaf_lab.explore("css-laptop", query=12)
    press(lab.modifications, "query", 77)
    assert lab.retrieval.query == lab.attention.query == 77 and "query 77 of" in lab.attention.state.caption
    lab.retrieval.control("query").value = 40
    assert lab.attention.query == 40 and css.text_of(40) in repr(lab)
    lab.show_query(12)
    assert lab.retrieval.query == lab.attention.query == lab.modifications.query == 12
    assert sound(lab.svg()) is not None and repr(lab).count("\n") == 2


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


def test_pictures_do_not_depend_on_the_machines_fonts(attention):
    assert to_png(attention.svg(), 1) == to_png(attention.svg(), 1)
    blank = PILImage.open(__import__("io").BytesIO(to_png(document(60, 20, [tag("text", "x", x=5, y=15, font_size=14)], "x"), 1)))
    assert np.asarray(blank.convert("L")).min() < 128, "text is drawn"


def test_runs_for_people(css):
    from maaf_lab.experiments.runs import find_run

    assert describe_run(css.run) == "css-laptop: maaf, 1,800 steps"
    assert describe_run(find_run("fashion_iq-tirg-e2a551407a")) == "tirg, 300 steps (407a)"


def test_the_lab_names_what_it_has():
    assert set(maaf_lab.__all__) <= set(dir(maaf_lab)) and all(getattr(maaf_lab, name) for name in maaf_lab.__all__)
    with pytest.raises(AttributeError, match="no name 'explor'; it has Run"):
        _ = maaf_lab.explor
