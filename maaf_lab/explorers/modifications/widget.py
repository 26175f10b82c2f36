"""The modification explorer: recall by modification type, the queries of each type, and a query's retrievals and attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from maaf_lab.analysis.by_modification import SORTS, Filter, TypeTable
from maaf_lab.analysis.modification_types import Taxonomy, holds, parse_taxonomy, taxonomy, taxonomy_text
from maaf_lab.arguments import checked
from maaf_lab.data.text import tokenize
from maaf_lab.errors import ConfigError
from maaf_lab.explorers.base import Explorer, Pictures, row, text_box
from maaf_lab.explorers.modifications.drawing import (
    ModificationState,
    QueryLine,
    describe_modifications,
    modifications_page,
    modifications_svg,
)
from maaf_lab.explorers.session import Session, second_rankings
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.utils.wording import counted

if TYPE_CHECKING:
    from maaf_lab.explorers.attention.widget import AttentionExplorer
    from maaf_lab.explorers.retrieval.widget import RetrievalExplorer

LINES = 6  # queries a page
_PICTURE = 80


class ModificationExplorer(Explorer):
    """rankings: name -> a run's rankings, one model or two on the same queries. session: a model with weights on the same
    split, which shows pictures, retrievals and attention. details: show the latter two below the list when a query is opened.

    beside: the name under which the second run was given. Trait `query` is the query that was opened last, -1 before; it can
    be linked with other explorers'.
    """

    query = traitlets.Int(-1)

    def __init__(self, rankings: Mapping[str, Rankings], session: Session, *, details: bool = True, beside: str = "") -> None:
        super().__init__()
        if not 1 <= len(rankings) <= 2:
            raise ConfigError(f"expected one model or two to compare, found {len(rankings)}")
        self.session, self.details = session, details
        ks = (10, 50) if session.split.protocol.ks == (10, 50) else (session.split.protocol.ks[0],)
        self._ks, self.table = ks, TypeTable(rankings, ks)
        split = session.split
        if len(self.table.texts) != len(split.queries) or any(
            text != session.text_of(q) for q, text in enumerate(self.table.texts)
        ):
            raise ConfigError(f"expected rankings of the queries of {split.title} ({split.origin}), found others: evaluate on it")
        self.types: Taxonomy = taxonomy(session.dataset)
        self._known: tuple[Any, Any] | None = None  # the types and filter of the last recalls, and those recalls
        self.only, self.picked, self.sort, self.start = Filter(), "all", SORTS[1], 0
        self._pictures = Pictures()
        categories = sorted({c for c in self.table.categories if c})
        longest = int(self.table.lengths.max())
        self._words = text_box("only with the words", "300px", placeholder="e.g. red sleeves", continuous_update=False)
        self._category = ipywidgets.Dropdown(
            options=[("all categories", ""), *((c, c) for c in categories)],
            description="category",
            layout=ipywidgets.Layout(width="240px", display=None if categories else "none"),
        )
        self._length = ipywidgets.IntRangeSlider(
            value=(0, longest),
            min=0,
            max=longest,
            description="words",
            continuous_update=False,
            layout=ipywidgets.Layout(width="330px"),
        )
        self._types = ipywidgets.Textarea(
            value=taxonomy_text(self.types),
            tooltip="types and their words",
            layout=ipywidgets.Layout(width="100%", height="180px"),
            continuous_update=False,
        )
        self._edit = ipywidgets.Accordion(
            children=[self._types], titles=("edit the types: a line each, type: its words",), selected_index=None
        )
        self._beside = self.compare_box(beside)
        self._below = ipywidgets.VBox()
        self.retrieval: RetrievalExplorer | None = None  # of the opened query, where `details`; likewise its attention
        self.attention: AttentionExplorer | None = None
        controls = row(self._words, self._category, self._length, self._beside)
        self.children = [controls, self._edit, self.message, self.drawing, self._below]
        self.redraw()
        for control in (self._words, self._category, self._length):
            self.hear(control, lambda _: self._filtered())
        self.hear(self._types, self.edit)
        self.hear(self, lambda query: None if query < 0 else self.show_query(query), "query")

    # --- what a person can do -----------------------------------------------------------------------------------------

    @checked
    def show_query(self, query: int) -> None:
        """Mark a query of the split, by its number; with `details`, show its retrievals and its attention below the list.

        ConfigError outside the split.
        """
        if not 0 <= query < len(self.table.texts):
            raise ConfigError(f"expected a query from 0 to {len(self.table.texts) - 1:,}, found {query}")
        self.put(self, query, "query")
        if self.details:
            self._show_details(query)
        self.redraw()

    @checked
    def edit(self, text: str) -> None:
        """Replace the modification types: lines "type: words". ConfigError names a wrong line, and the old types stay."""
        types = parse_taxonomy(text)
        self.types = types
        self.put(self._types, text)
        if self.picked not in types:
            self.picked = "all"
        self.start = 0
        self.say(f"{counted(len(types), 'type')}, {counted(sum(map(len, types.values())), 'word')}")
        self.redraw()

    @checked
    def filter(self, words: str = "", category: str = "", shortest: int = 0, longest: int = 10**6) -> None:
        """Keep only queries with these words, of this category, of so many words. ConfigError where none is left."""
        known = {c for c in self.table.categories}
        if category and category not in known:
            raise ConfigError(
                f"expected a category of {', '.join(sorted(known - {''})) or 'none (this dataset has none)'}; found {category!r}"
            )
        only = Filter(tuple(tokenize(words)), category, shortest, longest)
        count = int(self.table.kept(only).sum())
        if not count:
            raise ConfigError("no query fits this filter; what was shown stays. Take a word out, or widen the range")
        self.only, self.start = only, 0
        self.put(self._words, words), self.put(self._category, category)
        self.put(self._length, (shortest, min(longest, self._length.max)))
        self.say(f"{count:,} of {len(self.table.texts):,} queries fit" if count < len(self.table.texts) else "")
        self.redraw()

    @checked
    def pick(self, name: str, sort: str | None = None) -> None:
        """List the queries of a modification type, in an order of `analysis.by_modification.SORTS`."""
        if name not in ("all", *self.types):
            raise ConfigError(f"expected a type of all, {', '.join(self.types)}; found {name!r}")
        if sort is not None and sort not in self._sorts():
            raise ConfigError(f"expected an order of {', '.join(self._sorts())}; found {sort!r}")
        self.picked, self.sort, self.start = name, sort or self.sort, 0
        self.redraw()

    @checked
    def turn_page(self, by: int = 1) -> None:
        """List the next queries of the picked type, or with -1 the ones before; at either end nothing changes."""
        start = self.start + by * LINES
        if 0 <= start < self.state.total:
            self.start = start
            self.redraw()

    @checked
    def compare(self, run: str | Path) -> None:
        run = str(run)
        found = {self.table.names[0]: self.table.rankings[0]}
        if run:
            found |= second_rankings(self.session, run, self.session.runs_root)
        self.table = TypeTable(found, self._ks)
        if self.sort not in self._sorts():
            self.sort = SORTS[1]
        self._known = None
        self.put(self._beside, run)
        self.say("")
        self.redraw()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _filtered(self) -> None:
        low, high = self._length.value
        self.filter(self._words.value, self._category.value, low, high)

    def _sorts(self) -> tuple[str, ...]:
        return SORTS if len(self.table.names) > 1 else SORTS[:2]

    def _show_details(self, query: int) -> None:
        if not self._below.children:
            from maaf_lab.explorers.attention.widget import AttentionExplorer
            from maaf_lab.explorers.retrieval.widget import RetrievalExplorer

            self.retrieval = RetrievalExplorer([self.session], query)
            try:
                self.attention = AttentionExplorer([self.session], query)
            except ConfigError as error:  # a system without attention
                self.say(str(error))
            title = ipywidgets.HTML("<b>What is retrieved, and what the words look at</b>")
            self._below.children = [title, *(part for part in (self.retrieval, self.attention) if part is not None)]
        for part in self._below.children[1:]:
            part.query = query

    def _state(self, picked: str, sort: str, start: int = 0) -> ModificationState:
        table = self.table
        order = table.queries(self.types, self.only, picked, sort)
        shown = order[start : start + LINES].tolist()
        held = holds([table.texts[q] for q in shown], self.types)
        split = self.session.split
        seen = [image for q in shown for image in (split.queries[q].source, split.queries[q].target) if image is not None]
        self._pictures.fetch(seen, lambda images: self.session.pictures(images, _PICTURE))
        rows = []
        for n, q in enumerate(shown):
            target = split.queries[q].target
            rows.append(
                QueryLine(
                    q,
                    table.texts[q],
                    self._pictures[split.queries[q].source],
                    None if target is None else self._pictures[target],
                    tuple(table.ranks[:, q].tolist()),
                    tuple(name for name in self.types if held[name][n]),
                )
            )
        filtered = ""
        if self.only != Filter():
            kept = [f"with {' and '.join(self.only.words)}"] if self.only.words else []
            kept += [self.only.category] if self.only.category else []
            if self.only.shortest > 0 or self.only.longest < self.table.lengths.max():
                kept.append(f"{self.only.shortest} to {min(self.only.longest, int(self.table.lengths.max()))} words")
            filtered = f"; only {', '.join(kept)}" if kept else ""
        caption = f"{split.title} ({split.origin}); a query counts for every type whose words it holds"
        return ModificationState(
            tuple(table.names),
            table.metric,
            self._recalls(),
            picked,
            sort,
            self._sorts(),
            tuple(rows),
            len(order),
            start,
            caption,
            filtered,
            self.query if self.query >= 0 else None,
        )

    def _recalls(self) -> Any:
        key = (self.only, tuple((name, words) for name, words in self.types.items()))
        if self._known is None or self._known[0] != key:
            self._known = (key, self.table.recalls(self.types, self.only))
        return self._known[1]

    # --- what Explorer needs -----------------------------------------------------------------------------------------

    def redraw(self) -> None:
        self.state = self._state(self.picked, self.sort, self.start)
        super().redraw()

    def press(self, act: str, value: str) -> None:
        if act == "type":
            self.pick(value)
        elif act == "sort":
            self.pick(self.picked, value)
        elif act == "page":
            self.turn_page(1 if value == "on" else -1)
        elif act == "query":
            self.show_query(int(value))

    def svg(self) -> str:
        return modifications_svg(self.state)

    def html(self) -> str:
        return modifications_page(self.state, lambda name, sort: replace(self._state(name, sort), opened=None))

    def describe(self) -> str:
        return describe_modifications(self.state)
