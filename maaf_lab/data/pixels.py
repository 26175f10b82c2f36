"""Files -> pixels -> the model's input: decode, a cache that decodes each file once, and the two transforms.

Shapes: N images of a split, B of a batch, S side of the square in pixels.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import time
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageOps
from torch import Tensor
from torch.nn import functional as F

from maaf_lab.data.check import first_names, in_threads
from maaf_lab.data.split import Split
from maaf_lab.errors import ConfigError, DataError

VERSION = 1  # of decode and to_square; raise it whenever the same file gives other pixels
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


# --- files -> pixels --------------------------------------------------------------------------------------------------

def decode(path: str | Path, data: bytes | None = None) -> np.ndarray:
    """An image file -> uint8 (height, width, 3) RGB.

    Turned as its EXIF says; transparency over white; the first frame of an animation; 16-bit grey scaled to 8 bits; CMYK and
    palettes converted. `data`: the file's bytes, where they are read already. Raises DataError naming the file when it is
    missing, cut short, no image, or holds numbers that have no agreed meaning as colours (32-bit floats).
    """
    try:
        with PILImage.open(io.BytesIO(data) if data is not None else path) as image:
            image.load()
            image = ImageOps.exif_transpose(image)
            return np.array(_as_rgb(image), dtype=np.uint8)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Exception as error:  # Pillow raises many kinds for damaged files
        size = len(data) if data is not None else (os.path.getsize(path) if os.path.isfile(path) else 0)
        raise DataError(
            f"{path}: cannot be read as an image ({size:,} bytes; {_why(error)}); copy or download it again") from error


def _why(error: Exception) -> str:
    if isinstance(error, PILImage.UnidentifiedImageError):
        return "no image format known here"
    return str(error) or type(error).__name__


def _as_rgb(image: PILImage.Image) -> PILImage.Image:
    if image.mode == "F":
        raise DataError("mode F (32-bit floats) has no agreed range")
    if image.mode.startswith("I"):  # 16-bit grey; Pillow cuts, not scales, when it converts
        values = np.asarray(image).astype(np.int64)
        return PILImage.fromarray((np.clip(values, 0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return PILImage.alpha_composite(PILImage.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def damage(path: str | Path) -> str | None:
    """Why an image file cannot be used, or None. Fast for whole PNG files (looks at both ends), decodes anything else."""
    try:
        with open(path, "rb") as file:
            if file.read(8) == b"\x89PNG\r\n\x1a\n":
                file.seek(0, os.SEEK_END)
                file.seek(max(8, file.tell() - len(_PNG_END)))
                if file.read() == _PNG_END:
                    return None
        decode(path)
    except FileNotFoundError:
        return "missing"
    except (OSError, DataError) as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def to_square(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) -> (S, S, 3): shorter side to `size`, antialiased bilinear, then the middle; torchvision's Resize, CenterCrop.

    An image whose shorter side is `size` is not resampled: its bytes stay as they are.
    """
    height, width = image.shape[:2]
    if min(height, width) != size:
        long = int(size * max(height, width) / min(height, width))
        new = (size, long) if width <= height else (long, size)  # (width, height)
        image = np.asarray(PILImage.fromarray(image).resize(new, PILImage.Resampling.BILINEAR))
        height, width = image.shape[:2]
    top, left = round((height - size) / 2), round((width - size) / 2)
    return np.ascontiguousarray(image[top:top + size, left:left + size])


# --- the cache --------------------------------------------------------------------------------------------------------

class PixelCache:
    """The images of a split as squares, uint8 (N, S, S, 3), in one memory-mapped file (or in memory, path None).

    key: names the contents; the same files at the same size give the same key. Safe to send to other processes: they map
    the same file.
    """

    def __init__(self, key: str, pixels: np.ndarray, path: Path | None) -> None:
        self.key, self.pixels, self.path = key, pixels, path

    @property
    def size(self) -> int:
        return self.pixels.shape[1]

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        where = self.path or "in memory"
        return f"PixelCache({len(self):,} images of {self.size} px, {self.pixels.nbytes / 1e6:,.1f} MB, {where})"

    def image(self, index: int) -> np.ndarray:
        """One image, uint8 (S, S, 3)."""
        return np.array(self.pixels[index])

    def batch(self, indices: np.ndarray | Tensor | Sequence[int]) -> Tensor:
        """Images by index -> uint8 (B, 3, S, S), channels last in memory. Raises IndexError outside the split."""
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)
        return torch.from_numpy(self.pixels[rows].view(np.ndarray)).permute(0, 3, 1, 2)

    def __getstate__(self) -> dict[str, Any]:
        return {"key": self.key, "path": self.path, "pixels": None if self.path else self.pixels}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.key, self.path = state["key"], state["path"]
        self.pixels = np.load(self.path, mmap_mode="r", allow_pickle=False) if self.path else state["pixels"]


