"""The explorers, a call each: what the notebooks `explore_*` and `start_here` open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maaf_lab.explorers.session import Explored, open_explored, second_rankings, told

if TYPE_CHECKING:
    from maaf_lab.explorers.attention.widget import AttentionExplorer
    from maaf_lab.explorers.linked import Together
    from maaf_lab.explorers.modifications.widget import ModifierExplorer
    from maaf_lab.explorers.retrieval.widget import RetrievalExplorer
    from maaf_lab.retrieval.rankings import Rankings


def explore_attention(
    run: str | Path = "css-laptop",
    *,
    compare: str | Path = "",
    query: int = 0,
    word: int | None = None,
    data_root: str | Path = "",
    runs_root: str | Path = "",
    device: str = "",
) -> AttentionExplorer:
    """Show where a query's words and patches look. run, compare: a shipped model, a run's folder, or a run's name in `runs_root`.

    data_root: the dataset; "" draws synthetic data picture by picture where that can be done. word: the picked word's place.
    """
    from maaf_lab.explorers.attention.widget import AttentionExplorer

    return AttentionExplorer(_models(run, compare, data_root, runs_root, device), query, word)


def explore_retrieval(
    run: str | Path = "garments-laptop",
    *,
    compare: str | Path = "",
    query: int = 0,
    k: int = 10,
    folder: str | Path = "",
    text: str = "",
    data_root: str | Path = "",
    runs_root: str | Path = "",
    device: str = "",
) -> RetrievalExplorer:
    """Retrieve images for a picture and a text. folder: your own images as the gallery; text: "" for the query's own."""
    from maaf_lab.explorers.retrieval.widget import RetrievalExplorer

    return RetrievalExplorer(_models(run, compare, data_root, runs_root, device), query, k, folder, text or None)


def explore_modifiers(
    run: str | Path = "garments-laptop",
    *,
    compare: str | Path = "",
    data_root: str | Path = "",
    runs_root: str | Path = "",
    device: str = "",
) -> ModifierExplorer:
    """Show recall by type of change, and the queries behind it. compare: any run of the same queries; a record is enough."""
    from maaf_lab.explorers.modifications.widget import ModifierExplorer

    explored = open_explored(run, data_root=data_root, runs_root=runs_root, device=device)
    return ModifierExplorer(_rankings(explored, compare, runs_root), explored, beside=str(compare))


def explore(
    run: str | Path = "css-laptop",
    *,
    compare: str | Path = "",
    query: int = 0,
    data_root: str | Path = "",
    runs_root: str | Path = "",
    device: str = "",
) -> Together:
    """Show all three, linked: a query opened in one shows in the others."""
    from maaf_lab.explorers.linked import Together

    explored = open_explored(run, data_root=data_root, runs_root=runs_root, device=device)
    return Together(explored, _rankings(explored, compare, runs_root), query)


def _models(run: str | Path, compare: str | Path, data_root: str | Path, runs_root: str | Path, device: str) -> list[Explored]:
    first = open_explored(run, data_root=data_root, runs_root=runs_root, device=device)
    return [first, first.with_second(compare)] if str(compare) else [first]


def _rankings(explored: Explored, compare: str | Path, runs_root: str | Path) -> dict[str, Rankings]:
    found = {told(explored.run): explored.rankings()}
    return found | second_rankings(explored, compare, runs_root) if str(compare) else found
