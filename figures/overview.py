"""Draws figures/overview.png, the README's picture, with the model that ships with the lab and synthetic data.

python figures/overview.py
"""

import argparse
from pathlib import Path

import torch

from maaf_lab.analysis.overview import first_results
from maaf_lab.explorers.session import open_session
from maaf_lab.plots.overview import overview_figure

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[40, 5200, 12007], help="test queries to show")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    arguments = parser.parse_args()
    session = open_session("css-laptop", device="cpu")
    gallery = torch.from_numpy(session.gallery)
    shown = first_results(session.model, session.split, session.pixels, gallery, arguments.rows)
    overview_figure(shown, f"{session.split.title}: synthetic data").savefig(arguments.out, dpi=110)
    print(arguments.out)
