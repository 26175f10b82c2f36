"""The world that synthetic CSS pictures show, and the rays through it: camera, light, bodies, shading.

World: x right, y away from the camera, z up, ground at z = 0; one unit is a cell's width in the middle of the grid. Bodies
are convex and stand on the ground. All arithmetic per sample is IEEE add, multiply, divide, square root, minimum and
comparison, which round the same in any batch and any vector width (exp, pow and matmul do not).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maaf_lab.data.datasets.css_scenes import SHAPES

SPHERE, CUBE, CYLINDER = (SHAPES.index(name) for name in ("sphere", "cube", "cylinder"))
_SIN, _DISTANCE = 0.88, 9.0  # sine of the camera's elevation; its distance from the middle of the grid
_COS = math.sqrt(1 - _SIN * _SIN)
EYE = (0.0, -_DISTANCE * _COS, _DISTANCE * _SIN)
_TO_EYE = (0.0, -_COS, _SIN)
LIGHT = tuple(v / math.sqrt(0.55 * 0.55 + 0.28 * 0.28 + 1.0) for v in (-0.55, -0.28, 1.0))  # toward the light
YAW = (0.92, math.sqrt(1 - 0.92 * 0.92))  # cosine and sine of every cube's turn
SMALL = 0.62
# Radius (half a side, for a cube) and half height of a large object, by shape.
RADIUS = {CUBE: 0.275, SPHERE: 0.36, CYLINDER: 0.305}
HALF_HEIGHT = {CUBE: 0.275, SPHERE: 0.36, CYLINDER: 0.295}
_GROUND = (0.785, 0.78, 0.77)
_AMBIENT, _DIFFUSE, _SPECULAR = 0.42, 0.72, 0.35
RGB = {  # 0..255, clear of one another also in shade
    "gray": (112, 112, 112),
    "red": (205, 30, 36),
    "blue": (38, 72, 222),
    "green": (22, 135, 24),
    "brown": (132, 76, 24),
    "purple": (148, 44, 200),
    "cyan": (36, 205, 208),
    "yellow": (250, 226, 40),
}


# --- camera -----------------------------------------------------------------------------------------------------------


def ray(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Direction through an image point (fractions); its part along the camera's axis is 1, so `t` below is depth."""
    right, up = (x - 0.5) * (3 / _DISTANCE), (0.5 - y) * (3 / _DISTANCE)
    return right, up * _SIN + _COS, up * _COS - _SIN


def project(points: np.ndarray) -> np.ndarray:
    """World points (..., 3) -> image fractions (..., 2) as (x, y)."""
    p = points - np.array(EYE)
    depth = p[..., 1] * _COS - p[..., 2] * _SIN
    up = (p[..., 1] * _SIN + p[..., 2] * _COS) / depth
    return np.stack([p[..., 0] / depth * (_DISTANCE / 3) + 0.5, 0.5 - up * (_DISTANCE / 3)], -1)


# --- rays meet objects ------------------------------------------------------------------------------------------------
# o: ray's origin seen from the object's center; d: its direction; r, h: radius and half height. All broadcast.


def _turn(x: Any, y: Any) -> tuple[Any, Any]:
    return x * YAW[0] + y * YAW[1], y * YAW[0] - x * YAW[1]


def enter(shape: int, o: tuple, d: tuple, r: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
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


def blocks(shape: int, o: tuple, r: Tensor, h: Tensor) -> Tensor:
    """Whether an object stands between points (`o`, seen from its center, outside it) and the light."""
    ox, oy, oz = o
    lx, ly, lz = LIGHT
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
    near, far = _slabs(o, tuple(torch.full((), v, device=ox.device) for v in LIGHT), r)
    return (near < far) & (far > 0)


# --- color -----------------------------------------------------------------------------------------------------------


def shade(numbers: Tensor, shape: Tensor, t: Tensor, d: tuple[Tensor, Tensor, Tensor], shadow: Tensor) -> Tensor:
    """Colors (H, 3), 0 to 1 and above, of samples that see an object: ambient, diffuse and a highlight.

    numbers: (H, 8) the object's center, radius, half height and color; shape: (H,); t: (H,) depth; d: the rays' directions
    (H,) each; shadow: (H,) whether another object blocks the light.
    """
    cx, cy, cz, r, h = (numbers[:, i] for i in range(5))
    x, y, z = (EYE[0] - cx) + t * d[0], (EYE[1] - cy) + t * d[1], (EYE[2] - cz) + t * d[2]
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    u, v = _turn(x, y)
    face_u, top = u.abs() > v.abs(), z > h * 0.9995
    su, sv = torch.where(u > 0, one, -one), torch.where(v > 0, one, -one)
    cube_x, cube_y = torch.where(face_u, su * YAW[0], -sv * YAW[1]), torch.where(face_u, su * YAW[1], sv * YAW[0])
    ball, box = shape == SPHERE, shape == CUBE
    nx, ny = torch.where(box, cube_x, x / r), torch.where(box, cube_y, y / r)
    flat = top & ~ball
    nx, ny = torch.where(flat, zero, nx), torch.where(flat, zero, ny)
    nz = torch.where(ball, z / r, torch.where(flat, one, zero))

    lx, ly, lz = LIGHT
    diffuse = (nx * lx + ny * ly + nz * lz).clamp(min=0)
    hx, hy, hz = (a + e for a, e in zip(LIGHT, _TO_EYE))  # halfway between light and eye
    length = math.sqrt(hx * hx + hy * hy + hz * hz)
    shine = (nx * (hx / length) + ny * (hy / length) + nz * (hz / length)).clamp(min=0)
    for _ in range(5):  # to the power 32
        shine = shine * shine
    lit = torch.where(shadow, zero, one)
    strength = _AMBIENT + nz * 0.10 + lit * diffuse * _DIFFUSE
    glint = lit * shine * torch.where(flat, 0.12 * one, _SPECULAR * one)
    return numbers[:, 5:8] * strength[:, None] + glint[:, None]


def ground_colors(px: Tensor, py: Tensor) -> tuple[Tensor, Tensor]:
    """Colors (..., 3) of ground points in light and in shadow: a pool of light, brightest left of the middle."""
    away = ((px + 0.9) * (px + 0.9) + (py + 0.5) * (py + 0.5)) * 0.028
    fade = 1 - away * (1 - away * 0.5)
    lit = torch.stack([fade * c for c in _GROUND], -1)
    return lit, lit * 0.62
