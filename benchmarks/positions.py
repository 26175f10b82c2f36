"""The paper's surprise, measured: do position words attend to the cell they name less than to the others? (Figure 3)

    python benchmarks/positions.py --data-root data/css [--run RUN_FOLDER]

Without --run, the model that ships with the lab. Averages over every test example that has the word and over all heads; writes
benchmarks/positions.json; notebooks/figure3_positions.ipynb draws them. Synthetic data when the folder holds synthetic data.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from maaf_lab.analysis.positions import position_maps
from maaf_lab.data import registry as datasets
from maaf_lab.data.cache import pixel_cache
from maaf_lab.experiments.runs import Run, pretrained_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True, type=Path)
    parser.add_argument("--run", type=Path)
    here = Path(__file__).parent
    parser.add_argument("--out", default=here / "positions.json", type=Path)
    arguments = parser.parse_args()
    run = Run(arguments.run) if arguments.run else pretrained_run()
    split = datasets.load("css", arguments.data_root, "test")
    maps = position_maps(run.load_model(), split, pixel_cache(split, run.config.data.pixels))
    frame = maps.contrast()
    print(frame.to_string(index=False, float_format=lambda x: f"{x:.5f}"))
    below = int((frame["ratio"] < 1).sum())
    print(f"{below} of {len(frame)} words attend less to the cell they name than to the others ({split.origin})")
    arguments.out.write_text(
        json.dumps(
            {
                "run": run.name,
                "data": split.origin,
                "words_below": below,
                "words": json.loads(frame.round(6).to_json(orient="records")),
            },
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
