"""A folder of the user's own images as a gallery: embedded once, searched by vector.

Shapes: N images, D width, S side of the square in pixels. `gallery_store` describes the files that are kept.
"""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from maaf_lab.data.images import square as whole_square
from maaf_lab.data.images import suffix, suffixes
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import DataError
from maaf_lab.models.base import ComposedModel
from maaf_lab.retrieval.gallery import Gallery, Hits
from maaf_lab.retrieval.gallery_store import KEEP, Line, Store, model_key, sampled
from maaf_lab.utils.parallel import cores, in_threads
from maaf_lab.utils.wording import counted

SAVE_EVERY = 256  # embedded images between two saves: a killed process loses no more


@dataclass(frozen=True, eq=False, repr=False)
class FolderGallery:
    """Images of a folder and their vectors, in the order of their names.

    names: paths below the folder, with "/" between parts. vectors: (N, D) float32 unit vectors, often a read-only memory map.
    broken: (name, why) of files that could not be used; they have no index; an earlier call found `known_broken` of them.
    others: (suffix, number) of files that are no images. model: the name of the model that embedded them.
    """

    title: str
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    vectors: np.ndarray
    broken: tuple[tuple[str, str], ...] = ()
    model: str = ""
    others: tuple[tuple[str, int], ...] = ()
    known_broken: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.paths) == len(self.vectors):
            raise DataError(
                f"{self.title}: expected a name, a path and a vector per image; found {len(self.names):,} names, "
                f"{len(self.paths):,} paths and {len(self.vectors):,} vectors"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def summary(self) -> str:
        """How many images, and what was left out: "1 image, 2 broken and 3 other files (2 .txt, 1 .heic) left out"."""
        left = [f"{len(self.broken):,} broken"] if self.broken else []
        left += [_told(self.others, "other file")] if self.others else []
        return counted(len(self), "image") + (f", {' and '.join(left)} left out" if left else "")

    def __repr__(self) -> str:
        return f"FolderGallery({self.title}: {self.summary}{f'; {self.model}' if self.model else ''})"

    @cached_property
    def gallery(self) -> Gallery:
        """The vectors, ready to be searched."""
        return Gallery(self.vectors)

    def search(self, vector: np.ndarray | Tensor, k: int, without: Iterable[int] = ()) -> Hits:
        """The k images nearest to a unit vector (D,); see `Gallery.search`."""
        return self.gallery.search(vector, k, without)

    def picture(self, i: int, pixels: int) -> np.ndarray:
        """Image i as a square, uint8 (pixels, pixels, 3). Raises DataError where its file is gone or is no image anymore."""
        return square(self.paths[i], pixels)

    def pictures(self, images: Sequence[int], pixels: int) -> list[np.ndarray]:
        """Several images, read on all cores."""
        return list(in_threads(lambda i: self.picture(i, pixels), images))

    def find(self, path: str | Path) -> tuple[int, ...]:
        """Indices of the images that are this file, also under another name (a link to it)."""
        try:
            wanted = os.stat(path)
        except OSError:
            return ()
        found = []
        for i, own in enumerate(self.paths):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(own), wanted):
                    found.append(i)
        return tuple(found)


def square(path: str | Path, pixels: int) -> np.ndarray:
    """An image file -> uint8 (pixels, pixels, 3), quickly: see `maaf_lab.data.images.square`."""
    return whole_square(path, pixels, quick=True)