def pixel_cache(split: Split, size: int, cache_dir: str | Path | None = None, progress: bool = True) -> PixelCache:
    """Every image of `split` as a `to_square(decode(...), size)`, decoded once and found again by the files' contents.

    A manifest remembers each file's name, bytes, mtime and ctime: files that agree are not read again. Files that do not are
    hashed, and the cache is built anew if any content changed. (What it cannot see: a change within the clock tick of the file
    system in which it was built, or by one who can set ctime.) A build is written beside and moved into place when whole.
    cache_dir: by default `.cache` beside the folder `images`; where that cannot be written, the cache stays in memory, with a
    warning. Raises DataError listing all files that are missing or unreadable, or when a given `cache_dir` cannot be written.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"pixel_cache: expected size as a whole number of at least 1, found {size!r}")
    if not split.images:
        raise DataError(f"{split.title}: no images to cache")
    paths = [Path(image.path) for image in split.images]
    folder = Path(cache_dir) if cache_dir is not None else _default_folder(paths)
    store = _Store(folder, paths, size)
    stats = _stats(split, paths)
    found = store.find(stats)
    if found is not None:
        return found
    need = f"{len(paths) * size * size * 3 / 1e6:,.0f} MB of pixels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"pixels-{uuid.uuid4().hex}.partial"
        partial.touch(exist_ok=False)
    except OSError as error:
        if cache_dir is not None:
            raise DataError(f"{folder}: expected a folder to write {need} to; "
                            f"{error.strerror or error}. Pass another cache_dir.") from error
        warnings.warn(f"{folder} cannot be written ({error.strerror or error}): {need} stay in memory and are decoded again "
                      f"next time. Pass cache_dir to keep them.", stacklevel=2)
        pixels = np.empty((len(paths), size, size, 3), np.uint8)
        digests = _fill(split, paths, size, progress, pixels.__setitem__)
        return PixelCache(_key(digests, size), pixels, None)
    try:
        digests = _write(split, paths, size, progress, partial)
        return store.keep(partial, stats, digests)
    except OSError as error:
        raise DataError(f"{folder}: could not write {need} ({error.strerror or error}). "
                        f"Make room, or pass another cache_dir.") from error
    finally:
        partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Store:
    """A cache folder as one list of images at one size sees it: a manifest, and pixel files named by their contents."""

    folder: Path
    paths: list[Path]
    size: int

    @property
    def manifest(self) -> Path:
        names = "\0".join(os.path.relpath(path, self.folder) for path in self.paths)  # relative: a folder may move with its cache
        return self.folder / f"manifest-{hashlib.sha256(f'{VERSION} {self.size} {names}'.encode()).hexdigest()[:16]}.json"

    def pixels_file(self, key: str) -> Path:
        return self.folder / f"pixels-{key}.npy"

    def open(self, key: str) -> PixelCache | None:
        path = self.pixels_file(key)
        try:
            pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):  # gone, or damaged from outside: built again
            return None
        if pixels.shape != (len(self.paths), self.size, self.size, 3) or pixels.dtype != np.uint8:
            return None
        return PixelCache(key, pixels, path)

    def read(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self.manifest.read_text())
            if isinstance(found["key"], str) and len(found["stats"]) == len(found["digests"]) == len(self.paths):
                return found
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def find(self, stats: list[list[int]]) -> PixelCache | None:
        """The cache of these very files, or None where it has to be built."""
        old = self.read()
        if old is None:
            return None
        if old["stats"] == stats:
            return self.open(old["key"])
        try:
            digests = [digest if was == now else _sha256(path.read_bytes())
                       for path, was, now, digest in zip(self.paths, old["stats"], stats, old["digests"])]
        except OSError:
            return None
        cache = self.open(_key(digests, self.size))
        if cache is not None:
            with contextlib.suppress(OSError):  # a folder that cannot be written: hashed again next time
                self._write_manifest(cache.key, stats, digests)
        return cache

    def keep(self, built: Path, stats: list[list[int]], digests: list[str]) -> PixelCache:
        """Move a finished build into place; the pixels of older contents of the same images go."""
        key, old = _key(digests, self.size), self.read()
        if self.open(key) is None:  # another build of the same files may have been quicker
            os.replace(built, self.pixels_file(key))
        self._write_manifest(key, stats, digests)
        self._sweep(old["key"] if old and old["key"] != key else None)
        cache = self.open(key)
        if cache is None:
            raise DataError(f"{self.pixels_file(key)} was just written and cannot be read back: pass another cache_dir")
        return cache

    def _write_manifest(self, key: str, stats: list[list[int]], digests: list[str]) -> None:
        temporary = self.manifest.with_name(f"{self.manifest.name}.{os.getpid()}.partial")
        temporary.write_text(json.dumps({"key": key, "size": self.size, "stats": stats, "digests": digests}))
        os.replace(temporary, self.manifest)

    def _sweep(self, superseded: str | None) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            for partial in self.folder.glob("*.partial"):  # of builds that were killed
                if time.time() - partial.stat().st_mtime > 86_400:
                    partial.unlink()
            if superseded and all(json.loads(m.read_text())["key"] != superseded for m in self.folder.glob("manifest-*.json")):
                self.pixels_file(superseded).unlink()


def _default_folder(paths: Sequence[Path]) -> Path:
    common = Path(os.path.commonpath([os.path.abspath(path.parent) for path in paths]))
    return (common.parent if common.name == "images" else common) / ".cache"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _key(digests: Sequence[str], size: int) -> str:
    return _sha256(f"{VERSION} {size} {' '.join(digests)}".encode())[:20]


def _stats(split: Split, paths: Sequence[Path]) -> list[list[int]]:
    stats, missing = [], []
    for path in paths:
        try:
            s = os.stat(path)
            stats.append([s.st_size, s.st_mtime_ns, s.st_ctime_ns])
        except OSError:
            missing.append(path.name)
    if missing:
        raise DataError(f"{split.title}: {len(missing):,} of {len(paths):,} images missing under {paths[0].parent} (first: "
                        f"{first_names(missing)}). Load the split with missing=\"skip\", or run the dataset's check.")
    return stats


def _write(split: Split, paths: Sequence[Path], size: int, progress: bool, file: Path) -> list[str]:
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), size, size, 3)}
    with open(file, "wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        digests = _fill(split, paths, size, progress, lambda i, square: out.write(square.tobytes()))
        out.flush()
        os.fsync(out.fileno())
    return digests


def _fill(split: Split, paths: Sequence[Path], size: int, progress: bool, put: Any) -> list[str]:
    """Decode all images in order and `put(i, square)` each; -> sha256 of each file. All bad files are named in one error."""
    def one(path: Path) -> tuple[str, np.ndarray | None, str]:
        try:
            data = path.read_bytes()
            return _sha256(data), to_square(decode(path, data), size), ""
        except (OSError, DataError) as error:
            return "", None, str(error).removeprefix(f"{path}: ")

    digests, bad = [], []
    for i, (digest, square, why) in enumerate(in_threads(one, paths, f"{split.title} -> {size} px", progress)):
        if square is None:
            bad.append(f"{paths[i].name}: {why}")
        elif not bad:
            put(i, square)
        digests.append(digest)
    if bad:
        raise DataError(f"{split.title}: {len(bad):,} of {len(paths):,} images unreadable under {paths[0].parent} "
                        f"(first: {'; '.join(bad[:3])}). Get them again, or load the split with missing=\"skip\".")
    return digests


# --- pixels -> the model's input --------------------------------------------------------------------------------------

def normalise(batch: Tensor, device: torch.device | str | None = None) -> Tensor:
    """uint8 (B, 3, S, S) -> float32 (B, 3, S, S), minus ImageNet's mean, over its standard deviation; on `device`."""
    batch = batch if device is None else batch.to(device)
    return _standardise(batch.to(torch.float32) / 255)


