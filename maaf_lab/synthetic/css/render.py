"""Draws CSS scenes in batches, on a CPU or a GPU: which samples to trace, which object is in front, what is in shadow.

An image's bytes depend only on its objects and its size, not on its batch (`rays` says why). An object's `pos` is exactly where
its center appears in the image. Only samples in the window around an object and its shadow are traced for it.
Legend: B scenes, N objects, H samples that see an object, W side of the supersampled canvas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maaf_lab.data.datasets.css_scenes import COLORS, SHAPES, SIZES, shape_of
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.synthetic.css import rays
from maaf_lab.utils.parallel import cores, in_threads, torch_device

SAMPLES = 3  # rays along each side of a pixel
LEAST_PIXELS = 16
CHUNK = 32 * 64 * 64  # pixels drawn at once by one core, and at most 32 scenes (on a GPU: eight times as many)


@dataclass(frozen=True)
class Drawing:
    """B images and the places of their N objects, in the order of the scenes and of their objects.

    images: (B, pixels, pixels, 3) uint8. scene: (N,) the image of each object; object: (N,) its index in the scene's list.
    box: (N, 4) x0, y0, x1, y1 in whole pixels, half open, of the whole outline, hidden parts included. visible: (N,) visible
    area in pixels; share: (N,) that area over the outline's, 1 where nothing hides the object.
    """

    images: Tensor
    scene: np.ndarray
    object: np.ndarray
    box: np.ndarray
    visible: np.ndarray
    share: np.ndarray


def render(scenes: Sequence[Sequence[Mapping[str, Any]]], pixels: int, device: str | torch.device | None = None) -> Tensor:
    """Images of scenes in the published form: uint8 (B, pixels, pixels, 3), on the device that drew them.

    device: None is the GPU where there is one, else the CPU. Raises DataError for objects outside the image or unknown words.
    """
    return draw(scenes, pixels, device).images


def draw(scenes: Sequence[Sequence[Mapping[str, Any]]], pixels: int, device: str | torch.device | None = None) -> Drawing:
    """As `render`, with each object's box and visible area as well."""
    parts = list(stream(scenes, pixels, device)) or [(0, _draw_chunk([], pixels, _device(device)))]
    scene = np.concatenate([part.scene + start for start, part in parts])
    rest = (np.concatenate([getattr(part, name) for _, part in parts]) for name in ("object", "box", "visible", "share"))
    return Drawing(torch.cat([part.images for _, part in parts]), scene, *rest)


