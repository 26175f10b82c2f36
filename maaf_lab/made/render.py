"""Draws CSS scenes: rays cast at spheres, cubes and cylinders on a ground plane, in batches, on a CPU or a GPU.

A picture's bytes depend on its objects and its size alone. So per-pixel work uses nothing but IEEE add, multiply, divide,
square root, minimum and comparison, which round the same way in any batch and any vector width, and a sum's order is fixed.

An object's `pos` is where its centre shows in the image, exactly. World: x right, y away from the camera, z up, ground at
z = 0; one unit is a cell's width. Legend: B scenes, N objects, H hits, W side of the supersampled canvas.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maaf_lab.data.css_scenes import COLORS, SHAPES, SIZES, shape_of
from maaf_lab.errors import ConfigError, DataError

SPHERE, CUBE, CYLINDER = (SHAPES.index(name) for name in ("sphere", "cube", "cylinder"))
SAMPLES = 3  # rays along each side of a pixel
CHUNK = 32  # scenes drawn at once by one core (on a GPU: eight times as many)

_SIN, _DISTANCE = 0.88, 9.0  # sine of the camera's elevation; its distance from the middle of the grid
_COS = math.sqrt(1 - _SIN * _SIN)
_LIGHT = tuple(v / math.sqrt(0.55 * 0.55 + 0.28 * 0.28 + 1.0) for v in (-0.55, -0.28, 1.0))  # towards the light
_TO_EYE = (0.0, -_COS, _SIN)
_YAW = (0.92, math.sqrt(1 - 0.92 * 0.92))  # cosine and sine of every cube's turn
_SMALL = 0.62
# Radius (half a side, for a cube) and half height of a large object, by shape.
_RADIUS = {CUBE: 0.275, SPHERE: 0.36, CYLINDER: 0.305}
_HALF_HEIGHT = {CUBE: 0.275, SPHERE: 0.36, CYLINDER: 0.295}
_AMBIENT, _DIFFUSE, _SPECULAR = 0.42, 0.72, 0.35
_RGB = {  # 0..255, clear of one another also in shade
    "gray": (112, 112, 112), "red": (205, 30, 36), "blue": (38, 72, 222), "green": (22, 135, 24),
    "brown": (132, 76, 24), "purple": (148, 44, 200), "cyan": (36, 205, 208), "yellow": (250, 226, 40),
}


@dataclass(frozen=True)
class Drawing:
    """B pictures and where their N objects show, in the order of the scenes and of their objects.

    images: (B, pixels, pixels, 3) uint8. scene: (N,) the picture of each object; object: (N,) its place in the scene's list.
    box: (N, 4) x0, y0, x1, y1 in whole pixels, half open, of the outline as if nothing stood in front. visible: (N,) area in
    pixels that shows; share: (N,) that area over the outline's, 1 where nothing hides the object.
    """

    images: Tensor
    scene: np.ndarray
    object: np.ndarray
    box: np.ndarray
    visible: np.ndarray
    share: np.ndarray


def render(scenes: Sequence[Sequence[Mapping[str, Any]]], pixels: int, device: str | torch.device | None = None) -> Tensor:
    """Pictures of scenes in the published form: uint8 (B, pixels, pixels, 3), on the device that drew them.

    device: None is the GPU where there is one, else the CPU. Raises DataError for objects outside the image or unknown words.
    """
    return draw(scenes, pixels, device).images


def draw(scenes: Sequence[Sequence[Mapping[str, Any]]], pixels: int, device: str | torch.device | None = None) -> Drawing:
    """As `render`, with each object's box and visible area beside the pictures."""
    parts = list(stream(scenes, pixels, device)) or [(0, _draw_chunk([], pixels, _device(device)))]
    scene = np.concatenate([part.scene + start for start, part in parts])
    rest = (np.concatenate([getattr(part, name) for _, part in parts]) for name in ("object", "box", "visible", "share"))
    return Drawing(torch.cat([part.images for _, part in parts]), scene, *rest)


