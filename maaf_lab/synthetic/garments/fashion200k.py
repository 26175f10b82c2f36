"""Writes synthetic Fashion200k in the published layout: products with captions that often differ by exactly one word.

    out/labels/{dress,jacket,pants,skirt,top}_{train,test}_detect_all.txt   path <tab> detection score <tab> caption
    out/women/{folder}/{type}/{product}/{product}_{view}.jpeg   out/test_queries.txt   out/attributes.json   out/made.json

A line of products starts from one garment; each other one changes one word of the caption, so every product has partners.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from maaf_lab.data.datasets.fashion200k import CATEGORIES, QUERIES, Partners
from maaf_lab.synthetic.folder import SyntheticDataset, checked_settings, make_dataset, write_whole
from maaf_lab.synthetic.garments.attributes import Garment, sample, vary, weighted
from maaf_lab.synthetic.garments.drawing import LEAST_PIXELS, draw_pose, save
from maaf_lab.synthetic.garments.fashion_iq import write_attributes
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.utils.parallel import in_processes

VERSION = 1  # raise it whenever the same settings give other bytes
SPLITS = ("train", "test")
SIDECAR = "attributes.json"
DATASET_SIZES = {"full": {"train": 12_000, "test": 4_000}, "tiny": {"train": 200, "test": 100}}  # images
TEST_QUERIES = {"full": 4_000, "tiny": 60}
LINE = 4  # products that start from one garment
_VIEWS = {1: 30, 2: 40, 3: 30}  # pictures of a product
_FOLDERS = {"dress": "dresses", "jacket": "jackets", "pants": "pants", "skirt": "skirts", "top": "tops"}
_KINDS = {"top": "toptee"}

# One word for each attribute, so that a change of one attribute is a change of one word. "" is left out of the caption.
_COLOR = {"grey": "gray", "maroon": "burgundy", "light blue": "light-blue"}
_PATTERN = {"solid": "", "polka dot": "polka-dot", "animal": "leopard"}
_SLEEVE = {"none": "sleeveless", "short": "short-sleeve", "elbow": "half-sleeve", "long": "long-sleeve"}
_LENGTH = {
    "dress": ("mini", "knee-length", "maxi"),
    "toptee": ("cropped", "hip-length", "tunic-length"),
    "skirt": ("mini", "midi", "maxi"),
    "jacket": ("cropped", "hip-length", "longline"),
    "pants": ("short", "cropped", "full-length"),
}
_FIT = {
    "dress": ("fitted", "a-line", "flared"),
    "toptee": ("fitted", "regular", "loose"),
    "jacket": ("slim", "regular", "boxy"),
    "pants": ("skinny", "straight", "wide-leg"),
    "skirt": ("pencil", "a-line", "flared"),
}
_NECK = {"round": "crewneck", "scoop": "scoop-neck", "v": "v-neck", "boat": "boatneck", "collar": "collared"}
_MENTIONS = {  # which attributes a line's captions mention besides color and pattern, in this order, and how often
    "dress": {
        ("sleeve",): 20,
        ("length",): 20,
        ("neck",): 14,
        ("fit",): 8,
        ("fit", "length"): 8,
        ("sleeve", "length"): 12,
        (): 10,
    },
    "toptee": {("sleeve",): 26, ("neck",): 22, ("fit",): 10, ("sleeve", "neck"): 12, ("length",): 10, (): 12},
    "jacket": {("length",): 26, ("fit",): 22, ("sleeve",): 16, ("neck",): 10, (): 14},
    "pants": {("fit",): 36, ("length",): 30, (): 14, ("fit", "length"): 12},
    "skirt": {("length",): 34, ("fit",): 30, ("fit", "length"): 12, (): 12},
}


@dataclass(frozen=True)
class Picture:
    """One line of a labels file, and the garment to draw."""

    category: str
    path: str
    score: float
    caption: str
    garment: Garment


def make_split(split: str, size: str = "full", seed: int = 0) -> list[Picture]:
    """The images of a split before drawing, category by category."""
    pictures = []
    wanted = DATASET_SIZES[size][split]
    for number, category in enumerate(CATEGORIES):
        rng, kind = RandomStream(seed, SPLITS.index(split), number), _KINDS.get(category, category)
        share = (wanted * (number + 1)) // len(CATEGORIES) - (wanted * number) // len(CATEGORIES)
        own: list[Picture] = []
        taken: set[int] = set()
        while len(own) < share:
            mentions, line = weighted(_MENTIONS[kind], rng), [sample(kind, rng)]
            while len(line) < LINE:
                line.append(_partner(line, mentions, rng))
            for garment in line:
                own += _product(category, split, garment, caption(garment, mentions), taken, rng)
        pictures += own[:share]
    return pictures


def training_texts(size: str = "full", seed: int = 0) -> list[str]:
    """The texts of one epoch's training queries, without drawing."""
    queries = Partners([picture.caption for picture in make_split("train", size, seed)]).queries(np.random.default_rng(0))
    return [text for query in queries for text in query.texts]


