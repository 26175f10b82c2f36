"""The retrieval explorer without a browser: what it finds, dialogues, any picture, a folder of images."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from drawings import from_browser, press, sound
from PIL import Image as PILImage

from maaf_lab.data.transforms import normalize_pixels
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.explorers.retrieval.widget import RetrievalExplorer
from maaf_lab.retrieval.folder_gallery import square


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
    squares = np.stack([square(tmp_path / f"p{n:02}.png", css.pixels.size) for n in range(14)])
    with torch.inference_mode():
        vectors = css.model.eval().embed_images(normalize_pixels(torch.from_numpy(squares).permute(0, 3, 1, 2))).numpy()
    best = np.argsort(-(vectors @ css.look(squares[0], "remove cube", attention=False).vector), kind="stable")
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
