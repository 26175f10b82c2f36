"""The Python doors, given what they do not take: a text for a list, None for a path, 1.5 for a number, raw pixels for images."""

from functools import cache

import numpy as np
import pytest
import torch
from faults.battery import ERROR, WORKS, faults
from PIL import Image as PILImage

import maaf_lab
from maaf_lab import notebooks
from maaf_lab.utils.paths import NOTEBOOKS

IMAGES = torch.zeros(2, 3, 56, 56)
CONFIG = maaf_lab.profile_config("smoke", "css")
TABLE = NOTEBOOKS / "table1_css.ipynb"


@cache
def model():
    return maaf_lab.load_pretrained("css-laptop")


@cache
def explorer(kind=""):
    return getattr(maaf_lab, f"explore_{kind}" if kind else "explore")("css-laptop")


def texts(what, says="a list of texts"):
    return f"texts: {what!r}"[:60], ERROR(says), lambda lab: model().embed_query(IMAGES, what)


def images(name, what, says):
    return f"images: {name}", ERROR(f"normalized float images.*found {says}.*build_transform"), lambda lab: both(what)


def both(what):
    with pytest.raises(ValueError, match="embed_query"):
        model().embed_query(what, ["make red", "make blue"])
    model().embed_images(what)


def warned(what, says):
    with pytest.warns(UserWarning, match=says):
        return model().embed_query(IMAGES, what)


@faults(
    texts("make red", r"put it in a list: \['make red'\]"),
    *map(texts, ([1, 2], [["make", "red"]] * 2, None, 5, IMAGES)),
    texts(["make red"], "2 images and 1 texts"),
    images("arguments swapped", ["make red", "make blue"], "list"),
    images("numpy", np.zeros((2, 3, 56, 56), np.float32), "ndarray"),
    images("Pillow", PILImage.new("RGB", (56, 56)), "Image"),
    images("None", None, "NoneType"),
    images("uint8", IMAGES.to(torch.uint8), "torch.uint8"),
    images("float64", IMAGES.double(), "torch.float64"),
    images("one image", IMAGES[0], r"the shape \(3, 56, 56\)"),
    images("7 pixels", IMAGES[..., :7, :7], r"the shape \(2, 3, 7, 7\)"),
    images("0 to 255", IMAGES + 255, "values from 255 to 255"),
    images("not a number", IMAGES * np.nan, "values from nan"),
    images("infinite", IMAGES - np.inf, "values from -inf"),
    ("no word", WORKS, lambda lab: warned(["\u7ea2\u8272", ""], "no word in the text '\u7ea2\u8272': the picture alone")),
    ("no known word", WORKS, lambda lab: warned(["zebra", "make red"], "words that the model does not know: zebra")),
    ("a tuple of texts", WORKS, lambda lab: model().embed_query(IMAGES, ("make red", ""))),
    ("no images", WORKS, lambda lab: model().embed_images(IMAGES[:0])),
)
def test_embed(fault, lab):
    fault(lab)


def opened(says="", **given):
    return f"open_table {given}", ERROR(says or next(iter(given))), lambda lab: maaf_lab.open_table(**{"key": 1, **given})


def run_table(says, **given):
    return (
        f"run_table {given}",
        ERROR(says),
        lambda lab: maaf_lab.run_table(1, "smoke", **{"data_root": lab.css, "runs_root": lab.folder, "origin": "", **given}),
    )


@faults(
    opened("each once, found 0, 0", seeds=(0, 0)),
    opened(r"put it in a list: \[3\]", seeds=3),
    *(opened(seeds=seeds) for seeds in ((), "01", [True, 2], [0.5], None)),
    opened(r"put it in a list: \['MAAF'\]", rows="MAAF"),
    *(opened(rows=rows) for rows in (None, [1])),
    opened("whole number, found '3'", steps="3"),
    *(opened(**{name: 3}) for name in ("profile", "data_root", "runs_root", "records", "device", "executor")),
    opened(key=None),
    run_table("each once", seeds=(1, 1)),
    run_table("seeds", seeds=3),
    run_table("rows", rows="MAAF"),
    run_table("data_root", data_root=None),
    ("table_frame without runs", ERROR("runs"), lambda lab: maaf_lab.table_frame(1, None)),
    ("paper_table None", ERROR("key: expected text or a whole number, found None"), lambda lab: maaf_lab.paper_table(None)),
    ("a profile that is a list", ERROR("profile"), lambda lab: maaf_lab.profile_config(["smoke"], "css")),
    ("figures with steps of text", ERROR("steps"), lambda lab: maaf_lab.open_figures(steps="3")),
    ("untrained without a text", ERROR("text"), lambda lab: maaf_lab.untrained("smoke", "css", None)),
    ("seeds of numpy's", WORKS, lambda lab: maaf_lab.open_table(1, seeds=np.arange(2))),
    ("rows one by one", WORKS, lambda lab: maaf_lab.open_table(1, rows=(row for row in ["MAAF"]))),
)
def test_tables(fault, lab):
    fault(lab)


