"""Draws figures/overview.png, the README's picture, from the model that ships with the lab.

python figures/overview.py --data-root data/css
"""

import argparse
from pathlib import Path

from maaf_lab.analysis.overview import first_results
from maaf_lab.data import registry as datasets
from maaf_lab.data.cache import pixel_cache
from maaf_lab.experiments.runs import pretrained_run
from maaf_lab.plots.overview import overview_figure
from maaf_lab.retrieval.embed import embed_split

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True, type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[40, 5200, 12007], help="test queries to show")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    arguments = parser.parse_args()
    run, split = pretrained_run("css-laptop"), datasets.load("css", arguments.data_root, "test")
    model, cache = run.load_model(), pixel_cache(split, run.config.data.pixels)
    _, gallery = embed_split(model, split, cache)
    title = f"{split.title}: {split.origin.split(' v')[0].replace('made css', 'synthetic data')}"
    overview_figure(first_results(model, split, cache, gallery, arguments.rows), title).savefig(arguments.out, dpi=110)
    print(arguments.out)
