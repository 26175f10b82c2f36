"""maaf_lab: composed image retrieval. The names a notebook needs, and no others."""

from maaf_lab.config import RunConfig, profile_config
from maaf_lab.explorers import explore, explore_attention, explore_modifiers, explore_retrieval
from maaf_lab.figures import open_figures, untrained
from maaf_lab.models.foreign import load_foreign_checkpoint
from maaf_lab.paper import paper_table
from maaf_lab.runs import Run, ledger, load_pretrained, pretrained_run, train_and_evaluate
from maaf_lab.table_runs import run_table, table_frame
from maaf_lab.workbench import open_table

__version__ = "0.1.0"
__all__ = [
    "Run", "RunConfig", "explore", "explore_attention", "explore_modifiers", "explore_retrieval", "ledger", "load_foreign_checkpoint", "load_pretrained", "open_figures", "open_table", "paper_table",
    "pretrained_run", "profile_config", "run_table", "table_frame", "train_and_evaluate", "untrained",
]