def stream(
    scenes: Sequence[Sequence[Mapping[str, Any]]],
    pixels: int,
    device: str | torch.device | None = None,
    finish: Callable[[int, Drawing], None] | None = None,
) -> Iterator[tuple[int, Drawing]]:
    """Draw in chunks: (index of the chunk's first scene, its Drawing), in order, a few chunks ahead.

    Each chunk, with its `finish(start, drawing)` (such as saving files), is one worker's job on one core. Splitting every small
    operation over the cores is slower, and stalls where other work uses them.
    """
    if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < LEAST_PIXELS:
        raise ConfigError(f"render: expected pixels to be a whole number of at least {LEAST_PIXELS}, found {pixels!r}")
    device = _device(device)
    step = max(1, min(32, CHUNK // (pixels * pixels))) * (1 if device.type == "cpu" else 8)
    starts = range(0, len(scenes), step)
    workers = min(cores(), len(starts), 16)

    def job(start: int) -> tuple[int, Drawing]:
        drawing = _draw_chunk(scenes[start : start + step], pixels, device)
        if finish is not None:
            finish(start, drawing)
        return start, drawing

    def alone(start: int) -> tuple[int, Drawing]:
        torch.set_num_threads(1)
        return job(start)

    if workers <= 1 and device.type != "cpu":
        yield from map(job, starts)
        return
    threads = torch.get_num_threads()
    try:
        yield from in_threads(alone, starts, workers=max(workers, 1), ahead=3 * workers)
    finally:
        torch.set_num_threads(threads)  # the workers' setting is also the default of threads made later


def _device(device: str | torch.device | None) -> torch.device:
    return torch_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


# --- the same for all images of a size --------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _canvas(pixels: int, device: torch.device) -> dict[str, Tensor]:
    """The same for all images of a size: rays, depth and position of the ground, its color in light and in shade."""
    w = pixels * SAMPLES
    grid = (torch.arange(w, dtype=torch.float64) + 0.5) / w
    y, x = (v.reshape(-1) for v in torch.meshgrid(grid, grid, indexing="ij"))
    dx, dy, dz = rays.ray(x, y)
    t = -rays.EYE[2] / dz
    px, py = t * dx, rays.EYE[1] + t * dy
    lit, shade = rays.ground_colors(px, py)
    canvas = {"dx": dx, "dy": dy, "dz": dz, "t": t, "lit": lit, "shade": shade}
    return {key: value.to(torch.float32).contiguous().to(device) for key, value in canvas.items()}


# --- objects ----------------------------------------------------------------------------------------------------------


@dataclass
class _Things:
    """The N objects of a chunk as columns. Numpy float64 for the plan, one float32 tensor for the rays."""

    scene: np.ndarray
    object: np.ndarray
    shape: np.ndarray
    center: np.ndarray  # (N, 3)
    radius: np.ndarray
    half: np.ndarray
    rgb: np.ndarray  # (N, 3) in 0..1


def _things(scenes: Sequence[Sequence[Mapping[str, Any]]]) -> _Things:
    rows = []
    for s, objects in enumerate(scenes):
        for i, obj in enumerate(objects):
            color = obj.get("color")  # a word, or (for pretraining) red, green and blue
            if color in COLORS:
                color = rays.RGB[color]
            if not _is_rgb(color) or obj.get("size") not in SIZES:
                raise DataError(
                    f"render: scene {s}, object {i}: expected a color of {', '.join(COLORS)} and a size of "
                    f"{', '.join(SIZES)}; found {dict(obj)}"
                )
            y, x = obj["pos"]
            if not (0 <= y < 1 and 0 <= x < 1):
                raise DataError(f"render: scene {s}, object {i}: expected pos = (y, x) in [0, 1); found {obj['pos']}")
            shape, scale = SHAPES.index(shape_of(obj)), 1.0 if obj["size"] == "large" else rays.SMALL
            half = rays.HALF_HEIGHT[shape] * scale
            dx, dy, dz = rays.ray(float(x), float(y))
            t = (half - rays.EYE[2]) / dz  # the ray through pos meets the plane of the object's center
            rows.append((s, i, shape, t * dx, rays.EYE[1] + t * dy, half, rays.RADIUS[shape] * scale, *color))
    table = np.array(rows, dtype=np.float64).reshape(-1, 10)
    whole = table[:, :3].astype(np.int64)
    return _Things(whole[:, 0], whole[:, 1], whole[:, 2], table[:, 3:6], table[:, 6], table[:, 5], table[:, 7:10] / 255)


def _is_rgb(color: Any) -> bool:
    return isinstance(color, tuple) and len(color) == 3 and all(isinstance(v, int | float) and 0 <= v <= 255 for v in color)


def _windows(things: _Things, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Canvas boxes (N, 4) x0, y0, x1, y1 that hold each object, and each object with its shadow."""
    reach = np.where(things.shape == rays.CUBE, things.radius * (rays.YAW[0] + rays.YAW[1]), things.radius)
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], dtype=np.float64)
    corners = things.center[:, None] + signs * np.stack([reach, reach, things.half], -1)[:, None]  # (N, 8, 3)
    fallen = corners - corners[..., 2:] / rays.LIGHT[2] * np.array(rays.LIGHT)
    boxes = []
    for points in (corners, np.concatenate([corners, fallen], 1)):
        at = rays.project(points) * w
        low, high = np.floor(at.min(1)) - 1, np.ceil(at.max(1)) + 1
        boxes.append(np.clip(np.concatenate([low, high], -1), 0, w).astype(np.int64))
    return boxes[0], boxes[1]


@dataclass
class _Patch:
    """The windows around a group of n objects of one shape, all of one size, kept inside the canvas."""

    shape: int
    member: Tensor  # (n, 1, 1) index among the chunk's objects
    columns: Tensor  # (n, 1, width)
    rows: Tensor  # (n, height, 1)
    place: Tensor  # (n, height, width) sample of the canvas
    index: Tensor  # (n, height, width) sample of the chunk
    d: tuple[Tensor, Tensor, Tensor]  # rays
    eye: tuple[Tensor, Tensor, Tensor]  # the camera, seen from the object's center
    size: tuple[Tensor, Tensor]  # radius, half height


def _patches(things: _Things, numbers: Tensor, windows: np.ndarray, canvas: dict[str, Tensor], w: int) -> Iterator[_Patch]:
    device = numbers.device
    large = things.radius == np.array([rays.RADIUS[s] for s in range(len(SHAPES))])[things.shape]
    for kind in range(2 * len(SHAPES)):
        group = np.flatnonzero(2 * things.shape + large == kind)
        if not len(group):
            continue
        box = windows[group]
        width, height = int((box[:, 2] - box[:, 0]).max()), int((box[:, 3] - box[:, 1]).max())
        x0, y0 = np.minimum(box[:, 0], w - width), np.minimum(box[:, 1], w - height)
        columns = torch.from_numpy(x0[:, None, None] + np.arange(width)).to(device)
        rows = torch.from_numpy(y0[:, None, None] + np.arange(height)[:, None]).to(device)
        first = torch.from_numpy(things.scene[group] * (w * w))[:, None, None].to(device)
        place, member = rows * w + columns, torch.from_numpy(group).to(device)
        cx, cy, cz, r, h = (numbers[member, i][:, None, None] for i in range(5))
        yield _Patch(
            kind // 2,
            member[:, None, None],
            columns,
            rows,
            place,
            place + first,
            _rays(canvas, place),
            (rays.EYE[0] - cx, rays.EYE[1] - cy, rays.EYE[2] - cz),
            (r, h),
        )


def _rays(canvas: dict[str, Tensor], place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return canvas["dx"][place], canvas["dy"][place], canvas["dz"][place]


# --- a chunk ----------------------------------------------------------------------------------------------------------

_GROUND = 0x7FFFFFFF  # the "object" of a sample that sees the ground


def _draw_chunk(scenes: Sequence[Sequence[Mapping[str, Any]]], pixels: int, device: torch.device) -> Drawing:
    w, b = pixels * SAMPLES, len(scenes)
    canvas, things = _canvas(pixels, device), _things(scenes)
    n = len(things.scene)
    numbers = torch.from_numpy(np.concatenate([things.center, things.radius[:, None], things.half[:, None], things.rgb], 1))
    numbers = numbers.to(torch.float32).to(device)  # (N, 8)
    near, reach = _windows(things, w)

    # Which object each sample sees: the smallest of (depth, object) packed in one number, whatever the order of arrival.
    seen = ((canvas["t"].view(torch.int32).to(torch.int64) << 32) | _GROUND).repeat(b)  # (B W W)
    area, box = torch.zeros(n, dtype=torch.int64, device=device), torch.zeros(n, 4, dtype=torch.int64, device=device)
    for patch in _patches(things, numbers, near, canvas, w):
        t, hit = rays.enter(patch.shape, patch.eye, patch.d, *patch.size)
        area[patch.member[:, 0, 0]] = hit.sum((1, 2))
        box[patch.member[:, 0, 0]] = _outline(hit, patch.columns, patch.rows)
        key = (t.view(torch.int32).to(torch.int64) << 32) | patch.member
        seen.scatter_reduce_(0, patch.index[hit], key[hit], "amin")
    owner, depth = seen & 0xFFFFFFFF, (seen >> 32).to(torch.int32).view(torch.float32)

    shadow = torch.zeros(b * w * w, dtype=torch.bool, device=device)
    for patch in _patches(things, numbers, reach, canvas, w):
        t = depth[patch.index]
        point = tuple(eye + t * d for eye, d in zip(patch.eye, patch.d))
        dark = rays.blocks(patch.shape, point, *patch.size) & (owner[patch.index] != patch.member)
        shadow[patch.index[dark]] = True

    colors = torch.where(shadow.view(b, w * w, 1), canvas["shade"], canvas["lit"]).view(-1, 3)
    on = torch.nonzero(owner != _GROUND).squeeze(1)  # (H,)
    who = owner[on]
    shapes = torch.from_numpy(things.shape).to(device)
    colors[on] = rays.shade(numbers[who], shapes[who], depth[on], _rays(canvas, on % (w * w)), shadow[on])

    visible, area, box = (v.cpu().numpy() for v in (torch.bincount(who, minlength=n), area, box))
    whole = np.concatenate([box[:, :2] // SAMPLES, -(-box[:, 2:] // SAMPLES)], 1).astype(np.int16)
    return Drawing(
        _shrink(colors.view(b, w, w, 3)),
        things.scene,
        things.object,
        whole,
        (visible / SAMPLES**2).astype(np.float32),
        (visible / np.maximum(area, 1)).astype(np.float32),
    )


def _outline(hit: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Canvas box (n, 4) of the hits (n, height, width), half open."""
    across, down = hit.any(1), hit.any(2)
    columns, rows = columns[:, 0], rows[..., 0]
    big = 1 << 30
    low = [torch.where(m, v, big).amin(1) for m, v in ((across, columns), (down, rows))]
    high = [torch.where(m, v + 1, 0).amax(1) for m, v in ((across, columns), (down, rows))]
    return torch.stack([*low, *high], 1)


def _shrink(colors: Tensor) -> Tensor:
    """Mean of each pixel's samples, in a fixed order: (B, W, W, 3) -> (B, pixels, pixels, 3) uint8."""
    colors = colors.clamp(max=1)
    total = None
    for i in range(SAMPLES):
        line = colors[:, i::SAMPLES]
        for j in range(SAMPLES):
            part = line[:, :, j::SAMPLES]
            total = part if total is None else total + part
    return (total * (255 / SAMPLES**2) + 0.5).to(torch.uint8)
