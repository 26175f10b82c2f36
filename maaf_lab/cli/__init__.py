"""The maaf-lab command (also `python -m maaf_lab`); `--help` lists its subcommands in the order of these imports."""

from maaf_lab.cli.app import app, main

from maaf_lab.cli import datasets, runs, tables, search  # isort: skip

__all__ = ["app", "datasets", "main", "runs", "search", "tables"]
