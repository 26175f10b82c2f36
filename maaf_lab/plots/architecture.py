"""The architecture of MAAF drawn from a model's measured shapes (Figure 2)."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from maaf_lab.analysis.shapes import model_shapes
from maaf_lab.models.systems.maaf import MAAF
from maaf_lab.plots.text import picture_text

_IMAGE, _TEXT, _FUSION, _OUT = "#cfe3f5", "#d5ecd4", "#fbe3c0", "#e9e2f3"


def architecture_figure(model: MAAF, pixels: int, text: str = "is blue and has longer sleeves") -> Figure:
    """Image and words to tokens, one row of tokens, attention blocks, pooling, one vector; gallery images below, with ITA."""
    shapes, config = model_shapes(model, pixels, text), model.config
    figure = Figure(figsize=(11, 4.9))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_xlim(0, 110)
    axis.set_ylim(0, 49)
    axis.set_axis_off()

    def box(x: float, y: float, width: float, height: float, words: str, color: str) -> tuple[float, float, float, float]:
        axis.add_patch(
            FancyBboxPatch(
                (x, y),
                width,
                height,
                boxstyle="round,pad=0.2,rounding_size=0.8",
                facecolor=color,
                edgecolor="#555555",
                linewidth=0.9,
            )
        )
        axis.text(x + width / 2, y + height / 2, words, ha="center", va="center", fontsize=8.5, linespacing=1.35)
        return x, y, width, height

    def arrow(a: tuple[float, ...], b: tuple[float, ...]) -> None:
        start, stop = (a[0] + a[2] + 0.3, a[1] + a[3] / 2), (b[0] - 0.3, b[1] + b[3] / 2)
        axis.add_patch(FancyArrowPatch(start, stop, arrowstyle="-|>", mutation_scale=9, color="#444444", linewidth=1))

    picture = box(1, 31, 12, 9, f"reference image\n3 × {pixels} × {pixels}", _IMAGE)
    encoder = box(17, 31, 13, 9, f"image model\n{config.image_encoder}", _IMAGE)
    arrow(picture, encoder)
    count = len(shapes["tokens"])
    grids = []
    for n, (r, (tokens, width)) in enumerate(shapes["tokens"].items()):
        channels, rows, columns = shapes["stages"][r]
        y = 31 + (9 - 7) / 2 + (n - (count - 1) / 2) * -9
        grids.append(box(34, y, 19, 7, f"{channels} × {rows} × {columns}\n→ {tokens} tokens of {width}", _IMAGE))
        arrow(encoder, grids[-1])
    words = box(1, 13, 12, 8, "text\n" + _wrapped(text), _TEXT)
    reader = box(17, 13, 13, 8, f"text model\n{config.text_encoder}", _TEXT)
    tokens = box(
        34,
        13,
        19,
        8,
        f"{shapes['word_tokens'][0]} words\n→ {shapes['word_tokens'][0]} tokens of {shapes['word_tokens'][1]}",
        _TEXT,
    )
    arrow(words, reader)
    arrow(reader, tokens)
    row = box(57, 22, 11, 13, f"one row\n{shapes['row'][0]} tokens\nof {shapes['row'][1]}", _FUSION)
    for part in (*grids, tokens):
        arrow(part, row)
    blocks, heads, queries, keys = shapes["attention"]
    inner = f"feed-forward\n{config.width} → {config.feedforward} → {config.width}"
    block_text = f"{blocks} × attention block\n\n{heads} heads\n{queries} × {keys} weights\nf = {config.attention}\n{inner}"
    fusion = box(72, 20, 16, 17, block_text, _FUSION)
    arrow(row, fusion)
    pooled = ["mean of each resolution" if config.resolutionwise_pooling else "mean of the image"]
    pooled += ["and of the words" if config.include_text else "no words"]
    pool = box(92, 22, 14, 13, "pooling\n" + "\n".join(pooled) + f"\n→ {shapes['vector'][0]}, length 1", _OUT)
    arrow(fusion, pool)
    total = sum(t for t, _ in shapes["tokens"].values())
    gallery = box(1, 2, 12, 6, "gallery image", _IMAGE)
    same = box(17, 2, 36, 6, f"the same image model → {total} tokens of {config.width}", _IMAGE)
    through = "the same blocks, no words (ITA)" if config.image_through_attention else "pooled as they are (no ITA)"
    blocks_too = box(57, 2, 31, 6, through, _FUSION)
    vector = box(92, 2, 14, 6, f"pooling → {shapes['vector'][0]}", _OUT)
    for a, b in ((gallery, same), (same, blocks_too), (blocks_too, vector)):
        arrow(a, b)
    axis.add_patch(FancyArrowPatch((99, 8.5), (99, 21.5), arrowstyle="<|-|>", mutation_scale=9, color="#444444", linewidth=1))
    axis.text(98, 15, "cosine", fontsize=8.5, ha="right", va="center")
    axis.text(1, 46.5, "MAAF; every number is read from the model", fontsize=9.5, va="center")
    return figure


def _wrapped(text: str) -> str:
    return picture_text(f"“{text}”", 20)
