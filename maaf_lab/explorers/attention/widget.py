"""The attention explorer: what the words and patches of a query attend to, head by head, and what a head contributes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Annotated, Any

import ipywidgets
import numpy as np

from maaf_lab.analysis.referents import referents
from maaf_lab.analysis.word_groups import GROUPS, WordGroups, word_groups
from maaf_lab.arguments import checked
from maaf_lab.data.text import cut_short, from_people, tokenize
from maaf_lab.errors import ConfigError
from maaf_lab.explorers.attention.averages import AveragesState, averages_page, averages_svg, describe_averages
from maaf_lab.explorers.attention.drawing import attention_page, attention_svg, describe_attention
from maaf_lab.explorers.attention.paint import ALL_PATCHES, PATCHES
from maaf_lab.explorers.attention.state import AttentionState, Seen, start_selection
from maaf_lab.explorers.base import ModelExplorer, row, text_box
from maaf_lab.explorers.session import Look, Session, grid_side
from maaf_lab.synthetic.lazy import LazyPixels
from maaf_lab.utils.wording import drawable

_HERE = "this query"
LONGEST_WORD = 60  # letters of a word in the drawing


class AttentionExplorer(ModelExplorer):
    """One query's attention, or the average over all queries that hold a word. models: one, or two on the same split.

    query: its number in the split; word: the picked word's number, from 0; None: one that names something, else the last.
    """

    def __init__(self, models: Sequence[Session], query: int = 0, word: int | None = None) -> None:
        super().__init__(models, query)
        self.off = ()
        self._find = text_box("with the words", "250px", placeholder="e.g. red cube", continuous_update=False)
        self._back, self._next = (
            ipywidgets.Button(description=arrow, tooltip=tooltip, layout=ipywidgets.Layout(width="40px"))
            for arrow, tooltip in (("◀", "the query before that has the words"), ("▶", "the next one"))
        )
        self._text = text_box(
            "or your own text", "380px", placeholder="type a modification for this picture", continuous_update=False
        )
        self._average = ipywidgets.Dropdown(
            options=[_HERE, "a word", *GROUPS], value=_HERE, description="show", layout=ipywidgets.Layout(width="230px")
        )
        self._word = text_box("word", "180px", value="", continuous_update=False)
        self._progress = ipywidgets.IntProgress(layout=ipywidgets.Layout(width="200px", display="none"))
        self._heads = ipywidgets.HBox(layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center"))
        self._shape: tuple[tuple[str, int], ...] = ()
        self._switches: dict[tuple[int, int], ipywidgets.ToggleButton] = {}
        self._groups: dict[tuple[str, str], WordGroups] = {}
        self.averages: AveragesState | None = None
        self.state = self._state(query, models[0].text_of(query), query)
        if word is not None:
            self.state = self._picked(word)
        self.query = query
        self._show_heads()
        self.hear(self._number, self.show_query)
        self.hear(self._find, self.find)
        self.on_click(self._back, lambda: self.step(-1))
        self.on_click(self._next, self.step)
        self.hear(self._text, self.type)
        self.hear(self._average, lambda _: self._averaged())
        self.hear(self._word, lambda _: self._averaged())
        self.drawing.observe(self._selected, "selection")
        self.hear(self, self.show_query, "query")
        self._word.layout.display = "none"
        self.children = [
            row(self._number, self._find, self._back, self._next, self._text),
            row(self._average, self._word, self._progress, self._beside),
            self._heads,
            self.message,
            self.drawing,
        ]
        self.redraw()

    # --- what a person can do -----------------------------------------------------------------------------------------

    @checked
    def show_query(self, query: int) -> None:
        self.check_query(query)
        self._move(query)

    @checked
    def find(self, words: str) -> None:
        """Open the first query, from this one on, whose text holds all these words: `explorer.find("blue cube")`.

        "" forgets the words. ConfigError where no query holds them.
        """
        self.put(self._find, words)
        if tokenize(words):
            self._seek(0)
        elif words.strip():
            raise ConfigError("expected words of letters or digits to look for, found none")
        else:
            self.say("")

    @checked
    def step(self, by: int = 1) -> None:
        """Open the next query (-1: the one before, 2: the one after the next) that holds the words last looked for.

        Without such words every query counts. After the last query comes the first.
        """
        self._seek(by)

    def _seek(self, by: int) -> None:
        """0: the first that holds the words, at or after this one."""
        words, here = set(tokenize(self._find.value)), self._number.value
        count = self.last + 1
        order = ((here + (n if by >= 0 else -n)) % count for n in range(0 if by == 0 else 1, count + 1))
        fitting = (q for q in order if words <= set(tokenize(self.models[0].text_of(q))))
        found = next(islice(fitting, max(abs(by) - 1, 0), None), None)
        if found is None:
            raise ConfigError(f"no query of {self.models[0].split.title} holds {' and '.join(map(repr, sorted(words)))}")
        self._move(found)

    @checked
    def type(self, text: str) -> None:
        """Use your own text with the shown reference; "" restores the query's own text. ConfigError for a text without words."""
        if not tokenize(text):
            if text.strip():
                raise ConfigError("expected words of letters or digits, found none; the text before stays")
            self._move(self._number.value)
            return
        self.state = self._state(self._number.value, from_people(text), None)
        self.off = ()
        self.put(self._text, text)
        self._leave_averages()
        self._show_heads()
        self.redraw()

    @checked
    def pick(self, word: int | str | None = None, *, head: int | None = None, block: int | None = None) -> None:
        """Show the attention of a word (its number from 0, or the word; "all patches" for their mean) in a head and a block.

        head: as the drawing numbers them, 0 for the mean of heads; block: an operation, from 0. What is not given stays. Where
        averages are shown, word is the name of a group. ConfigError for a word, head or block that is not there.
        """
        if self.averages is not None:
            self.averages = self._picked_average(word, head, block)
        else:
            self.state = self._picked(word, head, block)
        self.redraw()

    def _picked(self, word: int | str | None = None, head: int | None = None, block: int | None = None) -> AttentionState:
        selection = copy.deepcopy(dict(self.state.selection))
        side = selection["sides"][selection["active"]]
        seen = self.state.seen[side["record"]]
        if isinstance(word, str):
            if word not in (*seen.words, ALL_PATCHES):
                raise ConfigError(f"expected a word of {', '.join(map(repr, (*seen.words, ALL_PATCHES)))}; found {word!r}")
            word = PATCHES if word == ALL_PATCHES else seen.words.index(word)
        else:
            _check_within("a word", word, 0, len(seen.words) - 1)
        blocks, heads = seen.weights.shape[:2]
        _check_within("a head", head, 0, heads)
        _check_within("a block", block, 0, blocks - 1)
        first = max(stop for _, stop in seen.grids.values())
        token = word if word is None or word == PATCHES else first + word
        given = {"token": token, "head": head, "block": block}
        side.update({name: value for name, value in given.items() if value is not None})
        return replace(self.state, selection=selection)

    def _picked_average(self, group: int | str | None, head: int | None, block: int | None) -> AveragesState:
        maps = self.averages.groups.maps
        if group is not None and group not in maps:
            raise ConfigError(f"expected a group of {', '.join(map(repr, maps))}; found {group!r}")
        blocks, heads = maps[self.averages.group].shape[:2]
        _check_within("a head", head, 0, heads)
        _check_within("a block", block, 0, blocks - 1)
        given = {"group": group, "head": head, "block": block}
        return replace(self.averages, **{name: value for name, value in given.items() if value is not None})

    # --- a query ------------------------------------------------------------------------------------------------------

    def _state(self, query: int, text: str, labeled: int | None) -> AttentionState:
        """labeled: the query whose target is ranked, None for the user's own text."""
        model = self.models[0]
        source, target_image = model.split.queries[query].source, model.split.queries[query].target
        looks = [m.look(source, text) for m in self.models]
        boxes, named = np.zeros((0, 4)), {}
        if isinstance(model.pixels, LazyPixels) and (found := model.pixels.boxes(source)) is not None:
            side = min(grid_side(span) for name, span in looks[0].spans.items() if name != "text") if looks[0].spans else 7
            boxes, named = referents(text, model.split.images[source].label, found, side)
        seen = tuple(self._seen(m, look, labeled, named) for m, look in zip(self.models, looks, strict=True))
        unknown = looks[0].unknown
        unread = f"{model.name} has never seen {', '.join(map(repr, unknown))}: read as the unknown word" if unknown else ""
        self.say("; ".join(filter(None, (cut_short([text]), unread))))
        target = None if labeled is None or target_image is None else model.picture(target_image)
        note = "dashed: what the text names" if len(boxes) else ""
        caption = f"query {query:,} of {self.models[0].caption()}" + (
            "" if labeled is not None else "; the text is your own, so no target is known"
        )
        if len(self.models) > 1:
            caption += f"; the second model: {self.models[1].name}"
        return AttentionState(
            seen,
            model.picture(source, 224),
            caption,
            start_selection(seen),
            target,
            boxes=boxes,
            note=note,
            candidates=int(model.candidates(query).sum()),
        )

    def _seen(self, model: Session, look: Look, labeled: int | None, named: dict[int, np.ndarray]) -> Seen:
        if look.weights is None:
            raise ConfigError(
                f"{model.name} is {model.run.config.model.name}, a system without attention; take one that attends, such as maaf"
            )
        grids = {name: span for name, span in look.spans.items() if name != "text"}
        words = tuple(
            drawable(word, LONGEST_WORD)
            for word in look.tokens[: look.weights.shape[-1] - max(stop for _, stop in grids.values())]
        )
        rank = None if labeled is None else model.rank_of(look.vector, labeled)
        ranks = None if labeled is None else model.ranks_without_each(labeled)
        if ranks is not None and len(ranks) != len(look.weights):
            ranks = None  # a system whose operations are not one attention each
        return Seen(model.name, look.weights, grids, words, not look.normalized, look.operations, rank, ranks, named)

    def _move(self, query: int) -> None:
        self.state = self._state(query, self.models[0].text_of(query), query)
        self.off = ()
        self._leave_averages()
        self.put(self._text, "")
        self.put(self._number, query), self.put(self, query, "query")
        self._show_heads()
        self.redraw()

    # --- heads turned off ---------------------------------------------------------------------------------------------

    def _show_heads(self) -> None:
        """A button per head; rebuilt only where another model has other heads."""
        seen = self.state.seen[0]
        shape = () if seen.ranks is None else tuple((name, seen.weights.shape[1]) for name in seen.operations)
        if shape != self._shape:
            for old in self._heads.children:
                old.close()
            self._shape, self._switches, parts = shape, {}, []
            narrow = ipywidgets.Layout(width="36px")  # one for all
            for b, (operation, heads) in enumerate(shape):
                if len(shape) > 1:
                    parts.append(ipywidgets.HTML(f"&nbsp;{operation}&nbsp;"))
                for h in range(heads):
                    tooltip = f"{operation}, head {h + 1} off"
                    one = ipywidgets.ToggleButton(description=str(h + 1), tooltip=tooltip, layout=narrow)
                    self.hear(one, lambda off, head=(b, h): self._turned(head, off))
                    self._switches[b, h] = one
                    parts.append(one)
            self._heads.children = [ipywidgets.HTML("turn heads off, in the query:"), *parts] if parts else ()
        for head, one in self._switches.items():
            if one.value != (head in self.off):
                self.put(one, head in self.off)

    def _turned(self, head: tuple[int, int], off: bool) -> None:
        self.turn_off([h for h in self.off if h != head] + ([head] if off else []))

    @checked
    def turn_off(self, heads: Annotated[Iterable[tuple[int, int]], "a list of heads (block, head)"]) -> None:
        """Turn off these heads (block and head, from 0) in this query; its maps and its target's rank follow.

        ConfigError for a head that is not there.
        """
        model, query = self.models[0], self._number.value
        off = tuple(sorted(map(tuple, heads)))
        look = model.look(model.split.queries[query].source, model.text_of(query), off=off)
        rank = model.rank_of(look.vector, query) if off else None
        self.off = off
        self._show_heads()
        seen = self.state.seen[0]
        changed = replace(seen, weights=look.weights)
        self.state = replace(self.state, seen=(changed, *self.state.seen[1:]), off=off, rank_off=rank)
        self.redraw()

    # --- averages -----------------------------------------------------------------------------------------------------

    def _averaged(self) -> None:
        kind = self._average.value
        self._word.layout.display = None if kind == "a word" else "none"
        if kind == "a word" and not self._word.value.strip():
            self.say("type a word to average over all queries that hold it")
        else:
            self.average(kind, self._word.value)

    @checked
    def average(self, kind: str, word: str = "") -> None:
        """Show the mean attention over all queries that hold a word: kind "a word", or one of `word_groups.GROUPS`.

        "this query" goes back to the query. ConfigError for another kind, or for a word that no query holds.
        """
        if kind == _HERE:
            self._leave_averages()
            self.redraw()
            return
        key = (kind, word.strip().lower() if kind == "a word" else "")
        if key not in self._groups:
            first = self.models[0]
            self._progress.layout.display = None

            def progress(done: int, total: int) -> None:
                self._progress.max, self._progress.value = total, done

            try:
                self._groups[key] = word_groups(first.model, first.split, first.pixels, kind, word, progress=progress)
            finally:
                self._progress.layout.display = "none"
        found = self._groups[key]
        self.put(self._average, kind)
        self.put(self._word, word)
        self._word.layout.display = None if kind == "a word" else "none"
        self.averages = AveragesState(
            found, self.models[0].caption(), min(found.maps, key=lambda name: -found.counts[name]), 0, 0
        )
        self.say("")
        self.redraw()

    def _leave_averages(self) -> None:
        self.averages = None
        self.put(self._average, _HERE)
        self._word.layout.display = "none"

    # --- what Explorer needs -----------------------------------------------------------------------------------------

    def _selected(self, change: dict[str, Any]) -> None:
        """Keep what was picked in the browser; redraw where a comparison changes the layout."""
        if not change["new"] or self.averages is not None or change["new"] == self.state.selection:
            return
        before = self.state.selection
        self.state = replace(self.state, selection=change["new"])
        if before["compare"] != change["new"]["compare"]:
            self.redraw()

    def search_again(self) -> None:
        self._move(self._number.value)

    def redraw(self) -> None:
        if self.averages is not None:
            self.drawing.show(self.svg())
        else:
            self.drawing.show(self.svg(), self.state.data_json(), dict(self.state.selection))

    def press(self, act: str, value: str) -> None:
        if self.averages is None or act not in ("group", "block", "head"):
            return
        self.averages = self.averages.picked(act, value)
        self.redraw()

    def svg(self) -> str:
        return attention_svg(self.state) if self.averages is None else averages_svg(self.averages)

    def html(self) -> str:
        return attention_page(self.state) if self.averages is None else averages_page(self.averages)

    def describe(self) -> str:
        return describe_attention(self.state) if self.averages is None else describe_averages(self.averages)


def _check_within(what: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise ConfigError(f"expected {what} from {low} to {high}, found {value}")
