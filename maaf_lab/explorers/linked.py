"""The three explorers in one, linked: a query opened in one shows in the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets

from maaf_lab.arguments import checked
from maaf_lab.explorers.attention.widget import AttentionExplorer
from maaf_lab.explorers.base import View
from maaf_lab.explorers.modifications.widget import ModificationExplorer
from maaf_lab.explorers.page.html import pages
from maaf_lab.explorers.page.svg import stacked
from maaf_lab.explorers.retrieval.widget import RetrievalExplorer
from maaf_lab.explorers.session import Session
from maaf_lab.retrieval.rankings import Rankings


class LinkedExplorers(View):
    """modifications, retrieval, attention: the explorers. query: the first one that is shown."""

    def __init__(self, session: Session, rankings: Mapping[str, Rankings], query: int = 0) -> None:
        self.retrieval = RetrievalExplorer([session], query)
        self.attention = AttentionExplorer([session], query)
        self.modifications = ModificationExplorer(rankings, session, details=False)
        for other in (self.retrieval, self.attention):
            self.modifications.observe(lambda change, other=other: setattr(other, "query", change["new"]), "query")
        ipywidgets.link((self.retrieval, "query"), (self.attention, "query"))
        titles = (
            "1. How often is it found? Pick a bar, then a query",
            "2. What is retrieved for it?",
            "3. What do its words look at?",
        )
        self.parts = (self.modifications, self.retrieval, self.attention)
        rows: list[Any] = []
        for title, part in zip(titles, self.parts, strict=True):
            rows += [ipywidgets.HTML(f"<h3 style='margin:14px 0 2px'>{title}</h3>"), part]
        super().__init__(rows)

    @checked
    def show_query(self, query: int) -> None:
        """Show a query of the split in all three, by its number. ConfigError outside the split."""
        self.modifications.show_query(query)

    def svg(self) -> str:
        return stacked([part.svg() for part in self.parts], self.describe())

    def html(self) -> str:
        return pages("The three explorers", [part.html() for part in self.parts])

    def describe(self) -> str:
        """What each of the three shows, in words, one per line."""
        return "\n".join(repr(part) for part in self.parts)