def stream(scenes: Sequence[Sequence[Mapping[str, Any]]], pixels: int, device: str | torch.device | None = None,
           finish: Callable[[int, Drawing], None] | None = None) -> Iterator[tuple[int, Drawing]]:
    """Draw in chunks: (index of the chunk's first scene, its Drawing), in order, a few chunks ahead.

    Each chunk is one worker's job on one core, `finish(start, drawing)` (to save files, say) included. Sharing every small
    operation among cores instead is slower, and stalls where other work wants the cores.
    """
    if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 16:
        raise ConfigError(f"render: expected pixels to be a whole number of at least 16, found {pixels!r}")
    device = _device(device)
    step = CHUNK if device.type == "cpu" else 8 * CHUNK
    starts = range(0, len(scenes), step)
    workers = min(_cores(), len(starts), 16)

    def job(start: int) -> tuple[int, Drawing]:
        drawing = _draw_chunk(scenes[start:start + step], pixels, device)
        if finish is not None:
            finish(start, drawing)
        return start, drawing

    if workers <= 1 and device.type != "cpu":
        yield from map(job, starts)
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(max(workers, 1), initializer=torch.set_num_threads, initargs=(1,))
    try:
        waiting: deque[Future] = deque()
        for start in starts:
            waiting.append(pool.submit(job, start))
            if len(waiting) > 3 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the workers' setting is also the default of threads made later


def _device(device: str | torch.device | None) -> torch.device:
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- camera -----------------------------------------------------------------------------------------------------------

