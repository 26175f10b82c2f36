"""Texts in pictures: mathematics to matplotlib, no characters of XML, and far too long ones."""

from xml.etree import ElementTree

import numpy as np
from faults.battery import WORKS, faults

from maaf_lab.analysis.overview import FirstResults
from maaf_lab.analysis.retrievals import Retrieval
from maaf_lab.explorers.page.svg import label, lines, shortened, tag, wrap
from maaf_lab.plots.attention import color_images_figure, sentences_figure
from maaf_lab.plots.overview import overview_figure
from maaf_lab.plots.retrieval import retrievals_figure
from maaf_lab.plots.samples import pairs_figure, samples_figure
from maaf_lab.plots.save import save

PIXELS = np.zeros((9, 9, 3), np.uint8)
TEXTS = {
    "a formula": "is $_{$ cheaper",
    "two dollars": "from $5 to $7",
    "an escaped dollar": r"is \$ and \x $\frac$",
    "a bell": "is\x07 red",
    "zero": "is\0red",
    "half a character": "is \ud83d red",
    "no character": "is \ufffe red",
    "10,000 words": "is red " * 5000,
    "100,000 letters": "x" * 100_000,
    "2,000 lines": "a\n" * 2000,
    "nothing": "",
    "markup": "</svg><script>&",
    "in Arabic": "أطول وأغمق",
}


def sample(text):
    return [{"source": PIXELS, "target": PIXELS, "text": text}] * 2


FIGURES = {
    "samples": lambda text: samples_figure(sample(text)),
    "pairs": lambda text: pairs_figure(sample(text), title=text[:500]),
    "overview": lambda text: overview_figure(
        [FirstResults(PIXELS, text, (PIXELS,) * 5, (True,) * 5, text, np.zeros((7, 7)))], title=text[:500]
    ),
    "retrievals": lambda text: retrievals_figure([Retrieval(PIXELS, (text, text), (PIXELS,) * 3, (True,) * 3, 4)]),
    "average images": lambda text: color_images_figure({text: PIXELS / 9}, {text: 3}),
    "sentences": lambda text: sentences_figure([(f"dress: *{text}* is", PIXELS, np.random.default_rng(0).random((4, 3, 3)), 2)]),
}


def drawn(lab, figure, text):
    _, svg = save(figure(text), lab.folder, "a")
    ElementTree.parse(svg)


def page(text):
    made = lines(0, 0, text, 100)[0] + label(0, 0, shortened(text, 100)) + "".join(label(0, 0, row) for row in wrap(text, 200))
    ElementTree.fromstring(tag("svg", made))


@faults(
    *(
        (f"{name}: {what}", WORKS, lambda lab, figure=figure, text=text: drawn(lab, figure, text))
        for name, figure in FIGURES.items()
        for what, text in TEXTS.items()
        if name == "pairs" or what in ("a formula", "a bell", "100,000 letters")
    ),
    *((f"explorers: {what}", WORKS, lambda lab, text=text: page(text)) for what, text in TEXTS.items()),
)
def test_any_text_can_be_drawn(fault, lab):
    fault(lab)
