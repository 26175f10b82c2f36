"""A trained model and the gallery it searches: what every explorer reads from.

Shapes: N tokens of one query (image tokens of every grid, then words), D width, G images of the split, S side in pixels.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maaf_lab.analysis.heads import attentions, without_head
from maaf_lab.data import registry as datasets
from maaf_lab.data.cache import PixelCache, pixel_cache
from maaf_lab.data.images import square, to_square
from maaf_lab.data.split import Split, is_synthetic
from maaf_lab.data.text import TextBatch, Vocabulary, join
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import ConfigError, RunError, SaveError
from maaf_lab.experiments.runs import Run, find_run
from maaf_lab.experiments.sources import folder_of
from maaf_lab.models.base import ComposedModel, Features, unit
from maaf_lab.retrieval.embed import embed_split
from maaf_lab.retrieval.gallery import Gallery, Hits, rank
from maaf_lab.retrieval.gallery_rounding import read_gallery
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.retrieval.relevance import Relevance
from maaf_lab.synthetic.lazy import LazyPixels
from maaf_lab.synthetic.registry import can_draw_lazily, lazy_split
from maaf_lab.utils.files import write_atomically
from maaf_lab.utils.parallel import in_threads, torch_device
from maaf_lab.utils.paths import GALLERIES, own_folder

Head = tuple[int, int]  # block and head, both from 0
Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class Look:
    """One query as a model reads it: its vector and its attention.

    vector: (D,) unit vector. tokens: the words (N - image tokens of them), as typed. unknown: words outside the vocabulary.
    weights: (operations, heads, N, N) float32, a row per attending token; None for a system without attention.
    spans: name -> (start, stop) of "7x7", "14x14", "text". normalized: rows sum to 1; otherwise signed scores.
    """

    vector: np.ndarray
    tokens: tuple[str, ...]
    unknown: tuple[str, ...]
    weights: np.ndarray | None = None
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    normalized: bool = True
    operations: tuple[str, ...] = ()


@dataclass(eq=False)
class Session:
    """One run's model on its dataset's usual split. Data and vectors are read, drawn or computed when first used.

    name: the run's name on screen. dataset_folder: None for synthetic data drawn image by image as needed. runs_root: folder of
    all runs, with the vectors of galleries in galleries/. data_of: another session on the same data, whose data this one shares.
    """

    name: str
    run: Run
    dataset_folder: Path | None
    runs_root: Path
    device: str | None = None
    data_of: Session | None = None
    _gallery: np.ndarray | None = field(default=None, init=False)

    @cached_property
    def model(self) -> ComposedModel:
        with torch.inference_mode(False):  # wherever it is first used: weights of heads are set to zero in place
            return self.run.load_model(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))

    @cached_property
    def _data(self) -> tuple[Split, PixelCache]:
        if self.data_of is not None:
            return self.data_of._data
        settings = self.run.config.data
        name = datasets.evaluation(settings.dataset)
        if self.dataset_folder is None:
            found = lazy_split(settings.origin, name, settings.pixels)
            if found is None:
                raise RunError(
                    f"{self.name} was trained on {settings.origin!r}, which cannot be drawn image by image; "
                    "pass data_root, the folder that holds it"
                )
            return found
        split = datasets.load(settings.dataset, self.dataset_folder, name, settings.missing)
        return split, pixel_cache(split, settings.pixels, store=settings.cache)

    @property
    def split(self) -> Split:
        return self._data[0]

    @property
    def pixels(self) -> PixelCache:
        return self._data[1]

    @property
    def gallery_folder(self) -> Path:
        """Where the vectors of galleries are kept."""
        return self.runs_root / "galleries"

    @property
    def dataset(self) -> str:
        return self.run.config.data.dataset

    def caption(self) -> str:
        """Model, split and data in one line."""
        return f"{self.name} on {self.split.title} ({self.split.origin})"

    def with_second(self, run: str | Path) -> Session:
        """Another run on the same data, to compare with. ConfigError for another dataset, RunError where there is no such run."""
        _of_same_dataset(self, run, self.runs_root)
        other = open_session(run, data_root=self.dataset_folder or "", runs_root=self.runs_root, device=self.device or "")
        if other.dataset_folder is None and other.run.config.data.origin != self.split.origin:
            raise ConfigError(
                f"expected two models of one dataset to compare, found {other.name} ({other.run.config.data.origin}) beside "
                f"{self.caption()}"
            )
        if other.dataset_folder == self.dataset_folder and other.run.config.data.pixels == self.run.config.data.pixels:
            return replace(other, data_of=self)
        return other

    # --- pictures -----------------------------------------------------------------------------------------------------

    def picture(self, image: int, pixels: int = 160) -> np.ndarray:
        """An image of the split to show: uint8 (pixels, pixels, 3). The model reads it at its own size."""
        return self.pictures([image], pixels)[0]

    def pictures(self, images: Sequence[int], pixels: int = 160) -> list[np.ndarray]:
        """Several images at once, on all cores."""
        if isinstance(self.pixels, LazyPixels):
            return list(self.pixels.pictures(images, pixels)) if len(images) else []
        return list(in_threads(lambda image: square(self.split.images[image].path, pixels), images))

    def square(self, picture: np.ndarray) -> np.ndarray:
        """Any picture uint8 (H, W, 3) in the size that the model reads: (S, S, 3)."""
        return to_square(picture, self.pixels.size)

    # --- a query ------------------------------------------------------------------------------------------------------

    def text_of(self, query: int) -> str:
        return join(self.split.queries[query].texts)

    @torch.inference_mode()
    def look(self, image: int | np.ndarray, text: str, *, off: Iterable[Head] = (), attention: bool = True) -> Look:
        """Embed a query. image: one of the split, or a square uint8 (S, S, 3). off: heads turned off for this call."""
        with self.heads_off(off):
            vector, record = self.model.eval().fuse(self._features(image), self.model.read([text]), return_attention=attention)
        vector = unit(vector)[0].cpu().numpy()
        words = self.model.vocabulary
        tokens = tuple(words.tokens(text)) if isinstance(words, Vocabulary) else tuple(words.pieces[i] for i in words.ids(text))
        unknown = words.unknown(text)
        if record is None or not record.weights.numel():
            return Look(vector, tokens, unknown)
        spans = dict(record.spans)
        first, last = spans.get("text", (record.weights.shape[-1],) * 2)  # VAL's words are no tokens
        keep = first + len(tokens)
        weights = record.weights[:, 0, :, :keep, :keep].float().cpu().numpy()
        spans["text"] = (first, min(last, keep))
        return Look(vector, tokens, unknown, weights, spans, record.normalized, record.names())

    @torch.inference_mode()
    def _features(self, image: int | np.ndarray) -> Features:
        if isinstance(image, np.ndarray):
            size = self.pixels.size
            if image.shape != (size, size, 3) or image.dtype != np.uint8:
                raise ConfigError(
                    f"expected a picture uint8 ({size}, {size}, 3), found {image.dtype} {image.shape}; see `square`"
                )
            batch = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
            return self._encoded(batch)
        if self._last.get("image") != image:  # while somebody types, and turns heads off, the reference stays
            self._last.update(image=image, features=self._encoded(self.pixels.batch([image])))
        return self._last["features"]

    def _encoded(self, batch: torch.Tensor) -> Features:
        return self.model.eval().encode(build_transform("plain", self.pixels.size).eval(batch.to(self.model.device)))

    @cached_property
    def _last(self) -> dict[str, Any]:
        """The last image of the split that was encoded, and its features."""
        return {}

    @contextmanager
    def heads_off(self, off: Iterable[Head]) -> Iterator[None]:
        """A context in which these heads (block and head, from 0) are turned off."""
        off = list(off)
        named = attentions(self.model) if off else []
        with ExitStack() as stack:
            for block, head in off:
                if not 0 <= block < len(named):
                    raise ConfigError(f"expected a block from 0 to {len(named) - 1}, found {block}")
                stack.enter_context(without_head(named[block][1], head))
            yield

    # --- the gallery --------------------------------------------------------------------------------------------------

    @property
    def gallery(self) -> np.ndarray:
        """Unit vectors of the split's images, (G, D) float32: shipped with the lab, read from `gallery_folder`, or computed."""
        return self.embed_gallery()

    def embed_gallery(self, progress: Progress | None = None) -> np.ndarray:
        """`gallery`, reporting progress; `progress` is not called where the vectors exist already."""
        if self._gallery is None:
            self._gallery = self._read_or_embed(progress)
        return self._gallery

    def _read_or_embed(self, progress: Progress | None) -> np.ndarray:
        shipped = GALLERIES / f"{self.run.folder.name}.npz"
        if self.run.folder.parent == GALLERIES.parent and shipped.is_file() and self.split.origin == self.run.config.data.origin:
            return read_gallery(shipped)
        origin = self.split.origin
        shown = origin if is_synthetic(origin) else f"{origin} {self.pixels.files}"  # other images have vectors of their own
        file = self.gallery_folder / f"{self.run.folder.name}-{_key(shown, self.model)}.npy"
        if file.is_file():
            try:
                found = np.load(file, mmap_mode="r", allow_pickle=False)
                if found.shape == (len(self.split.images), self.model.config.width):
                    return found
            except (OSError, ValueError):
                pass  # damaged: computed again
        without_queries = replace(self.split, queries=())
        vectors = embed_split(self.model, without_queries, self.pixels, progress=progress or True)[1].cpu().numpy()

        def write(beside: Path) -> None:
            with open(beside, "wb") as stream:
                np.save(stream, vectors)

        try:
            write_atomically(file, write)
        except SaveError as error:
            warnings.warn(
                f"{file.parent} cannot be written ({error.__cause__}): the gallery's vectors stay in memory and are computed "
                "again the next time. To keep them, pass a runs_root that can be written",
                stacklevel=2,
            )
        return vectors

    @cached_property
    def relevance(self) -> Relevance:
        """Which images each query ranks, and which of them are relevant."""
        return Relevance(self.split)

    @cached_property
    def _index(self) -> Gallery:
        return Gallery(self.gallery)

    def candidates(self, query: int | None = None, category: str = "") -> np.ndarray:
        """(G,) bool: what a query of the split ranks under its protocol; without one all images, or those of a category."""
        return self.relevance.candidates(query, category)

    def rank_of(self, vector: np.ndarray, query: int) -> int:
        """Rank of the first relevant image under the split's protocol, from 1; 0 where the gallery has none."""
        relevant, excluded = self.relevance.relevant(np.array([query])), np.flatnonzero(~self.candidates(query))
        return int(self._index.rank(vector[None], relevant, (np.zeros_like(excluded), excluded), keep=0).ranks[0])

    def search(self, vector: np.ndarray, k: int, among: np.ndarray | None = None) -> Hits:
        """The first k images, best first; ties go to the earlier image. among: (G,) bool, the candidates."""
        return self._index.search(vector, k, () if among is None else ~among)

    def is_relevant(self, images: np.ndarray, query: int) -> np.ndarray:
        """Which images are relevant to a query, (k,) bool."""
        return self.relevance.is_relevant(images, query)

    # --- heads --------------------------------------------------------------------------------------------------------

    def ranks_without_each(self, query: int) -> np.ndarray | None:
        """The target's rank with each head turned off in the query alone, (operations, heads); the gallery keeps its vectors.

        None for a model without attention, or whose operations have different numbers of heads.
        """
        try:
            named = attentions(self.model)
        except ConfigError:
            return None
        if len({module.heads for _, module in named}) > 1:
            return None
        features, text = self._features(self.split.queries[query].source), self.model.read([self.text_of(query)])
        return np.array(
            [
                [self._rank_without(features, text, query, (b, h)) for h in range(module.heads)]
                for b, (_, module) in enumerate(named)
            ]
        )

    @torch.inference_mode()
    def _rank_without(self, features: Features, text: TextBatch, query: int, head: Head) -> int:
        with self.heads_off([head]):
            vector, _ = self.model.eval().fuse(features, text)
        return self.rank_of(unit(vector)[0].cpu().numpy(), query)

    # --- recorded ranks -----------------------------------------------------------------------------------------------

    def rankings(self) -> Rankings:
        """Each query's rank: from the run's folder where it is of this data, otherwise ranked now."""
        split = self.split
        if (self.run.folder / "rankings.parquet").is_file():
            found = self.run.rankings
            recorded = list(zip(found.column("source"), found.column("text"), strict=True))
            if recorded == [(split.images[q.source].id, join(q.texts)) for q in split.queries]:
                return found
        return rank(*embed_split(self.model, split, self.pixels, transform=self.run.config.data.transform), split)

    def __repr__(self) -> str:
        return f"Session({self.caption()})"