def _ray(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Direction through an image point (fractions); its part along the camera's axis is 1, so `t` below is depth."""
    right, up = (x - 0.5) * (3 / _DISTANCE), (0.5 - y) * (3 / _DISTANCE)
    return right, up * _SIN + _COS, up * _COS - _SIN


_EYE = (0.0, -_DISTANCE * _COS, _DISTANCE * _SIN)


def _project(points: np.ndarray) -> np.ndarray:
    """World points (..., 3) -> image fractions (..., 2) as (x, y)."""
    p = points - np.array(_EYE)
    depth = p[..., 1] * _COS - p[..., 2] * _SIN
    up = (p[..., 1] * _SIN + p[..., 2] * _COS) / depth
    return np.stack([p[..., 0] / depth * (_DISTANCE / 3) + 0.5, 0.5 - up * (_DISTANCE / 3)], -1)


@lru_cache(maxsize=4)
def _canvas(pixels: int, device: torch.device) -> dict[str, Tensor]:
    """What every picture of a size shares: rays, depth and position of the ground, and its colour in light and shade."""
    w = pixels * SAMPLES
    grid = ((torch.arange(w, dtype=torch.float64) + 0.5) / w)
    y, x = (v.reshape(-1) for v in torch.meshgrid(grid, grid, indexing="ij"))
    dx, dy, dz = _ray(x, y)
    t = -_EYE[2] / dz
    px, py = t * dx, _EYE[1] + t * dy
    away = ((px + 0.9) * (px + 0.9) + (py + 0.5) * (py + 0.5)) * 0.028  # a pool of light, brightest left of the middle
    base = torch.stack([v * (1 - away * (1 - away * 0.5)) for v in (torch.full_like(px, c) for c in (0.785, 0.78, 0.77))], -1)
    shade = torch.full_like(px, 0.62)[:, None] * base
    made = {"dx": dx, "dy": dy, "dz": dz, "t": t, "lit": base, "shade": shade}
    return {key: value.to(torch.float32).contiguous().to(device) for key, value in made.items()}


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
            if obj.get("color") not in COLORS or obj.get("size") not in SIZES:
                raise DataError(f"render: scene {s}, object {i}: expected a colour of {', '.join(COLORS)} and a size of "
                                f"{', '.join(SIZES)}; found {dict(obj)}")
            y, x = obj["pos"]
            if not (0 <= y < 1 and 0 <= x < 1):
                raise DataError(f"render: scene {s}, object {i}: expected pos = (y, x) in [0, 1); found {obj['pos']}")
            shape, scale = SHAPES.index(shape_of(obj)), 1.0 if obj["size"] == "large" else _SMALL
            half = _HALF_HEIGHT[shape] * scale
            dx, dy, dz = _ray(float(x), float(y))
            t = (half - _EYE[2]) / dz  # the ray through pos meets the plane of the object's centre
            rows.append((s, i, shape, t * dx, _EYE[1] + t * dy, half, _RADIUS[shape] * scale, *(c / 255 for c in _RGB[obj["color"]])))
    table = np.array(rows, dtype=np.float64).reshape(-1, 10)
    whole = table[:, :3].astype(np.int64)
    return _Things(whole[:, 0], whole[:, 1], whole[:, 2], table[:, 3:6], table[:, 6], table[:, 5], table[:, 7:10])


def _windows(things: _Things, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Canvas boxes (N, 4) x0, y0, x1, y1 that hold each object, and each object with its shadow."""
    reach = np.where(things.shape == CUBE, things.radius * (_YAW[0] + _YAW[1]), things.radius)
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], dtype=np.float64)
    corners = things.center[:, None] + signs * np.stack([reach, reach, things.half], -1)[:, None]  # (N, 8, 3)
    fallen = corners - corners[..., 2:] / _LIGHT[2] * np.array(_LIGHT)
    boxes = []
    for points in (corners, np.concatenate([corners, fallen], 1)):
        at = _project(points) * w
        low, high = np.floor(at.min(1)) - 1, np.ceil(at.max(1)) + 1
        boxes.append(np.clip(np.concatenate([low, high], -1), 0, w).astype(np.int64))
    return boxes[0], boxes[1]


def _window(box: np.ndarray, w: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """One window size for a group: columns (n, 1, width) and rows (n, height, 1) of the canvas, kept inside it."""
    width, height = int((box[:, 2] - box[:, 0]).max()), int((box[:, 3] - box[:, 1]).max())
    x0, y0 = np.minimum(box[:, 0], w - width), np.minimum(box[:, 1], w - height)
    columns = torch.from_numpy(x0[:, None, None] + np.arange(width))
    rows = torch.from_numpy(y0[:, None, None] + np.arange(height)[:, None])
    return columns.to(device), rows.to(device)


# --- rays meet objects ------------------------------------------------------------------------------------------------
# o: ray's origin seen from the object's centre; d: its direction; r, h: radius and half height. All broadcast.

def _turn(x: Any, y: Any) -> tuple[Any, Any]:
    return x * _YAW[0] + y * _YAW[1], y * _YAW[0] - x * _YAW[1]


def _enter(shape: int, o: tuple, d: tuple, r: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Depth at which rays from the camera enter an object, and whether they do."""
    (ox, oy, oz), (dx, dy, dz) = o, d
    if shape == SPHERE:
        a = dx * dx + dy * dy + dz * dz
        b = ox * dx + oy * dy + oz * dz
        disc = b * b - a * (ox * ox + oy * oy + oz * oz - r * r)
        return (-b - torch.sqrt(disc.clamp(min=0))) / a, disc > 0
    if shape == CYLINDER:
        top = (h - oz) / dz
        x, y = ox + top * dx, oy + top * dy
        on_top = x * x + y * y <= r * r
        a, b = dx * dx + dy * dy, ox * dx + oy * dy
        disc = b * b - a * (ox * ox + oy * oy - r * r)
        side = (-b - torch.sqrt(disc.clamp(min=0))) / a
        z = oz + side * dz
        return torch.where(on_top, top, side), on_top | ((disc > 0) & (z <= h) & (z >= -h))
    near, far = _slabs(o, d, r)
    return near, near < far


def _slabs(o: tuple, d: tuple, r: Tensor) -> tuple[Tensor, Tensor]:
    """Depths at which rays enter and leave a cube."""
    ox, oy = _turn(o[0], o[1])
    dx, dy = _turn(d[0], d[1])
    near = far = None
    for origin, direction in ((ox, dx), (oy, dy), (o[2], d[2])):
        one, two = (-r - origin) / direction, (r - origin) / direction
        low, high = torch.minimum(one, two), torch.maximum(one, two)
        near = low if near is None else torch.maximum(near, low)
        far = high if far is None else torch.minimum(far, high)
    return near, far


def _blocks(shape: int, o: tuple, r: Tensor, h: Tensor) -> Tensor:
    """Whether an object stands between points (`o`, seen from its centre, outside it) and the light."""
    ox, oy, oz = o
    lx, ly, lz = _LIGHT
    if shape == SPHERE:
        b = ox * lx + oy * ly + oz * lz
        return (b < 0) & (b * b - (ox * ox + oy * oy + oz * oz - r * r) > 0)
    if shape == CYLINDER:
        a = lx * lx + ly * ly
        b = ox * lx + oy * ly
        disc = b * b - a * (ox * ox + oy * oy - r * r)
        root = torch.sqrt(disc.clamp(min=0))
        near = torch.maximum((-b - root) / a, (-h - oz) / lz)
        far = torch.minimum((root - b) / a, (h - oz) / lz)
        return (disc > 0) & (near < far) & (far > 0)
    near, far = _slabs(o, tuple(torch.full((), v, device=ox.device) for v in _LIGHT), r)
    return (near < far) & (far > 0)


# --- a chunk ----------------------------------------------------------------------------------------------------------

_FAR = 0x7FFFFFFF  # the "object" of a sample that sees the ground


def _draw_chunk(scenes: Sequence[Sequence[Mapping[str, Any]]], pixels: int, device: torch.device) -> Drawing:
    w, b = pixels * SAMPLES, len(scenes)
    canvas, things = _canvas(pixels, device), _things(scenes)
    n = len(things.scene)
    numbers = torch.from_numpy(np.concatenate([things.center, things.radius[:, None], things.half[:, None], things.rgb], 1))
    numbers = numbers.to(torch.float32).to(device)  # (N, 8)
    shape, scene = (torch.from_numpy(v).to(device) for v in (things.shape, things.scene))
    groups = [np.flatnonzero((things.shape == s) & ((things.radius == _RADIUS[s]) == large))
              for s in range(len(SHAPES)) for large in (False, True)]
    groups = [g for g in groups if len(g)]
    near_box, shadow_box = _windows(things, w)

    # Which object each sample sees: the smallest of (depth, object) packed in one number, whatever the order of arrival.
    ground = (canvas["t"].view(torch.int32).to(torch.int64) << 32) | _FAR
    seen = ground.repeat(b)  # (B W W)
    area = torch.zeros(n, dtype=torch.int64, device=device)
    box = torch.zeros(n, 4, dtype=torch.int64, device=device)
    for group in groups:
        columns, rows, member = *_window(near_box[group], w, device), torch.from_numpy(group).to(device)
        place = rows * w + columns  # (n, height, width)
        d = tuple(canvas[key][place] for key in ("dx", "dy", "dz"))
        cx, cy, cz, r, h = (numbers[member, i][:, None, None] for i in range(5))
        t, hit = _enter(int(things.shape[group[0]]), (_EYE[0] - cx, _EYE[1] - cy, _EYE[2] - cz), d, r, h)
        area[member] = hit.sum((1, 2))
        box[member] = _outline(hit, columns, rows)
        key = (t.view(torch.int32).to(torch.int64) << 32) | member[:, None, None]
        index = place + (scene[member] * (w * w))[:, None, None]
        seen.scatter_reduce_(0, index[hit], key[hit], "amin")

    owner, depth = seen & 0xFFFFFFFF, (seen >> 32).to(torch.int32).view(torch.float32)
    shadow = torch.zeros(b * w * w, dtype=torch.bool, device=device)
    for group in groups:
        columns, rows, member = *_window(shadow_box[group], w, device), torch.from_numpy(group).to(device)
        place = rows * w + columns
        index = place + (scene[member] * (w * w))[:, None, None]
        t = depth[index]
        cx, cy, cz, r, h = (numbers[member, i][:, None, None] for i in range(5))
        point = tuple((eye - c) + t * canvas[key][place] for eye, c, key in zip(_EYE, (cx, cy, cz), ("dx", "dy", "dz")))
        dark = _blocks(int(things.shape[group[0]]), point, r, h) & (owner[index] != member[:, None, None])
        shadow[index[dark]] = True

    colors = torch.where(shadow.view(b, -1, 1), canvas["shade"], canvas["lit"]).view(-1, 3)
    on = torch.nonzero(owner != _FAR).squeeze(1)  # (H,)
    who, place = owner[on], on % (w * w)
    colors[on] = _shade(numbers[who], shape[who], depth[on], tuple(canvas[key][place] for key in ("dx", "dy", "dz")), shadow[on])
    visible = torch.bincount(who, minlength=n)

    whole = torch.stack([box[:, 0] // SAMPLES, box[:, 1] // SAMPLES, -(-box[:, 2] // SAMPLES), -(-box[:, 3] // SAMPLES)], 1)
    visible, area = visible.cpu().numpy(), area.cpu().numpy()
    return Drawing(_shrink(colors.view(b, w, w, 3)), things.scene, things.object, whole.cpu().numpy().astype(np.int16),
                   (visible / SAMPLES**2).astype(np.float32), (visible / np.maximum(area, 1)).astype(np.float32))


def _outline(hit: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Canvas box (n, 4) of the hits (n, height, width), half open."""
    across, down = hit.any(1), hit.any(2)
    columns, rows = columns[:, 0], rows[..., 0]
    big = 1 << 30
    low = [torch.where(m, v, big).amin(1) for m, v in ((across, columns), (down, rows))]
    high = [torch.where(m, v + 1, 0).amax(1) for m, v in ((across, columns), (down, rows))]
    return torch.stack([*low, *high], 1)


def _shade(numbers: Tensor, shape: Tensor, t: Tensor, d: tuple[Tensor, Tensor, Tensor], shadow: Tensor) -> Tensor:
    """Colours (H, 3) of the samples that see an object: ambient, diffuse and a highlight."""
    cx, cy, cz, r, h = (numbers[:, i] for i in range(5))
    x, y, z = (_EYE[0] - cx) + t * d[0], (_EYE[1] - cy) + t * d[1], (_EYE[2] - cz) + t * d[2]
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    u, v = _turn(x, y)
    au, av, top = u.abs(), v.abs(), z > h * 0.9995
    face_u = au > av
    su, sv = torch.where(u > 0, one, -one), torch.where(v > 0, one, -one)
    cube_x, cube_y = torch.where(face_u, su * _YAW[0], -sv * _YAW[1]), torch.where(face_u, su * _YAW[1], sv * _YAW[0])
    ball, box = shape == SPHERE, shape == CUBE
    nx = torch.where(ball | ~box, x / r, cube_x)
    ny = torch.where(ball | ~box, y / r, cube_y)
    flat = top & ~ball
    nx, ny = torch.where(flat, zero, nx), torch.where(flat, zero, ny)
    nz = torch.where(ball, z / r, torch.where(flat, one, zero))

    lx, ly, lz = _LIGHT
    diffuse = (nx * lx + ny * ly + nz * lz).clamp(min=0)
    hx, hy, hz = (a + e for a, e in zip(_LIGHT, _TO_EYE))  # halfway between light and eye
    length = math.sqrt(hx * hx + hy * hy + hz * hz)
    shine = (nx * (hx / length) + ny * (hy / length) + nz * (hz / length)).clamp(min=0)
    for _ in range(5):  # to the power 32
        shine = shine * shine
    lit = torch.where(shadow, zero, one)
    strength = _AMBIENT + nz * 0.10 + lit * diffuse * _DIFFUSE
    glint = lit * shine * torch.where(flat, 0.12 * one, _SPECULAR * one)
    return numbers[:, 5:8] * strength[:, None] + glint[:, None]


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
