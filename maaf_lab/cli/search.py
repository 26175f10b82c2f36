"""Search of one's own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maaf_lab.cli.app import answer, app, say
from maaf_lab.cli.options import Device
from maaf_lab.utils.paths import given_path


@app.command()
def search(
    image: Annotated[Path, typer.Option(callback=given_path, help="the reference image")],
    gallery: Annotated[
        Path,
        typer.Option(
            "--gallery", "--catalogue", callback=given_path, help="folder of the images to search, with those in folders below it"
        ),
    ],
    text: Annotated[
        str, typer.Option(help='the modification text, e.g. "is red and has longer sleeves"; empty: find what looks alike')
    ] = "",
    run: Annotated[str, typer.Option(help="css-laptop, garments-laptop (shipped), or a run's folder")] = "garments-laptop",
    k: Annotated[int, typer.Option(help="how many images to list")] = 10,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON list")] = False,
) -> None:
    """Find the images of a folder that match a reference image and a modification text; the folder is embedded once and kept."""
    import json
    import os

    import torch

    from maaf_lab.data.text import cut_short, unread
    from maaf_lab.data.transforms import build_transform
    from maaf_lab.errors import ConfigError
    from maaf_lab.experiments.runs import find_run
    from maaf_lab.retrieval.folder_gallery import open_folder, square
    from maaf_lab.training.devices import make_accelerator
    from maaf_lab.utils.wording import printable

    if k < 1:
        raise ConfigError(f"--k: expected at least 1, found {k}")
    opened = find_run(run)
    data = opened.config.data
    start = torch.from_numpy(square(image, data.pixels)).permute(2, 0, 1)[None]  # (1, 3, S, S)
    model = opened.load_model(make_accelerator("fp32", device).device)
    say(f"model {run} ({opened.config.model.name}), trained on {data.origin or data.dataset}")
    if told := unread(model.vocabulary, text):
        say(told)
    if told := cut_short([text]):
        say(told)
    found = open_folder(gallery, model, pixels=data.pixels, name=run)
    say(f"{gallery}: {found.summary}")
    new = [(name, why) for name, why in found.broken if name not in found.known_broken]
    for name, why in new[:5]:
        say(f"  broken: {printable(name)}: {printable(why)}")
    if len(new) > 5:
        say(f"  and {len(new) - 5:,} more")
    with torch.inference_mode():
        pixels = build_transform("plain", data.pixels).eval(start.to(model.device))
        vector = model.embed_query(pixels, model.read([text]))[0]  # what it does not read is said already
    hits = found.search(vector, k, found.find(image))
    lines = [(i + 1, float(score), str(found.paths[at])) for i, (at, score) in enumerate(zip(*hits))]
    if as_json:
        answer(json.dumps([{"rank": rank, "score": round(score, 6), "path": path} for rank, score, path in lines], indent=2))
        return
    for rank, score, path in lines:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")  # bytes of a name that are no text
        answer(f"{rank:>3}  {score:.3f}  {printable(shown)}")
    if not lines:
        say("no image to list: the folder holds the picture itself and no other")