def open_session(
    run: str | Path = "css-laptop", *, data_root: str | Path = "", runs_root: str | Path = "", device: str = ""
) -> Session:
    """Open a run to explore. run: a shipped model ("css-laptop", "garments-laptop"), a run's folder, or its name in `runs_root`.

    data_root: the run's dataset, or the folder that holds it; "" draws synthetic data image by image where that is possible,
    and otherwise takes the data that the run was trained on, or the lab's data/ (see `sources.folder_of`). Raises RunError for a
    run without a model, DataError for missing data, ConfigError for a device that is not there.
    """
    if device:
        torch_device(device)  # before anything is drawn
    found = find_run(run, runs_root)
    if not (found.folder / "model.safetensors").is_file():
        raise RunError(
            f"{found.folder}: expected a run with its model.safetensors, found none; records of runs have no weights. "
            "Take a shipped model (css-laptop, garments-laptop) or train the run"
        )
    settings = found.config.data
    root: Path | None = None
    if data_root != "" or not can_draw_lazily(settings.origin):
        root = folder_of(found, data_root)
        origin = datasets.origin(settings.dataset, root)
        trained_on_synthetic, found_synthetic = map(is_synthetic, (settings.origin, origin))
        if settings.origin and origin != settings.origin and trained_on_synthetic != found_synthetic:
            raise ConfigError(
                f"{found.name} was trained on {settings.origin!r}, and {root} holds {origin!r}: a model of drawn "
                "pictures says nothing about photographs, nor the other way round; pass the data it was trained on"
            )
    return Session(
        str(run) if Path(str(run)).name == str(run) else found.name, found, root, own_folder(runs_root, "runs"), device or None
    )