def open_folder(
    folder: str | Path,
    model: ComposedModel,
    *,
    pixels: int,
    name: str,
    progress: bool | Callable[[int, int], object] = True,
    kept: str | Path | None = None,
    chunk: int = 64,
) -> FolderGallery:
    """All images below a folder, embedded by `model` at `pixels`; images that an earlier call embedded are not read again.

    Image files are known by a suffix that Pillow reads, also with what sites put after it (large.jpg?123). Other files are
    counted; names that begin with a dot are left out, and links to folders are followed once. A file is embedded again when its
    size, mtime or, where only its ctime tells, its contents have changed. A broken file is listed with its reason; it is tried
    again when it changes, and every time if it could not even be opened. A call that is stopped keeps the vectors it has for the
    next one.
    name: the model's, for messages. progress: True for a bar, or a function of the files done and all files, called at the start
    and after each chunk; an error that it raises stops the call. kept: the folder that keeps the vectors, by default
    `folder/.cache`; where that cannot be written, they stay in memory, with a warning. chunk: images embedded at once.
    Raises DataError where there is no such folder, no usable image in it, or a given `kept` cannot be written.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing of that name"
        raise DataError(f"{folder}: expected a folder of images, found {found}. Name the folder that holds them.")
    title = folder.resolve().name or str(folder)
    store = Store(folder, Path(kept).expanduser() if kept is not None else folder / ".cache", model, pixels)
    files, broken, others = _images_below(folder, store.kept_in)
    if kept is None and store.kept_in.is_symlink():
        store.give_up("it is a link, which may lead anywhere")
    whole, vectors, known = store.read()
    lines = _unchanged(files, known)
    todo = [i for i, line in enumerate(lines) if line is None]
    known_broken = frozenset(line.name for line in lines if line is not None and line.why)
    new_folder = not store.kept_in.exists()
    if todo and not store.lost and (why := store.why_not_writable()):
        if kept is not None:
            raise DataError(f"{store.kept_in}: expected a folder to keep vectors in; {why}. {KEEP}")
        store.give_up(why)
    fresh: list[Line] = []
    try:
        with (
            _progress(progress, title, len(files) - len(todo), len(files)) as advance,
            contextlib.closing(_embedded([files[i] for i in todo], model, pixels, chunk, advance)) as embedded,
        ):
            for line, i in zip(embedded, todo):  # in this order, or the last chunk is not reported
                lines[i] = line
                fresh.append(line)
                if len(fresh) >= SAVE_EVERY:
                    store.add(fresh)
                    fresh = []
    except BaseException:
        store.add(fresh)
        raise
    broken = sorted(broken + [(line.name, line.why) for line in lines if line.why])
    usable = [i for i, line in enumerate(lines) if not line.why]
    if not usable:
        if new_folder:
            with contextlib.suppress(OSError):
                store.kept_in.rmdir()  # empty
        found = f"{counted(len(files), 'file')}, none usable" if files else f"none among {_told(others, 'file')}"
        first = f" (first: {broken[0][0]}: {broken[0][1]})" if broken else ""
        raise DataError(
            f"{folder}: expected image files (png, jpg, webp, avif or others that Pillow reads), found {found}{first}. "
            "Name a folder that holds images."
        )
    keep = [line for line in lines if line.lasting]
    changed = [line[:4] for line in keep] != [line[:4] for line in whole]
    if changed or ([line.entry for line in keep] != [line.entry for line in whole] and not store.why_not_writable()):
        vectors = np.stack([lines[i].vector for i in usable])
        vectors = store.finish(keep, vectors)
    elif len(known) > len(whole):
        store.sweep()
    names = tuple(files[i].name for i in usable)
    return FolderGallery(title, names, tuple(folder / name for name in names), vectors, tuple(broken), name, others, known_broken)


# --- files of the folder ----------------------------------------------------------------------------------------------


class _File(NamedTuple):
    name: str  # below the folder
    size: int
    mtime_ns: int
    ctime_ns: int
    path: Path


def _images_below(folder: Path, skip: Path) -> tuple[list[_File], list[tuple[str, str]], tuple[tuple[str, int], ...]]:
    """Image files in order of their names, (name, why) of those that cannot be opened, and the other files by suffix."""
    files, broken, others, seen = [], [], Counter(), set()
    with contextlib.suppress(OSError):
        seen |= {_identity(skip)} - {_identity(folder)}
    plain, linked = [(folder, "")], []
    while plain or linked:
        where, prefix = (plain or linked).pop()  # links last: a folder keeps its own name where it has one below `folder`
        try:
            if (identity := _identity(where)) in seen:
                continue
            seen.add(identity)
            entries = sorted(os.scandir(where), key=lambda entry: entry.name)
        except OSError as error:
            broken.append((prefix or ".", f"the folder cannot be read ({error.strerror or error})"))
            continue
        for entry in entries:
            name, kind = prefix + entry.name, suffix(entry.name)
            is_image = kind in suffixes()
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    (linked if entry.is_symlink() else plain).append((where / entry.name, f"{name}/"))
                elif not is_image:
                    others[kind] += 1
                elif stat.S_ISREG((status := entry.stat()).st_mode):
                    files.append(_File(name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, where / entry.name))
                else:
                    broken.append((name, "no file, but a pipe or a device, which may have no end"))
            except OSError as error:
                if is_image:
                    broken.append((name, f"cannot be opened ({error.strerror or error})"))
    return sorted(files), broken, tuple(others.most_common())


def _told(others: Sequence[tuple[str, int]], noun: str) -> str:
    """Files by kind: "5 files (3 .txt, 2 without suffix)"."""
    kinds = [f"{n:,} {kind[:20] or 'without suffix'}" for kind, n in others]
    kinds = [*kinds[:5], "..."] if len(kinds) > 6 else kinds
    return counted(sum(n for _, n in others), noun) + (f" ({', '.join(kinds)})" if kinds else "")


def _unchanged(files: Sequence[_File], known: Mapping[str, Line]) -> list[Line | None]:
    """The known line of each file, None where it is new or has changed.

    Copying keeps size and mtime (`cp -p`, rsync), not ctime: where only that differs, the contents decide.
    """
    lines = [known.get(file.name) for file in files]
    lines = [line if line and line[1:3] == file[1:3] else None for line, file in zip(lines, files)]
    unsure = [i for i, line in enumerate(lines) if line and line.ctime_ns != files[i].ctime_ns]
    for i, sample in zip(unsure, in_threads(lambda i: sampled(files[i].path), unsure)):
        same = lines[i].sample in ("", sample)
        lines[i] = lines[i]._replace(ctime_ns=files[i].ctime_ns, sample=sample) if same else None
    return lines


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


# --- from files to vectors --------------------------------------------------------------------------------------------


def _embedded(
    files: Sequence[_File], model: ComposedModel, pixels: int, chunk: int, advance: Callable[[int], object]
) -> Iterator[Line]:
    """A line per file, in order. Threads decode two chunks ahead of the model."""
    prepare = build_transform("plain", pixels)

    def load(file: _File) -> np.ndarray | tuple[str, bool]:
        try:
            return square(file.path, pixels)
        except Exception as error:
            cause = error.__context__ or error  # not the file's fault: it cannot be opened now, or memory is short
            lasting = not (isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno))
            return str(error).removeprefix(f"{file.path}: ") or type(error).__name__, lasting

    was_training = model.training
    model.eval()
    images = in_threads(load, files, workers=min(8, cores() + 1), ahead=2 * chunk)
    try:
        with warnings.catch_warnings():  # about large photos and odd EXIF; files that cannot be used are in `broken`
            warnings.filterwarnings("ignore", module=r"PIL\.")
            for start in range(0, len(files), chunk):
                part = files[start : start + chunk]
                loaded = list(islice(images, len(part)))
                good = [image for image in loaded if isinstance(image, np.ndarray)]
                if good:
                    batch = torch.from_numpy(np.stack(good)).permute(0, 3, 1, 2).to(model.device)
                    with torch.inference_mode():
                        vectors = iter(model.embed_images(prepare.eval(batch)).float().cpu().numpy())
                for file, image in zip(part, loaded):
                    if not isinstance(image, np.ndarray):
                        line = Line(*file[:3], image[0], None, image[1])
                    elif np.isfinite(vector := next(vectors)).all():
                        line = Line(*file[:3], "", vector)
                    else:
                        line = Line(*file[:3], "the model gives it no finite vector", None)
                    yield line._replace(ctime_ns=file.ctime_ns, sample=sampled(file.path))
                advance(len(part))
    finally:
        images.close()
        model.train(was_training)


@contextlib.contextmanager
def _progress(
    wanted: bool | Callable[[int, int], object], title: str, done: int, total: int
) -> Iterator[Callable[[int], object]]:
    """A function to call with the number of files that were done since its last call."""
    if not callable(wanted):
        with tqdm(
            total=total, initial=done, desc=f"embed {title}", unit="image", mininterval=0.5, disable=not wanted or done == total
        ) as bar:
            yield bar.update
        return

    def advance(more: int) -> None:
        nonlocal done
        done += more
        wanted(done, total)

    advance(0)
    yield advance


__all__ = ["FolderGallery", "Hits", "model_key", "open_folder", "square"]