def caption(garment: Garment, mentions: Sequence[str] = ()) -> str:
    """A product's caption, one word each: color, pattern, the attributes of `mentions`, and what the product is."""
    kind = garment.kind
    level = {"short": 0, "medium": 1, "long": 2, "tight": 0, "regular": 1, "loose": 2}
    word_of: dict[str, Callable[[], str]] = {
        "sleeve": lambda: _SLEEVE[garment.sleeve],
        "length": lambda: _LENGTH[kind][level[garment.length]],
        "neck": lambda: _NECK.get(garment.neck, garment.neck),
        "fit": lambda: _FIT[kind][level[garment.fit]],
    }
    words = [
        _COLOR.get(garment.color, garment.color),
        _PATTERN.get(garment.pattern, garment.pattern),
        *(word_of[name]() for name in mentions),
        "top" if kind == "toptee" else kind,
    ]
    return " ".join(word for word in words if word)


def draw_queries(pictures: Sequence[Picture], number: int, rng: RandomStream) -> list[tuple[str, str]]:
    """Different pairs of pictures (source path, target path) whose captions differ by exactly one word."""
    by_caption: dict[str, list[str]] = {}
    for picture in pictures:
        by_caption.setdefault(picture.caption, []).append(picture.path)
    parents: dict[str, list[str]] = {}  # a caption with one word left out -> the captions that fill the gap
    for text in by_caption:
        for gap in _gaps(text):
            parents.setdefault(gap, []).append(text)
    partners = {text: [other for gap in _gaps(text) for other in parents[gap] if other != text] for text in by_caption}
    sources = [picture for picture in pictures if partners[picture.caption]]
    pairs: dict[tuple[str, str], None] = {}
    tries = 0
    while sources and len(pairs) < number and tries < 20 * number:
        for i in rng.uniform(len(sources)).argsort(kind="stable"):
            target = rng.pick(by_caption[rng.pick(partners[sources[i].caption])])
            pairs.setdefault((sources[i].path, target))
            tries += 1
            if len(pairs) == number:
                break
    return list(pairs)