def describe_run(run: Run) -> str:
    """A run's name on screen: "garments-laptop: maaf, 2,700 steps"."""
    config = run.config
    name = f"{config.model.name}, {config.train.steps:,} steps"
    return f"{run.name}: {name}" if run.folder.parent == GALLERIES.parent else f"{name} ({run.name[-4:]})"


def _of_same_dataset(first: Session, run: str | Path, runs_root: str | Path) -> Run:
    """The run to compare with. ConfigError where it is of another dataset."""
    other = find_run(run, runs_root)
    if (dataset := other.config.data.dataset) != first.dataset:
        raise ConfigError(
            f"compare: expected two models of one dataset, found {other.name}, a model of {dataset}, beside {first.name}, one of "
            f"{first.dataset}"
        )
    return other


def second_rankings(first: Session, run: str | Path, runs_root: str | Path = "") -> dict[str, Rankings]:
    """Another run's rankings under its name on screen; a record without weights is enough. ConfigError for the same run
    and for one of another dataset.
    """
    other = _of_same_dataset(first, run, runs_root)
    if describe_run(other) == describe_run(first.run):
        raise ConfigError(f"expected another run to compare with, found {first.name} twice")
    return {describe_run(other): other.rankings}


def _key(shown: str, model: ComposedModel) -> str:
    import hashlib

    from maaf_lab.retrieval.folder_gallery import model_key

    return hashlib.sha256(f"{shown} {model_key(model)}".encode()).hexdigest()[:10]


def grid_side(span: tuple[int, int]) -> int:
    return math.isqrt(span[1] - span[0])
