"""Writes synthetic Spot-the-Diff in the published layout: street scenes from fixed viewpoints, sentences on their changes.

    out/annotations/{train,val,test}.json   resized_images/{id}.png   resized_images/{id}_2.png   scenes.json   made.json

Pairs come in clips: all frames of a clip are variations of one scene, so they look alike, and only the sentence identifies a
pair's second frame. No two frames of a clip are equal. `scenes.json` has the content of every frame.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image as PILImage

from maaf_lab.data.datasets.spot_the_diff import ANNOTATIONS
from maaf_lab.synthetic.canvas import SPLIT_NUMBERS
from maaf_lab.synthetic.folder import SyntheticDataset, checked_settings, make_dataset, read_sidecar, write_whole
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.synthetic.streets.texts import Change, Scene, box, changed, count_sentence, random_scene, sentence
from maaf_lab.synthetic.streets.things import Thing, draw_scene
from maaf_lab.synthetic.streets.views import VIEWS, View, view
from maaf_lab.utils.parallel import in_processes

VERSION = 1  # raise it whenever the same settings give other bytes
IMAGES, SIDECAR = "resized_images", "scenes.json"
DATASET_SIZES = {  # size -> split -> clips, pairs a clip
    "full": {"train": (150, 20), "val": (25, 20), "test": (25, 20)},
    "tiny": {"train": (9, 5), "val": (3, 5), "test": (3, 5)},
}
_TWICE, _SILENT = 0.1, 150  # share of pairs with two annotators; one in 150 pairs also has an empty sentence


@dataclass(frozen=True)
class Pair:
    """Two frames of one view. entries: lists of sentences, one per annotator."""

    id: str
    view: int
    clip: int
    before: Scene
    after: Scene
    changes: tuple[Change, ...]
    entries: tuple[tuple[str, ...], ...]


def make_spot_the_diff(out: str | Path, size: str = "full", pixels: int = 224, seed: int = 0, progress: bool = True) -> Path:
    """Make the dataset in folder `out` and return the folder.

    size: "full" (3,000, 500 and 500 pairs in train, val and test) or "tiny" (45, 15 and 15). The same settings give the same
    bytes. Refusals and interrupted runs: see `synthetic/folder.py`.
    """
    settings = checked_settings("spot_the_diff", VERSION, size, pixels, seed, sizes=tuple(DATASET_SIZES))

    def fill(folder: Path) -> dict[str, tuple[int, int]]:
        (folder / IMAGES).mkdir()
        (folder / ANNOTATIONS).mkdir()
        pairs = plan(size, seed)
        jobs = [
            (split, 2 * i + k, f"{pair.id}{'_2' if k else ''}.png", pair.view, (pair.before, pair.after)[k])
            for split, own in pairs.items()
            for i, pair in enumerate(own)
            for k in (0, 1)
        ]
        for _ in in_processes(partial(_draw, str(folder / IMAGES), pixels, seed), jobs, "synthetic streets", progress=progress):
            pass
        counts = {}
        for split, own in pairs.items():
            entries = [{"img_id": pair.id, "sentences": list(texts)} for pair in own for texts in pair.entries]
            write_whole(folder / ANNOTATIONS / f"{split}.json", partial(_dump, entries))
            counts[split] = (2 * len(own), sum(bool(text) for entry in entries for text in entry["sentences"]))
        shown = {split: [describe(seed, pair) for pair in own] for split, own in pairs.items()}
        write_whole(folder / SIDECAR, partial(_dump, shown))
        return counts

    return make_dataset(out, settings, (ANNOTATIONS, IMAGES, SIDECAR), fill, progress)


def plan(size: str, seed: int) -> dict[str, list[Pair]]:
    """Before drawing: split -> its pairs, with ids unique over all splits."""
    pairs: dict[str, list[Pair]] = {}
    number = 0
    for split, (clips, length) in DATASET_SIZES[size].items():
        pairs[split] = []
        for clip in range(clips):
            rng = RandomStream(seed, SPLIT_NUMBERS[split], 1, clip)
            v = view(seed, (clip + SPLIT_NUMBERS[split]) % VIEWS)
            base, seen = random_scene(v, rng), set()
            while len(seen) < 2 * length:
                before, _ = changed(base, v, 1 + rng.below(3), rng)
                after, changes = changed(before, v, 1 + rng.below(3), rng)
                if not changes or _shown(before) in seen or _shown(after) in seen or _shown(before) == _shown(after):
                    continue
                seen |= {_shown(before), _shown(after)}
                entries = [_sentences(before, after, changes, v, rng)]
                if rng.chance(_TWICE):
                    entries.append(_sentences(before, after, changes, v, rng))
                if number % _SILENT == 3 or (size == "tiny" and len(seen) == 2 and clip == 1):
                    entries.append(("",))
                pairs[split].append(Pair(str(number), v.number, clip, before, after, tuple(changes), tuple(entries)))
                number += 1
    return pairs


def training_texts(size: str = "full", seed: int = 0) -> list[str]:
    """The training captions, without drawing."""
    return [text for pair in plan(size, seed)["train"] for entry in pair.entries for text in entry if text]


def load_sidecar(out: str | Path) -> dict[str, list[dict[str, Any]]]:
    """split -> a dict for each pair: id, view, clip, before, after (lists of things), changes.

    A thing has the fields of `Thing`, its position x and y, its landmarks, and its box (left, top, right, bottom).
    Raises DataError where the folder has no sidecar.
    """
    return read_sidecar(out, SIDECAR, "spot_the_diff")


def _sentences(before: Scene, after: Scene, changes: list[Change], v: View, rng: RandomStream) -> tuple[str, ...]:
    texts = [sentence(change, before, after, v, rng) for change in changes]
    counted = count_sentence(before, after, rng) if rng.chance(0.08) else None
    return tuple([*texts, counted] if counted else texts)


def _shown(scene: Scene) -> tuple:
    """What a text can say about a frame."""
    return tuple(sorted((t.spot, t.kind, t.color, t.extra) for t in scene))


def describe(seed: int, pair: Pair) -> dict[str, Any]:
    """A pair for the sidecar: its things before and after with their positions, and the changes."""
    spots = view(seed, pair.view).spots

    def thing(t: Thing | None) -> dict[str, Any] | None:
        if t is None:
            return None
        spot = spots[t.spot]
        where = {"x": spot.x, "y": spot.y, "landmarks": list(spot.landmarks), "box": [round(v, 4) for v in box(t, spot)]}
        return {**asdict(t), **where}

    return {
        "id": pair.id,
        "view": pair.view,
        "clip": pair.clip,
        "before": [thing(t) for t in pair.before],
        "after": [thing(t) for t in pair.after],
        "changes": [[thing(c.before), thing(c.after)] for c in pair.changes],
    }


def _dump(content: Any, file: Any) -> None:
    file.write(json.dumps(content).encode())


def _draw(folder: str, pixels: int, seed: int, job: tuple[str, int, str, int, Scene]) -> None:
    split, i, name, number, scene = job
    picture = draw_scene(scene, seed, number, pixels, RandomStream(seed, SPLIT_NUMBERS[split], 2, i))
    PILImage.fromarray(picture).save(Path(folder, name), format="PNG", compress_level=2)


DATASET = SyntheticDataset(make_spot_the_diff, VERSION, 224, training_texts)