def _standardise(batch: Tensor) -> Tensor:
    mean, std = (torch.tensor(v, dtype=batch.dtype, device=batch.device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (batch - mean) / std


def _check_batch(batch: Tensor) -> None:
    if batch.dtype != torch.uint8 or batch.ndim != 4 or batch.shape[1] != 3:
        raise ConfigError(f"transform: expected a uint8 batch (B, 3, height, width), found {batch.dtype} {tuple(batch.shape)}")


@dataclass(frozen=True)
class Plain:
    """Resize (shorter side), centre crop, ImageNet normalisation; training and evaluation alike (CSS, MIT-States, Fashion200k).

    Batches from a `PixelCache` of the same size are squares already and are only normalised.
    """

    pixels: int

    def train(self, batch: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """As `eval`; draws nothing from `generator`."""
        return self.eval(batch)

    def eval(self, batch: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) -> float32 (B, 3, pixels, pixels)."""
        _check_batch(batch)
        height, width = batch.shape[-2:]
        if (height, width) == (self.pixels, self.pixels):
            return normalise(batch)
        image = batch.to(torch.float32) / 255
        if min(height, width) != self.pixels:
            long = int(self.pixels * max(height, width) / min(height, width))
            new = (self.pixels, long) if height <= width else (long, self.pixels)
            image = F.interpolate(image, new, mode="bilinear", antialias=True, align_corners=False)
            height, width = new
        top, left = round((height - self.pixels) / 2), round((width - self.pixels) / 2)
        return _standardise(image[..., top:top + self.pixels, left:left + self.pixels])


@dataclass(frozen=True)
class Crops:
    """Random resized crop, flip, noise, ImageNet normalisation for training; `Plain` for evaluation (Fashion IQ, Birds, Spot).

    The authors' code: crops of 0.8 to 1 of the area with sides' ratio 0.75 to 1.3, flipped half the time, noise of std 0.01 added
    to values in [0, 1], so before normalisation. They crop the whole image; here a crop comes from the cached square, whose
    middle is all that evaluation sees. From squares of `pixels` a crop is only ever enlarged, so bilinear reading needs no
    antialiasing (larger squares would alias: cache at `pixels`). All random numbers follow from one CPU generator: its state
    is all that an exact resume needs, and crops and flips are the same on every device (noise is drawn on the batch's device).
    """

    pixels: int
    scale: tuple[float, float] = (0.8, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3)
    noise: float = 0.01

    def train(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 (B, 3, S, S) -> float32 (B, 3, pixels, pixels); `generator` must be a CPU one."""
        _check_batch(batch)
        theta = self._boxes(len(batch), batch.shape[-2], batch.shape[-1], generator)  # (B, 2, 3)
        noise_seed = int(torch.randint(2**62, (), generator=generator))
        grid = F.affine_grid(theta.to(batch.device), [len(batch), 3, self.pixels, self.pixels], align_corners=False)
        image = F.grid_sample(batch.to(torch.float32) / 255, grid, mode="bilinear", padding_mode="border", align_corners=False)
        noise = torch.Generator(batch.device).manual_seed(noise_seed)
        image = image + self.noise * torch.randn(image.shape, generator=noise, device=image.device)
        return _standardise(image).contiguous(memory_format=torch.channels_last)

    def eval(self, batch: Tensor) -> Tensor:
        return Plain(self.pixels).eval(batch)

    def _boxes(self, n: int, height: int, width: int, generator: torch.Generator, tries: int = 10) -> Tensor:
        """Each image's crop as an affine map from output to input, both in [-1, 1]: (B, 2, 3)."""
        u = torch.rand(n, tries, 4, generator=generator, dtype=torch.float64)
        flip = torch.rand(n, generator=generator, dtype=torch.float64) < 0.5
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * u[..., 0])
        low, high = np.log(self.ratio[0]), np.log(self.ratio[1])
        ratio = torch.exp(low + (high - low) * u[..., 1])
        w, h = torch.sqrt(area * ratio).round(), torch.sqrt(area / ratio).round()  # (B, tries)
        fits = (w >= 1) & (w <= width) & (h >= 1) & (h <= height)
        first = fits.to(torch.int8).argmax(1, keepdim=True)
        w, h, x, y, ok = (t.gather(1, first)[:, 0] for t in (w, h, u[..., 2], u[..., 3], fits))
        w, h = torch.where(ok, w, min(height, width)), torch.where(ok, h, min(height, width))  # nothing fitted: the middle square
        left = torch.where(ok, torch.floor(x * (width - w + 1)), (width - w) / 2)
        top = torch.where(ok, torch.floor(y * (height - h + 1)), (height - h) / 2)
        theta = torch.zeros(n, 2, 3, dtype=torch.float64)
        theta[:, 0, 0] = w / width * torch.where(flip, -1.0, 1.0)
        theta[:, 1, 1] = h / height
        theta[:, 0, 2] = (2 * left + w) / width - 1
        theta[:, 1, 2] = (2 * top + h) / height - 1
        return theta.to(torch.float32)


def build_transform(name: str, pixels: int) -> Plain | Crops:
    """The transform that `DataConfig.transform` names: "plain" or "crops". Raises ConfigError for another name."""
    known = {"plain": Plain, "crops": Crops}
    if name not in known:
        raise ConfigError(f"unknown transform {name!r}; known: {', '.join(known)}")
    return known[name](pixels)
