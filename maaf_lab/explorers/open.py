"""One function per explorer, as the notebooks `explore_*` and `start_here` call them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from maaf_lab.arguments import checked
from maaf_lab.explorers.session import Session, describe_run, open_session, second_rankings

if TYPE_CHECKING:
    from maaf_lab.explorers.attention.widget import AttentionExplorer
    from maaf_lab.explorers.linked import LinkedExplorers
    from maaf_lab.explorers.modifications.widget import ModificationExplorer
    from maaf_lab.explorers.retrieval.widget import RetrievalExplorer
    from maaf_lab.retrieval.rankings import Rankings


@checked
def explore_attention(
    run: str | Path = "css-laptop",
    *,
    compare: str | Path = "",
    query: int = 0,
    word: int | None = None,
    data_root: str | Path = "",
    runs_root: str | Path = "",
    device: str | torch.device | None = "",
) -> AttentionExplorer:
    """Show what a query's words and patches attend to.

    run, compare: a shipped model, a run's folder, or a run's name in `runs_root`.
    data_root: the dataset; "" draws synthetic data image by image where that is possible. word: the picked word's number, from 0.
    Raises ConfigError for what no argument can be, and where the two runs do not fit; RunError where there is no such run.
    """
    from maaf_lab.explorers.attention.widget import AttentionExplorer

    return AttentionExplorer(_models(run, compare, data_root, runs_root, device), query, word)


@checked
def explore_retrieval(
    run: str | Path = "garments-laptop",
    *,
    compare: str | Path = "",
    query: int = 0,
    k: int = 10,
    folder: str | Path = "",
    text: str | None = "",
    data_root: str | Path = "",
    runs_root: str | Path = "",
    device: str | torch.device | None = "",
) -> RetrievalExplorer:
    """Retrieve images for a picture and a text. folder: your own images as the gallery; text: "" for the query's own."""
    from maaf_lab.explorers.retrieval.widget import RetrievalExplorer

    return RetrievalExplorer(_models(run, compare, data_root, runs_root, device), query, k, folder, text or None)


@checked
def explore_modifiers(
    run: str | Path = "garments-laptop",
    *,
    compare: str | Path = "",
    data_root: str | Path = "",
    runs_root: str | Path = "",
    device: str | torch.device | None = "",
) -> ModificationExplorer:
    """Show recall by modification type, and the queries behind it. compare: any run of the same queries; a record is enough."""
    from maaf_lab.explorers.modifications.widget import ModificationExplorer

    session = open_session(run, data_root=data_root, runs_root=runs_root, device=device)
    return ModificationExplorer(_rankings(session, compare, runs_root), session, beside=str(compare))


@checked
def explore(
    run: str | Path = "css-laptop",
    *,
    compare: str | Path = "",
    query: int = 0,
    data_root: str | Path = "",
    runs_root: str | Path = "",
    device: str | torch.device | None = "",
) -> LinkedExplorers:
    """Show all three, linked: a query opened in one shows in the others."""
    from maaf_lab.explorers.linked import LinkedExplorers

    session = open_session(run, data_root=data_root, runs_root=runs_root, device=device)
    return LinkedExplorers(session, _rankings(session, compare, runs_root), query)


def _models(
    run: str | Path, compare: str | Path, data_root: str | Path, runs_root: str | Path, device: str | torch.device | None
) -> list[Session]:
    first = open_session(run, data_root=data_root, runs_root=runs_root, device=device)
    return [first, first.with_second(compare)] if str(compare) else [first]


def _rankings(session: Session, compare: str | Path, runs_root: str | Path) -> dict[str, Rankings]:
    found = {describe_run(session.run): session.rankings()}
    return found | second_rankings(session, compare, runs_root) if str(compare) else found
