"""Drawing a dataset, and checking a copy of one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from maaf_lab.cli.app import answer, app
from maaf_lab.cli.options import Root
from maaf_lab.utils.paths import given_path, own_folder
from maaf_lab.utils.registry import DRAWN_BESIDE, SYNTHETIC
from maaf_lab.utils.wording import did_you_mean

SIZES = ("tiny", "full")


@app.command()
def make(
    dataset: Annotated[str, typer.Argument(help="a dataset: " + ", ".join((*SYNTHETIC, *DRAWN_BESIDE)))],
    out: Annotated[
        str, typer.Option(help="folder to write; needed without --profile", show_default="the profile's, in the lab's own data/")
    ] = "",
    profile: Annotated[str, typer.Option(help="smoke or laptop: folder, size and pixels that `train` and `table` look for")] = "",
    size: Annotated[str, typer.Option(help="tiny or full", show_default="the profile's, else full")] = "",
    pixels: Annotated[
        int | None, typer.Option(help="side of the images; left out: the profile's, else 56 for css, 64 for css2d, else 224")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="same seed, same bytes", show_default="0")] = None,
) -> None:
    """Draw a synthetic dataset and write it in the published layout; css2d: draw the scenes of a CSS folder flat, beside it."""
    from maaf_lab.errors import ConfigError

    if dataset not in (known := (*SYNTHETIC, *DRAWN_BESIDE)):
        raise ConfigError(f"unknown synthetic dataset {dataset!r}; known: {', '.join(known)}{did_you_mean(dataset, known)}")
    if size not in ("", *SIZES):
        raise ConfigError(f"--size: expected {' or '.join(SIZES)}, found {size!r}{did_you_mean(size, SIZES)}")
    folder, beside = given_path(Path(out)), dataset in DRAWN_BESIDE
    if beside and (size or seed is not None):
        raise ConfigError(f"{dataset} draws the scenes that are in the folder: it has no --size and no --seed; leave them out")
    if profile:
        from maaf_lab.experiments.sources import SYNTHETIC_SIZE, Source

        if profile not in SYNTHETIC_SIZE:
            raise ConfigError(f"--profile: expected {' or '.join(SYNTHETIC_SIZE)}, which draw their data, found {profile!r}")
        source = Source(dataset, own_folder("", "data"), profile)
        folder, size = folder if out else source.folder, size or SYNTHETIC_SIZE[profile]
        pixels = source.pixels if pixels is None and not beside else pixels
    elif not out:
        wanted = "smoke" if size == "tiny" else "laptop"
        raise ConfigError(f"expected --out FOLDER, or --profile {wanted} for the folder of that profile, found neither")
    if beside:
        if not folder.exists():
            raise ConfigError(
                f"{folder}: no such folder, and {dataset} draws the scenes of a CSS folder beside them: put CSS there first, or "
                f"draw it: maaf-lab make css --out {shlex.quote(str(folder))}"
            )
        answer(DRAWN_BESIDE[dataset](folder, 64 if pixels is None else pixels))
        return
    from maaf_lab.synthetic import registry as sets

    answer(sets.make(dataset, folder, size or "full", pixels, seed or 0))


@app.command()
def check(dataset: Annotated[str, typer.Argument(help="the dataset, e.g. fashion_iq")], root: Root) -> None:
    """Say what of a dataset is there, what is missing and what that costs; exit code 0 only when it is whole."""
    from maaf_lab.data import registry as datasets

    report = datasets.check(dataset, root)
    answer(report)
    raise typer.Exit(0 if report.complete else 1)
