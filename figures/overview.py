"""Draws figures/overview.png, the README's picture, from the model that ships with the lab.

    python figures/overview.py --data-root data/css
"""

import argparse
from pathlib import Path

from maaf_lab.views.overview import write_overview

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True, type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[40, 5200, 12007], help="test queries to show")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    arguments = parser.parse_args()
    print(write_overview(arguments.data_root, arguments.out, arguments.rows))
