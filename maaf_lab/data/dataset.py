"""`Dataset`: one folder of annotations and images, some of which may be missing.

A subclass reads its own annotation files (`read`); loading a split, checking a copy and naming its origin are the same for all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from maaf_lab.data.check import CheckReport, CheckRow, letter_notes, query_notes, row_problems
from maaf_lab.data.images import WITHOUT_IMAGES, damage, damage_inside
from maaf_lab.data.mark import MARK, are_counts, is_drawn, read_mark
from maaf_lab.data.modification_types import MODIFICATION_TYPES, Taxonomy
from maaf_lab.data.part import Counts, Part, as_spelled, without_images
from maaf_lab.data.split import Split, is_synthetic
from maaf_lab.errors import ConfigError, DataError, LabError
from maaf_lab.utils.parallel import in_threads
from maaf_lab.utils.registry import DATASETS, SYNTHETIC
from maaf_lab.utils.wording import counted, did_you_mean, first_names, printable


class Dataset(ABC):
    """One dataset in one folder. A subclass reads its files into a `Part`; no file is read before it is needed.

    A subclass has a `key`, `annotations` and `read`; the rest may stay as it is here. One that lacks any is a ConfigError that
    names all it lacks.

    key: name in the registry. title: name in messages; left out: the key. splits: names of all splits; `evaluation` is the one
    that is ranked. download: what to get, from where, and how to lay it out. image_folder: the folder of the images, below the
    root.
    published: counts of the published files, by split.
    settings: what the dataset sets in a profile, by the profile's name; "" for every profile.
    modification_types: type -> its keywords (Table S4).
    described_color: text -> the color by which it describes an object of the reference, or None; the attribute is None for
    datasets in which every color word counts.
    first_word_is_type: whether the first word of a text is its modification type ("add", "remove", "make").
    summary_pixels: side of the synthetic images in the dataset's summary, None for the synthetic dataset's default.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    evaluation: ClassVar[str] = "test"
    download: ClassVar[str] = ""
    image_folder: ClassVar[str] = "images"
    published: ClassVar[Mapping[str, Counts]] = {}
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    modification_types: ClassVar[Taxonomy] = MODIFICATION_TYPES
    described_color: ClassVar[Callable[[str], str | None] | None] = None
    first_word_is_type: ClassVar[bool] = False
    summary_pixels: ClassVar[int | None] = None

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        needed = {"key": "its name", "annotations": "a method, its annotation files", "read": "a method, one split"}
        found = {name: getattr(cls, name, None) for name in needed}
        lacking = [name for name in needed if found[name] is None or getattr(found[name], "__isabstractmethod__", False)]
        if lacking:
            raise ConfigError(
                f"dataset {cls.__qualname__}: expected {', '.join(needed)}; it lacks "
                f"{', '.join(f'{name} ({needed[name]})' for name in lacking)}. See `maaf_lab.data.dataset.Dataset`"
            )
        cls.title = getattr(cls, "title", cls.key)

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        with contextlib.suppress(OSError, ValueError):  # errors are told where the files are read
            if not (self.root / self.image_folder).exists():
                spelled = [name for name in os.listdir(self.root) if name.lower() == self.image_folder.lower()]
                self.image_folder = spelled[0] if len(spelled) == 1 else self.image_folder  # "Images"

    # --- each dataset's own -------------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, split: str) -> Part:
        """The split as its annotation describes it. Raises DataError naming the file and line that do not fit."""

    @abstractmethod
    def annotations(self) -> Sequence[Path]:
        """The layout's annotation files, whether or not they exist."""

    def notes(self, split: str, part: Part) -> Sequence[str]:
        """Remarks on a split that are not problems."""
        return ()

    def without(self, part: Part, unusable: set[int]) -> Part:
        """The part without the images `unusable` (indices) and the queries that need them."""
        return without_images(part, unusable)

    @classmethod
    def drawn_pixels(cls, pixels: int) -> int:
        """Side of the synthetic images for a model of `pixels`: larger, for crops (64 for 56, 256 for 224)."""
        return -(-pixels * 8 // 7)

    # path -> "missing", or what is damaged; None for an image that can be used. `load` calls the first for every image, `check`
    # and missing="skip" the second
    damage = staticmethod(damage)
    damage_inside = staticmethod(damage_inside)

    # --- the same for all ---------------------------------------------------------------------------------------------

    def load(self, split: str, missing: str = "error") -> Split:
        """A split whose image files exist. missing: "error", or "skip" to leave out images that are missing or damaged and the
        queries that need them; `Split.origin` then says how many. "skip" decodes every file once, and remembers which are whole.
        Raises DataError for a wrong or damaged folder."""
        if missing not in ("error", "skip"):
            raise ConfigError(f"{self.title}: expected missing='error' or 'skip', found {missing!r}")
        part = self._read(split)
        if missing == "skip":
            from maaf_lab.data.cache.whole import damaged_files  # it needs torch; a check does not

            unusable = damaged_files(f"{self.key} {split}", [image.path for image in part.images], self.damage_inside)
            kept = self.without(part, set(unusable)) if unusable else part
        else:
            unusable, kept = self._usable(part, self.damage)
        if unusable and (missing == "error" or len(unusable) == len(part.images) or not kept.queries):
            raise DataError(self._unusable_images(split, part, unusable, kept))
        origin = self.origin()
        if unusable:
            lost = len(part.queries) - len(kept.queries)
            origin += f"; {lost:,} queries dropped: {len(unusable):,} images missing or damaged"
        return self._split(split, kept, origin)

    def origin(self) -> str:
        """made.json's origin, or "published sha256:" and 12 digits of the annotations' hash."""
        mark = self.synthetic_mark()
        return mark["origin"] if mark is not None else f"published sha256:{self._digest()[:12]}"

    def synthetic_mark(self) -> dict[str, Any] | None:
        """The content of made.json, or None where there is none. Raises DataError for a damaged one."""
        path = self.root / MARK
        try:
            mark = read_mark(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path} cannot be read ({error}): delete the folder and make the dataset again") from error
        good = isinstance(mark, dict) and isinstance(mark.get("dataset"), str) and are_counts(mark.get("counts", {}))
        if not good or not isinstance(origin := mark.get("origin"), str) or not is_synthetic(origin) or len(origin) > 200:
            raise DataError(f"{path}: expected dataset {self.synthetic_as()!r}, an origin and counts; found {str(mark)[:200]}")
        if mark["dataset"] != self.synthetic_as():
            raise DataError(
                f"{self.root}: expected {self.synthetic_as()}, but this folder holds {printable(mark['dataset'][:80])} ({MARK})"
            )
        return mark

    def synthetic_as(self) -> str:
        """The dataset's name in `made.json`: another key's, where several read one folder."""
        return self.key

    def counts(self, split: str) -> Counts:
        """The expected numbers of images and queries: made.json's, or the published ones."""
        mark = self.synthetic_mark()
        if mark is None:
            return self.published.get(split, Counts())
        images, queries = mark.get("counts", {}).get(split, (None, None))
        return Counts(images, queries)

    def check(self, progress: bool = True) -> CheckReport:
        """A report on a copy: every image is decoded, lost queries are counted, counts are compared with the expected ones.

        Faults of the files are in the report, never raised.
        """
        problems: list[str] = []
        notes: list[str] = []
        rows: list[CheckRow] = []
        origin = ""
        try:
            origin = self.origin()
        except DataError as error:
            problems.append(str(error))
        if not problems:
            for split in self.splits:
                try:
                    part = self._read(split)
                    self._split(split, part, origin)  # raises for queries that do not fit the images
                    rows.append(self._row(split, part, progress))
                    notes += [*self.notes(split, part), *query_notes(split, part), *letter_notes(split, part)]
                except DataError as error:
                    if str(error) not in problems:
                        problems.append(str(error))
        return CheckReport(
            self.key,
            self.root,
            origin,
            self._files(),
            tuple(rows),
            tuple(problems + row_problems(rows)),
            tuple(notes),
            self._to_get(),
        )

    def remarks(self, split: Split) -> list[str]:
        """What `check` says of a loaded split, as far as no file has to be read for it."""
        counts = Counts() if "dropped" in split.origin else self.counts(split.name)
        row = CheckRow(split.title, len(split.images), (), (), len(split.queries), 0, counts.images, counts.queries, counts.exact)
        return [*row_problems([row]), *query_notes(split.title, split)]

    def looks_right(self, folder: Path | None = None) -> bool:
        """Whether a folder (its own, if left out) looks like this dataset's, complete or not: it has an annotation file."""
        folder = self.root if folder is None else folder
        return any((folder / path.relative_to(self.root)).exists() for path in self.annotations())

    def expect_folder(self, profile: str = "laptop") -> None:
        """Raises DataError where the folder is not this dataset's, naming one nearby that is. profile: whose data to draw."""
        if not self.looks_right():
            raise DataError(self._wrong_folder(profile))

    def need(self, split: str, files: Sequence[Path]) -> None:
        """Raises DataError naming the annotation files that are missing."""
        lacking = [path.relative_to(self.root).as_posix() for path in files if not path.is_file()]
        if lacking:
            raise DataError(
                f"{self.title} {split}: {len(lacking)} of {len(files)} annotation files missing under {self.root} "
                f"({first_names(lacking)}).{self._what_to_get()}"
            )

    # --- inside -------------------------------------------------------------------------------------------------------

    def _read(self, split: str) -> Part:
        if split not in self.splits:
            raise ConfigError(f"{self.title} has no split {split!r}; it has {', '.join(self.splits)}")
        self.expect_folder()
        if (self.root / f"{MARK}.part").exists() and not is_drawn(self.root):
            raise DataError(
                f"{self.root}: the making of this dataset did not finish ({MARK}.part but no {MARK}): run the same "
                f"`maaf-lab make {self.synthetic_as()}` again; it starts over"
            )
        part = self.read(split)
        return replace(part, images=as_spelled(part.images))

    def _split(self, split: str, part: Part, origin: str) -> Split:
        return Split(split, part.images, part.queries, part.protocol, self.key, origin, part.draw, part.words)

    def _digest(self) -> str:
        """A hash of the annotation files; of a single one, its own."""
        there = [path for path in self.annotations() if path.is_file()]
        if not there:
            raise DataError(self._wrong_folder())
        try:
            digests = [(path.relative_to(self.root).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in there]
        except OSError as error:
            raise DataError(f"{there[0].parent}: expected readable files; {error.strerror or error}") from error
        if len(self.annotations()) == 1:
            return digests[0][1]
        return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in digests).encode()).hexdigest()

    def _wrong_folder(self, profile: str = "laptop") -> str:
        root, wanted = self.root, self._wanted()
        if not root.exists():
            return f"{root}: no such folder{_meant(root) or '.'}{self._what_to_get(profile)}"
        if not root.is_dir():
            return f"{root}: expected the folder that holds {wanted}, found a file"
        if others := [key for key in DATASETS if key != self.key and _is_one(key, root)]:
            return f"{root}: expected {self.key} ({wanted}), found {others[0]}: name the folder of {self.key}"
        try:
            found = _listed(root)
            near = [root.parent, *(root / name for name in found[:1000])]
            better = [path for path in near if path.is_dir() and self.looks_right(path)]
        except OSError as error:
            return f"{root}: expected a readable folder; {error.strerror or error}"
        hint = f" {better[0]} holds it: pass that folder." if better else self._what_to_get(profile)
        return f"{root}: expected {wanted} and {self.image_folder}/, found {first_names(found, 5) or 'an empty folder'}.{hint}"

    def _what_to_get(self, profile: str = "laptop") -> str:
        return f" What to get: {found}" if (found := self._to_get(profile)) else ""

    def _to_get(self, profile: str = "laptop") -> str:
        """What to download, or how to let the lab draw data in its place; the paper profile learns from published data."""
        drawn = f"; or draw synthetic data, into the lab's data/: maaf-lab make {self.key} --profile {profile}"
        return self.download + (drawn if self.key in SYNTHETIC and profile != "paper" else "")

    def _wanted(self) -> str:
        return first_names([path.relative_to(self.root).as_posix() for path in self.annotations()], 2)

    def _files(self) -> tuple[tuple[str, str], ...]:
        """(name, state) of each file of the layout, for the report."""
        lines = []
        for path in self.annotations():
            state = f"{path.stat().st_size:,} bytes" if path.is_file() else "missing"
            lines.append((path.relative_to(self.root).as_posix(), state))
        folder = self.root / self.image_folder
        try:
            state = f"{len(_listed(folder)):,} entries"
        except OSError:
            state = "missing or unreadable"
        lines.append((f"{self.image_folder}/", state))
        lines.append((MARK, "present: synthetic data" if is_drawn(self.root) else "absent: not synthetic data"))
        return tuple(lines)

    def _usable(
        self, part: Part, damage: Callable[[Path], str | None], *bar: Any, progress: bool = False
    ) -> tuple[dict[int, str], Part]:
        """Image -> "missing", or what is damaged; the part without these images and the queries that need them."""
        paths = [image.path for image in part.images]
        unusable = {i: why for i, why in enumerate(in_threads(damage, paths, *bar, progress=progress)) if why}
        return unusable, self.without(part, set(unusable)) if unusable else part

    def _named(self, part: Part, unusable: Mapping[int, str]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """For messages, by their paths below the image folder: the missing images, and the damaged ones with what is damaged."""
        folder, missing, damaged = self.root / self.image_folder, [], []
        for i, why in unusable.items():
            path = part.images[i].path
            name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
            if why == "missing":
                missing.append(name)
            else:
                damaged.append((name, why))
        return tuple(missing), tuple(damaged)

    def _unusable_images(self, split: str, part: Part, unusable: Mapping[int, str], kept: Part) -> str:
        n, (missing, damaged), parts = len(part.images), self._named(part, unusable), []
        if missing:
            parts.append(f"{len(missing):,} of {n:,} images missing (first: {first_names(missing)})")
        if damaged:
            first = "; ".join(f"{name}: {why}" for name, why in damaged[:3])
            parts.append(f"{len(damaged):,} of {n:,} images damaged (first: {first})")
        if len(unusable) == n or not kept.queries:
            advice = f"No query of this split is left.{self._what_to_get()}"
        else:
            advice = f"{WITHOUT_IMAGES}. `maaf-lab check {self.key} --root {shlex.quote(str(self.root))}` lists what is missing."
        lost = counted(len(part.queries) - len(kept.queries), "query", "queries")
        return f"{self.title} {split}: {' and '.join(parts)} under {self.root / self.image_folder}; they cost {lost}. {advice}"

    def _row(self, split: str, part: Part, progress: bool) -> CheckRow:
        unusable, kept = self._usable(part, self.damage_inside, f"checking {self.key} {split}", progress=progress)
        counts = self.counts(split)
        return CheckRow(
            split,
            len(part.images),
            *self._named(part, unusable),
            len(part.queries),
            len(part.queries) - len(kept.queries),
            counts.images,
            counts.queries,
            counts.exact,
        )


def _meant(folder: Path) -> str:
    """A folder beside it that is called nearly so, for the end of a sentence."""
    with contextlib.suppress(OSError):
        return did_you_mean(folder.name, [name for name in _listed(folder.parent) if (folder.parent / name).is_dir()])
    return ""


def _is_one(key: str, folder: Path) -> bool:
    """Whether a folder is another dataset's."""
    with contextlib.suppress(LabError, OSError):
        return DATASETS[key](folder).looks_right()
    return False


def _listed(folder: Path) -> list[str]:
    """Names in a folder, without hidden ones (the lab's .cache, .DS_Store)."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))