def explore(kind, **given):
    how = getattr(maaf_lab, f"explore_{kind}" if kind else "explore")
    return f"explore_{kind} {given}", ERROR(f"{next(iter(given))}: expected"), lambda lab: how(**given)


def method(kind, name, *given, says="expected"):
    return f"{kind} {name} {given}"[:60], ERROR(says), lambda lab: getattr(explorer(kind), name)(*given)


@faults(
    *(
        explore(kind, **{name: 3})
        for kind in ("attention", "retrieval", "modifiers", "")
        for name in ("run", "compare", "device")
    ),
    *(explore("attention", query=query) for query in ("a", 1.5, None, True)),
    explore("attention", word="x"),
    explore("", query="a"),
    *(explore("retrieval", **given) for given in ({"k": "x"}, {"text": 5}, {"folder": 5}, {"query": 1.5})),
    *(method(kind, "show_query", query) for kind in ("attention", "retrieval", "modifiers", "") for query in ("3", True, None)),
    *(method("attention", "turn_off", heads, says=r"heads \(block, head\)|head from") for heads in (99, "x", [3], [(0, 99)])),
    *(method("attention", name, what) for name in ("find", "type") for what in (3, None)),
    method("attention", "step", "a"),
    method("attention", "pick", 1.5),
    method("attention", "average", 5),
    *(method(kind, "compare", what) for kind in ("attention", "retrieval", "modifiers") for what in (5, None)),
    *(method(kind, "control", ["query"]) for kind in ("attention", "retrieval", "modifiers")),
    *(method(kind, "save", what) for kind in ("attention", "retrieval", "modifiers", "") for what in (3, None)),
    *(method("retrieval", name, 5) for name in ("type", "choose", "search_folder")),
    *(method("retrieval", "refine", image) for image in ("a", -1, 10**9)),
    *(method("retrieval", "take", picture) for picture in (None, np.zeros((3, 3)), np.zeros((8, 8, 3)))),
    method("retrieval", "show_turn", "a"),
    method("modifiers", "edit", 5),
    method("modifiers", "filter", 5),
    method("modifiers", "pick", 5),
    method("modifiers", "turn_page", "a"),
    ("a number of numpy's", WORKS, lambda lab: explorer("attention").show_query(np.int64(3))),
    *(
        (
            f"{kind}: compare with a model of another dataset",
            ERROR("garments-laptop, a model of fashion_iq, beside css-laptop, one of css"),
            lambda lab, kind=kind: getattr(maaf_lab, f"explore_{kind}")("css-laptop", compare="garments-laptop"),
        )
        for kind in ("attention", "retrieval", "modifiers")
    ),
)
def test_explorers(fault, lab):
    fault(lab)


def train(says, *given, **more):
    return f"train {given} {more}"[:60], ERROR(says), lambda lab: maaf_lab.train_and_evaluate(*given, **more)


@faults(
    ("ledger 3", ERROR("roots: expected text or a path, found 3"), lambda lab: maaf_lab.ledger(3)),
    ("ledger of a list", ERROR("roots: expected"), lambda lab: maaf_lab.ledger(["lab"])),
    ("Run None", ERROR("folder: expected text or a path, found None"), lambda lab: maaf_lab.Run(None)),
    *(
        (f"{part} of a run by its name", ERROR(r"find_run\('css-maaf-00974e2527'\)"), lambda lab, part=part: by_name(part))
        for part in ("config", "metrics", "log", "rankings", "load_model")
    ),
    train("data_root", CONFIG, None, "runs"),
    train("RunConfig, as profile_config makes it, found 'css'", "css", "data", "runs"),
    train("workers", CONFIG, "data", "runs", workers="2"),
    ("a checkpoint 3", ERROR("path: expected"), lambda lab: maaf_lab.load_foreign_checkpoint(3, ["abc"])),
    ("texts that are one", ERROR("put it in a list"), lambda lab: maaf_lab.load_foreign_checkpoint("a.pth", "abc")),
    ("a shipped model None", ERROR("no pretrained model None"), lambda lab: maaf_lab.load_pretrained(None)),
    *(
        (f"notebooks.{name} 3", ERROR("expected text or a path"), lambda lab, name=name: getattr(notebooks, name)(3))
        for name in ("refresh", "clean", "to_html", "to_article", "declared_parameters", "check_kernel")
    ),
    ("an output folder None", ERROR("output_dir"), lambda lab: notebooks.execute(TABLE, None, {})),
    (
        "a notebook's name for a folder",
        ERROR("expected a folder"),
        lambda lab: notebooks.execute(TABLE, lab.folder / "out.ipynb"),
    ),
    ("parameters in a list", ERROR("parameters"), lambda lab: notebooks.execute(TABLE, lab.folder, [1])),
)
def test_runs_and_paths(fault, lab):
    fault(lab)
    assert not list(lab.folder.iterdir())


def by_name(part):
    run = maaf_lab.Run("css-maaf-00974e2527")
    return run.load_model() if part == "load_model" else getattr(run, part)
