"""Draws garments as product pictures: cloth cut to pieces, seams and trimmings, soft folds and light, a plain backdrop.

Lines and areas are drawn by Pillow on a finer canvas and averaged; light and shade are numpy at the picture's own size.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFilter

from maaf_lab.synthetic.garments.attributes import RGB, Garment, takes_light_trim
from maaf_lab.synthetic.garments.fabric import Color, draw_motif, fabric, is_dark, line_color, mixed, tinted
from maaf_lab.synthetic.garments.outlines import BODY, CLOSER, LOWER, TOP, Cut, Points, cut
from maaf_lab.synthetic.random_stream import RandomStream

LEAST_PIXELS = 16
_BESIDE = np.array((0.022, 0.004))  # from a fold's shade to its light


@dataclass(frozen=True)
class Pose:
    """What differs between two photos of one garment. Drawn without looking at the garment.

    size: factor. shift: (x, y) as shares of the side. tilt: radians. lean: shear. tint: added to the colors. backdrop: two
    colors, above and below. light: -1 from the left to 1 from the right. wave, luck: how the cloth hangs and is printed.
    """

    size: float
    shift: tuple[float, float]
    tilt: float
    lean: float
    tint: np.ndarray
    backdrop: np.ndarray
    light: float
    wave: np.ndarray
    luck: np.ndarray


def draw_pose(rng: RandomStream) -> Pose:
    """A random pose."""
    u = rng.uniform(40)
    signed = u * 2 - 1
    ground = 226 + 22 * u[8] + 7 * signed[9:12]
    backdrop = np.stack([ground, ground - 18 * u[12] + 3 * signed[13:16]])
    return Pose(
        0.96 + 0.045 * signed[0],
        (0.025 * signed[1], 0.018 * signed[2]),
        0.045 * signed[3],
        0.03 * signed[4],
        7 * signed[5] + 4 * signed[16:19],
        backdrop,
        signed[6],
        signed[20:32],
        u[32:40],
    )


def draw(garment: Garment, pose: Pose, pixels: int = 224) -> np.ndarray:
    """One picture: uint8 (pixels, pixels, 3)."""
    finer = 2 if pixels >= 160 else 3
    return _Drawing(garment, pose, pixels, finer).finish()


def save(garment: Garment, pose: Pose, pixels: int, path: str) -> None:
    """One picture as a JPEG file."""
    PILImage.fromarray(draw(garment, pose, pixels)).save(path, format="JPEG", quality=90)


class _Drawing:
    """One picture being drawn; lengths in px of the finer canvas."""

    def __init__(self, g: Garment, pose: Pose, pixels: int, finer: int) -> None:
        self.g, self.pose, self.pixels, self.finer = g, pose, pixels, finer
        self.side = side = pixels * finer
        self.unit = BODY[g.kind] * CLOSER.get(g.kind, {}).get(g.length, 1.0) * pose.size * side
        self.cut: Cut = cut(g, pose.wave)
        top = TOP[g.kind] + LOWER.get(g.kind, {}).get(g.length, 0.0)
        c, s = cos(pose.tilt), sin(pose.tilt)
        self.turn = self.unit * np.array(((c, s), (-s + pose.lean, c)))  # rows: images of x and y
        self.origin = np.array((0.5 + pose.shift[0], top + pose.shift[1])) * side
        self.base = tinted(RGB[g.color], pose.tint)
        self.line = line_color(self.base)
        self.cloth = fabric(g, self.unit, side, pose.tint, pose.luck)
        self.mask = PILImage.new("L", (side, side), 0)
        self.image = PILImage.new("RGB", (side, side), mixed(self.base, self.line, 0.5))
        self.pen, self.mask_pen = ImageDraw.Draw(self.image), ImageDraw.Draw(self.mask)
        self.thick = self._px(0.011)
        half = max(8, pixels // 2)
        self.relief = PILImage.new("L", (half, half), 128)
        self.relief_pen, self.relief_scale = ImageDraw.Draw(self.relief), half / side
        self._pieces()
        self._trimmings()

    # --- cloth --------------------------------------------------------------------------------------------------------

    def _pieces(self) -> None:
        cut = self.cut
        if cut.back is not None:
            shadow, share = ((120, 120, 128), 0.22) if is_dark(self.base) else ((22, 20, 26), 0.42)
            self._area(cut.back, mixed(self.base, shadow, share))
        for points, width in cut.straps:
            self._stroke(points, width + 0.006, self.line, solid=True)
            self._stroke(points, width, self.base)
        if cut.sleeves:
            turned = self.cloth
            if self.g.pattern in ("striped", "plaid"):
                turned = self.cloth.rotate(25, PILImage.Resampling.NEAREST)
            for k, piece in enumerate(cut.sleeves):
                self._piece(piece, turned if k else turned.transpose(PILImage.Transpose.FLIP_LEFT_RIGHT))
        for piece in cut.body:
            self._piece(piece, self.cloth)
        for line in cut.hems:
            self._stroke(line, 0.0045, mixed(self.base, self.line, 0.7))
        for line in cut.seams:
            self._stroke(line, 0.005, mixed(self.base, self.line, 0.8))
            self._soft(line, -0.75, 0.03)
        for line, strength in cut.folds:
            self._soft(line, strength, 0.022)
            self._soft(line + _BESIDE, -0.7 * strength, 0.02)

    def _piece(self, points: Points, cloth: PILImage.Image) -> None:
        flat = self._at(points)
        xs, ys = flat[::2], flat[1::2]
        low, high = (max(int(min(v)) - 1, 0) for v in (xs, ys)), (min(int(max(v)) + 2, self.side) for v in (xs, ys))
        box = (*low, *high)
        if box[0] >= box[2] or box[1] >= box[3]:
            return
        stencil = PILImage.new("1", (box[2] - box[0], box[3] - box[1]), 0)
        ImageDraw.Draw(stencil).polygon([v - box[k % 2] for k, v in enumerate(flat)], fill=1)
        self.image.paste(cloth.crop(box), box[:2], stencil)
        self.mask_pen.polygon(flat, fill=255)
        self._outline(points)

    # --- trimmings ----------------------------------------------------------------------------------------------------

    def _trimmings(self) -> None:
        g, cut = self.g, self.cut
        if cut.neckline is not None:
            self._stroke(cut.neckline, 0.006 if g.neck == "collar" else 0.013, mixed(self.base, self.line, 0.55))
        if g.pattern == "graphic":
            r = 0.105 if g.kind != "dress" else 0.088
            low = 0.035 if g.neck in ("v", "scoop", "halter", "strapless") else 0.0
            x, y = self._point(0, cut.chest + low)
            draw_motif(self.pen, g.detail, x, y, r * self.unit, tinted(RGB[g.second], self.pose.tint), self.base, self.pose.luck)
        if g.kind == "jacket":
            self._stroke(np.array([(0, cut.front - 0.03), (0.004, cut.hem + 0.006)]), 0.007, self.line)
        if g.ruffles:
            self._ruffles()
        if g.buttons:
            self._buttons()
        if g.pocket:
            self._pockets()
        for points in cut.collar:
            self._area(points, mixed(self.base, (255, 255, 255), 0.06 if not is_dark(self.base) else 0.12))
            self._outline(points)
        if g.belt:
            self._belt()
        if g.logo:
            self._logo()

    def _accent(self) -> Color:
        """A color for belts and buttons that contrasts with the cloth."""
        return (236, 228, 214) if takes_light_trim(self.g.color) else (58, 38, 30)

    def _belt(self) -> None:
        y, half = self.cut.waist
        line = np.array([(-half - 0.006, y), (0, y + 0.018), (half + 0.006, y)])
        line = np.concatenate([np.linspace(line[0], line[1], 5), np.linspace(line[1], line[2], 5)[1:]])
        line[:, 1] = y + 0.014 * (1 - (line[:, 0] / half) ** 2)
        ink = self._accent()
        self._stroke(line, 0.05 if self.g.kind == "dress" else 0.042, line_color(ink))
        self._stroke(line, 0.042 if self.g.kind == "dress" else 0.034, ink)
        x, low = self._point(0, y + 0.014)
        w, h = 0.028 * self.unit, 0.026 * self.unit
        self.pen.rectangle((x - w, low - h, x + w, low + h), outline=(206, 170, 80), width=max(2, int(0.012 * self.unit)))
        self._soft(line + np.array((0, 0.04)), -0.8, 0.03)

    def _buttons(self) -> None:
        cut = self.cut
        gap = 0.085 if self.g.kind != "dress" else 0.1
        low = cut.hem - 0.03 if self.g.kind != "dress" else min(cut.hem - 0.05, 0.7)
        ink = self._accent()
        if self.g.kind != "jacket":
            for x in (-0.022, 0.022):
                self._stroke(np.array([(x, cut.front - 0.02), (x, cut.hem + 0.006)]), 0.0045, self.line)
        r = (0.0125 if self.g.kind != "dress" else 0.016) * self.unit
        y = cut.front + 0.015
        while y < low:
            px, py = self._point(0.03 if self.g.kind == "jacket" else 0, y)
            self.pen.ellipse((px - r, py - r, px + r, py + r), fill=ink, outline=line_color(ink))
            y += gap

    def _pockets(self) -> None:
        low = self.g.kind in ("jacket", "skirt", "pants")
        width, height = (0.085, 0.085) if low else (0.075, 0.085)
        places = {"jacket": (0.055, self.cut.hem - 0.17), "skirt": (0.06, 0.13), "pants": (0.055, 0.16)}
        left, top = places.get(self.g.kind, (0.05, 0.18))
        for x in (-1, 1) if low else (1,):
            point = top + height * 0.8
            corners = np.array(
                [(left, top), (left + width, top), (left + width, point), (left + width / 2, top + height), (left, point)]
            ) * (x, 1)
            flat = self._at(corners)
            self.pen.polygon(flat, fill=mixed(self.base, self.line, 0.2))
            self.pen.line([*flat, *flat[:2]], fill=self.line, width=self.thick)
            self._stroke(corners[:2] + np.array((0, 0.02)), 0.005, self.line)

    def _logo(self) -> None:
        x, y = self._point(0.085, 0.2)
        ink = (245, 244, 240) if takes_light_trim(self.g.color) else (178, 30, 44)
        r = 0.034 * self.unit
        self.pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)
        draw_motif(self.pen, "star", x, y, 0.72 * r, self.base, ink, np.ones(8))

    def _ruffles(self) -> None:
        """Scalloped tiers at the hem, in the garment's own cloth, one over the other."""
        cut, tall = self.cut, 0.055
        light, edge = mixed(self.base, (255, 255, 255), 0.1 if not is_dark(self.base) else 0.14), self.line
        for tier in (0, 1):
            y, half = cut.hem - tall * tier, cut.hem_width * (1.05 - 0.02 * tier)
            n = max(5, round(half / 0.035))
            x = np.linspace(-half, half, 8 * n + 1)
            drop = 0.6 * tall + 0.022 * np.abs(np.sin(np.linspace(0, np.pi * n, 8 * n + 1)))
            low = np.stack([x, y - 0.02 + drop], 1)
            high = np.stack([x * 0.97, np.full_like(x, y - tall * 0.7)], 1)
            self._area(np.concatenate([high, low[::-1]]), light)
            self._stroke(low, 0.009, edge)
            self._stroke(high, 0.005, edge)
            for k in range(1, n):
                at = -half + 2 * half * k / n
                self._stroke(np.array([(at * 0.97, y - tall * 0.6), (at, y + 0.006)]), 0.0045, mixed(light, edge, 0.6))

    # --- light --------------------------------------------------------------------------------------------------------

    def finish(self) -> np.ndarray:
        n, finer = self.pixels, self.finer
        mask = self.mask.reduce(finer)
        soft = mask.filter(ImageFilter.GaussianBlur(n * 0.022))
        cover = np.asarray(mask, np.float32) / 255
        inner = np.asarray(soft, np.float32) / 255
        relief = self.relief.filter(ImageFilter.GaussianBlur(self.relief.width * 0.013))
        relief = relief.resize((n, n), PILImage.Resampling.BILINEAR)
        shade = 0.80 + 0.24 * np.clip(inner * 1.6 - 0.6, 0, 1)
        shade += (np.asarray(relief, np.float32) - 128) * (0.0022 if not is_dark(self.base) else 0.0045)
        shade += self.pose.light * np.linspace(-0.06, 0.06, n, dtype=np.float32)[None]
        cloth = np.asarray(self.image.reduce(finer), np.float32) * shade[..., None]
        if is_dark(self.base):
            cloth += ((shade - 0.9) * 42)[..., None]
        backdrop = self.pose.backdrop.astype(np.float32)
        ramp = np.linspace(0, 1, n, dtype=np.float32)[:, None, None]
        ground = backdrop[0] * (1 - ramp) + backdrop[1] * ramp
        down, across = max(1, round(n * 0.012)), round(-self.pose.light * n * 0.012)
        fall = np.roll(np.roll(inner, down, 0), across, 1)
        ground = ground * (1 - 0.26 * fall * (1 - cover))[..., None]
        image = ground + (cloth - ground) * cover[..., None]
        return np.clip(image + 0.5, 0, 255).astype(np.uint8)

    # --- pens ---------------------------------------------------------------------------------------------------------

    def _px(self, units: float) -> int:
        return max(1, round(units * self.unit))

    def _at(self, points: Points) -> list[float]:
        return (np.asarray(points) @ self.turn + self.origin).ravel().tolist()

    def _point(self, x: float, y: float) -> tuple[float, float]:
        px, py = self._at(np.array([(x, y)]))
        return px, py

    def _area(self, points: Points, fill: Color) -> None:
        flat = self._at(points)
        self.pen.polygon(flat, fill=fill)
        self.mask_pen.polygon(flat, fill=255)

    def _outline(self, points: Points) -> None:
        flat = self._at(points)
        flat += flat[:4]
        self.pen.line(flat, fill=self.line, width=self.thick, joint="curve")

    def _stroke(self, points: Points, width: float, fill: Color, solid: bool = True) -> None:
        flat, px = self._at(points), self._px(width)
        self.pen.line(flat, fill=fill, width=px, joint="curve" if px > 3 else None)
        if solid:
            self.mask_pen.line(flat, fill=255, width=px, joint="curve" if px > 3 else None)

    def _soft(self, points: Points, strength: float, width: float) -> None:
        flat = [v * self.relief_scale for v in self._at(points)]
        self.relief_pen.line(flat, fill=128 + int(110 * strength), width=max(1, round(width * self.unit * self.relief_scale)))
