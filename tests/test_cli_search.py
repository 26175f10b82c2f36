"""`maaf-lab search`: what it finds, what it leaves out and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from galleries import PIXELS, by_hand, draw, full_sort

import maaf_lab
from maaf_lab.data.transforms import build_transform
from maaf_lab.retrieval.folder_gallery import square


def test_the_shell_searches(tiny_css, tmp_path, shell):
    model = maaf_lab.load_pretrained("css-laptop")
    pictures = sorted(path for path in (tiny_css / "images").rglob("*.png"))[:12]
    for path in pictures:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "bad.png").write_text("no image")
    image, text = tmp_path / pictures[4].name, "make yellow sphere chartreuse chartreuse"
    asked = ("search", "--image", image, "--text", text, "--gallery", tmp_path, "--run", "css-laptop", "--k", 3)
    code, out, err = shell(*asked)
    batch = build_transform("plain", PIXELS).eval(torch.from_numpy(square(image, PIXELS)).permute(2, 0, 1)[None])
    with torch.inference_mode():
        query = model.embed_query(batch, [text])[0].numpy()
    paths = sorted(tmp_path / path.name for path in pictures)
    order, scores = full_sort(by_hand(model, paths), query, 3, [paths.index(image)])
    want = [f"{place:>3}  {score:.3f}  {paths[i]}" for place, (i, score) in enumerate(zip(order, scores), 1)]
    assert code == 0 and out.splitlines() == want
    assert "css-laptop (maaf), trained on synthetic css" in err and "12 images, 1 broken" in err
    assert "broken: bad.png: " in err and "does not know: chartreuse\n" in err

    code, out, err = shell(*asked, "--json", "--device", "cpu")
    listed = json.loads(out)
    assert code == 0 and [line["path"] for line in listed] == [str(paths[i]) for i in order]
    assert [line["rank"] for line in listed] == [1, 2, 3] and np.allclose([line["score"] for line in listed], scores, atol=1e-5)


def test_the_shell_says_what_it_leaves_out(tmp_path, shell):
    for i in range(7):
        (tmp_path / "photos" / f"{i}.png").parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / f"{i}.png").touch()
    own = draw(tmp_path / "photos" / "own.png")
    code, out, err = shell("search", "--image", own, "--gallery", tmp_path / "photos", "--run", "css-laptop", "--text", " ")
    assert (code, out) == (0, "") and "holds the picture itself and no other" in err
    assert "the picture alone is the query" in err and err.count("broken: ") == 5 and "and 2 more" in err
    other = draw(tmp_path / "photos" / "other.png", 1)
    code, out, _ = shell("search", "--image", own, "--gallery", tmp_path / "photos", "--text", "is red and has long sleeves")
    assert code == 0 and out.endswith(f"  {other}\n") and out.startswith("  1  ") and out.count("\n") == 1  # the default model


def test_the_shell_searches_with_a_run_of_ones_own(tmp_path, shell):
    for seed in range(3):
        draw(tmp_path / "photos" / f"{seed}.png", seed)
    own = maaf_lab.pretrained_run("css-laptop").folder
    code, out, err = shell("search", "--image", draw(tmp_path / "q.png", 2), "--gallery", tmp_path / "photos", "--run", own)
    assert code == 0 and out.count("\n") == 3 and f"model {own}" in err  # q.png is no file of the gallery


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--image": "nowhere.png"}, "no such file"),
        ({"--image": "text.png"}, "cannot be read as an image"),
        ({"--run": "css-desktop"}, "no pretrained model 'css-desktop'; known: css-laptop"),
        ({"--run": "photos"}, "found none"),
        ({"--gallery": "nowhere"}, "expected a folder of images, found nothing"),
        ({"--catalogue": "nowhere"}, "expected a folder of images, found nothing"),  # what the option was called before
        ({"--gallery": "text.png"}, "expected a folder of images, found a file"),
        ({"--gallery": "empty"}, "found none among 0 files"),
        ({"--k": "0"}, "--k: expected at least 1, found 0"),
    ],
)
def test_the_shells_errors(tmp_path, shell, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "photos" / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("no image")
    options = {"--image": "photos/a.png", "--gallery": "photos", "--run": "css-laptop", **changes}
    code, out, err = shell("search", *(word for pair in options.items() for word in pair))
    assert (code, out) == (2, "") and "maaf-lab: " in err and message in err and "Traceback" not in err
