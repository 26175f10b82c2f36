"""maaf_lab: composed image retrieval. The names a notebook needs, and no others; each is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maaf_lab.config import RunConfig
    from maaf_lab.experiments.ledger import ledger
    from maaf_lab.experiments.runs import Run, load_pretrained, pretrained_run
    from maaf_lab.experiments.train import train_and_evaluate
    from maaf_lab.explorers.open import explore, explore_attention, explore_modifiers, explore_retrieval
    from maaf_lab.models.convert import load_foreign_checkpoint
    from maaf_lab.paper.figures import open_figures, untrained
    from maaf_lab.paper.printed import paper_table
    from maaf_lab.paper.table_experiment import open_table
    from maaf_lab.paper.table_results import run_table, table_frame
    from maaf_lab.profiles import profile_config

__version__ = "0.2.0"
_FROM = {
    "config": ("RunConfig",),
    "explorers.open": ("explore", "explore_attention", "explore_modifiers", "explore_retrieval"),
    "paper.figures": ("open_figures", "untrained"),
    "models.convert": ("load_foreign_checkpoint",),
    "paper.printed": ("paper_table",),
    "profiles": ("profile_config",),
    "experiments.ledger": ("ledger",),
    "experiments.runs": ("Run", "load_pretrained", "pretrained_run"),
    "experiments.train": ("train_and_evaluate",),
    "paper.table_results": ("run_table", "table_frame"),
    "paper.table_experiment": ("open_table",),
}
_MODULE = {name: module for module, names in _FROM.items() for name in names}
__all__ = [
    "Run",
    "RunConfig",
    "explore",
    "explore_attention",
    "explore_modifiers",
    "explore_retrieval",
    "ledger",
    "load_foreign_checkpoint",
    "load_pretrained",
    "open_figures",
    "open_table",
    "paper_table",
    "pretrained_run",
    "profile_config",
    "run_table",
    "table_frame",
    "train_and_evaluate",
    "untrained",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'maaf_lab' has no name {name!r}; it has {', '.join(__all__)}")
    found = getattr(import_module(f"maaf_lab.{_MODULE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
