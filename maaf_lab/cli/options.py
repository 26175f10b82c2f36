"""Options that several subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maaf_lab.utils.paths import given_path

YOURS = "; or one of your own (maaf-lab --with MODULE)"
OWN = "the lab's own {}/"  # shown as a default, see `own_folder`
Root = Annotated[Path, typer.Option("--root", callback=given_path, help="the dataset's folder, in its published layout")]
DataRoot = Annotated[
    str, typer.Option(help="the dataset's folder, or the folder that holds it under its name", show_default=OWN.format("data"))
]
DataRoots = Annotated[str, typer.Option(help="folder of all datasets, one below it for each", show_default=OWN.format("data"))]
Workers = Annotated[int, typer.Option(help="processes that read batches ahead; changes nothing but the speed")]
RunsRoot = Annotated[str, typer.Option(help="folder of all runs", show_default=OWN.format("runs"))]
Profile = Annotated[str, typer.Option(help="smoke, laptop or paper")]
Steps = Annotated[int | None, typer.Option(help="train for this many steps instead of the profile's")]
Seed = Annotated[int, typer.Option(help="seed of weights, sampling and dropout")]
Seeds = Annotated[int, typer.Option(min=1, max=1000, help="runs a row, with seeds 0, 1, ...")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; left out: a GPU where there is one")]