def make_fashion200k(
    out: str | Path, size: str = "full", pixels: int = 224, seed: int = 0, progress: bool = True, workers: int | None = None
) -> Path:
    """Make the dataset in folder `out` and return the folder.

    size: "full" (12,000 training and 4,000 test pictures, 4,000 test queries) or "tiny" (200, 100, 60). The same settings give
    the same bytes, whatever the number of `workers` (processes; all cores by default). Refusals and interrupted runs: see
    `synthetic/folder.py`.
    """
    settings = checked_settings("fashion200k", VERSION, size, pixels, seed, sizes=tuple(DATASET_SIZES), least_pixels=LEAST_PIXELS)

    def fill(folder: Path) -> dict[str, tuple[int, int]]:
        splits = {split: make_split(split, size, seed) for split in SPLITS}
        (folder / "labels").mkdir()
        jobs = []
        for number, pictures in enumerate(splits.values()):
            for place in dict.fromkeys(picture.path.rpartition("/")[0] for picture in pictures):
                (folder / place).mkdir(parents=True)
            jobs += [(picture.path, picture.garment, (seed, 100 + number, i)) for i, picture in enumerate(pictures)]
        for _ in in_processes(
            partial(_draw, str(folder), pixels), jobs, "synthetic fashion200k", progress=progress, workers=workers
        ):
            pass
        for split, pictures in splits.items():
            for category in CATEGORIES:
                lines = [f"{p.path}\t{p.score:.6f}\t{p.caption}\n" for p in pictures if p.category == category]
                _write_text(folder / "labels" / f"{category}_{split}_detect_all.txt", lines)
        queries = draw_queries(splits["test"], TEST_QUERIES[size], RandomStream(seed, 50))
        _write_text(folder / QUERIES, [f"{source} {target}\n" for source, target in queries])
        write_attributes(folder / SIDECAR, {p.path: p.garment for pictures in splits.values() for p in pictures})
        partnered = len(Partners([picture.caption for picture in splits["train"]]).images)
        return {"train": (len(splits["train"]), partnered), "test": (len(splits["test"]), len(queries))}

    return make_dataset(out, settings, ("labels", "women", QUERIES, SIDECAR), fill, progress)


def _partner(line: Sequence[Garment], mentions: Sequence[str], rng: RandomStream) -> Garment:
    """A garment whose caption differs by one word from one of the line's."""
    for _ in range(200):
        start = rng.pick(line)
        new = vary(start, 1, rng)
        words, others = caption(new, mentions).split(), caption(start, mentions).split()
        if len(words) == len(others) and sum(a != b for a, b in zip(words, others)) == 1:
            return new
    return sample(line[0].kind, rng)  # a line of its own: hardly ever


def _product(category: str, split: str, garment: Garment, text: str, taken: set[int], rng: RandomStream) -> list[Picture]:
    """The pictures of one product. Train and test numbers differ in their last digit, categories in their folder."""
    while True:
        number = 50_000_000 + 2 * rng.below(20_000_000) + SPLITS.index(split)
        if number not in taken:
            taken.add(number)
            break
    place = f"women/{_FOLDERS[category]}/{_type(category, garment)}/{number}"
    return [
        Picture(category, f"{place}/{number}_{view}.jpeg", 0.6 + 0.4 * float(rng.uniform()[()]), text, garment)
        for view in range(weighted(_VIEWS, rng))
    ]


def _type(category: str, g: Garment) -> str:
    """The product type that the published folders are named after."""
    types: Mapping[str, str] = {
        "dress": {"short": "mini_dresses", "medium": "casual_and_day_dresses", "long": "maxi_and_long_dresses"}[g.length],
        "jacket": {"v": "blazers_and_suit_jackets", "collar": "casual_jackets"}.get(g.neck, "short_and_cropped_jackets"),
        "pants": {"short": "shorts", "medium": "cropped_pants", "long": "full_length_pants"}[g.length],
        "skirt": {"short": "mini_skirts", "medium": "mid_length_skirts", "long": "maxi_skirts"}[g.length],
        "top": "shirts"
        if g.neck == "collar"
        else "sleeveless_and_tank_tops"
        if g.sleeve == "none"
        else "t-shirts"
        if g.pattern == "graphic"
        else "blouses",
    }
    return types[category]


def _gaps(text: str) -> list[str]:
    words = text.split()
    return [" ".join([*words[:i], "_", *words[i + 1 :]]) for i in range(len(words))]


def _draw(folder: str, pixels: int, job: tuple[str, Garment, tuple[int, ...]]) -> None:
    path, garment, stream = job
    save(garment, draw_pose(RandomStream(*stream)), pixels, f"{folder}/{path}")


def _write_text(path: Path, lines: Sequence[str]) -> None:
    write_whole(path, lambda file: file.write("".join(lines).encode()))


DATASET = SyntheticDataset(make_fashion200k, VERSION, 224, training_texts)
