"""What all explorers share: a drawing that reacts to pointer and keys, messages, saved files, a picture for papermill."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from maaf_lab.arguments import checked
from maaf_lab.errors import ConfigError, LabError
from maaf_lab.explorers.page.html import HERE
from maaf_lab.explorers.page.svg import escaped, shown, to_png
from maaf_lab.explorers.session import Session
from maaf_lab.utils.files import write_atomically
from maaf_lab.utils.wording import drawable


class Drawing(anywidget.AnyWidget):
    """An explorer's drawing in a notebook. drawn: counts the drawings; the browser redraws when it changes."""

    _esm = HERE / "explorer.js"
    _css = HERE / "explorer.css"
    svg = traitlets.Unicode().tag(sync=True)
    data = traitlets.Unicode().tag(sync=True)
    selection = traitlets.Dict().tag(sync=True)
    drawn = traitlets.Int(0).tag(sync=True)

    def show(self, svg: str, data: str = "", selection: dict[str, Any] | None = None) -> None:
        with self.hold_sync():
            self.svg, self.data = svg, data
            if selection is not None:
                self.selection = selection
            self.drawn += 1


class Pictures(dict[Any, np.ndarray]):
    """A cache of pictures, which are shown again and again. Emptied beyond 3,000."""

    def fetch(self, keys: Iterable[Any], make: Callable[[list[Any]], Iterable[np.ndarray]]) -> None:
        """Hold all of these: `make` is called once, for the missing ones."""
        wanted = list(dict.fromkeys(keys))
        if len(self) > 3000:
            self.clear()
        if missing := [key for key in wanted if key not in self]:
            self.update(zip(missing, make(missing), strict=True))


class View(ipywidgets.VBox):
    """What can be saved as a file, and stands as a picture where no kernel runs. A subclass defines these three."""

    def svg(self) -> str:
        raise NotImplementedError(f"{type(self).__name__} does not define svg")

    def html(self) -> str:
        raise NotImplementedError(f"{type(self).__name__} does not define html")

    def describe(self) -> str:
        """What is shown, in words: the explorer's repr."""
        raise NotImplementedError(f"{type(self).__name__} does not define describe")

    @checked
    def save(self, path: str | Path) -> Path:
        """`x.html`: a page that works without a kernel or a network; `x.svg`, `x.png`: the current view.

        ConfigError for another ending, or a folder that does not exist.
        """
        path = Path(path)
        makers = {".html": lambda: self.html().encode(), ".svg": lambda: self.svg().encode(), ".png": lambda: to_png(self.svg())}
        if path.suffix.lower() not in makers:
            raise ConfigError(f"save: expected a name that ends in {', '.join(makers)}, found {path.name!r}")
        if not path.parent.is_dir():
            raise ConfigError(f"save: expected a folder that is there, found none at {path.parent}; make it first")
        made = makers[path.suffix.lower()]()
        write_atomically(path, lambda beside: beside.write_bytes(made) and None)
        return path

    def __repr__(self) -> str:
        return self.describe()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The live widget; without a kernel a picture, and as plain text a description."""
        picture = base64.b64encode(to_png(self.svg(), 1)).decode()
        return {**(super()._repr_mimebundle_(**kwargs) or {}), "text/plain": repr(self), "image/png": picture}


class Explorer(View):
    """Base of the explorers. A subclass defines `svg`, `html`, `describe` and `press`, which a pressed part of the drawing calls.

    What a person can do in an explorer is a method too: `show_query`, `compare`, `save` and the subclass's own. A method raises
    an error; boxes and buttons show it as a message above the drawing. Either way the view stays as it was.
    """

    def __init__(self) -> None:
        self._quiet = False
        self.message = ipywidgets.HTML()
        self.drawing = Drawing()
        self.drawing.on_msg(self._pressed)
        super().__init__([])

    # --- what a subclass defines -----------------------------------------------------------------------------------------

    def press(self, act: str, value: str) -> None:
        """Press a part of the drawing: `act` and `value` are its data-act and data-value."""
        raise NotImplementedError(f"{type(self).__name__} does not define press")

    def show_query(self, query: int) -> None:
        """Show a query of the split, by its number. ConfigError outside the split."""
        raise NotImplementedError(f"{type(self).__name__} does not define show_query")

    def compare(self, run: str | Path) -> None:
        """Set a second run beside the first, "" for none. ConfigError where it does not fit, RunError where there is none."""
        raise NotImplementedError(f"{type(self).__name__} does not define compare")

    # --- shared ----------------------------------------------------------------------------------------------------------

    @checked
    def control(self, label: str) -> Any:
        """The box, list, slider or button with this label, or with this tooltip: `explorer.control("query").value = 40`."""
        known = [widget for widget in _within(self) if getattr(widget, "description", "") or getattr(widget, "tooltip", "")]
        for name in ("description", "tooltip"):
            for widget in known:
                if getattr(widget, name, None) == label:
                    return widget
        labels = ", ".join(repr(widget.description or widget.tooltip) for widget in known)
        raise ConfigError(f"expected the label of a control, one of {labels}; found {label!r}")

    def _pressed(self, _: Any, content: Any, buffers: list[bytes]) -> None:
        with self.errors_as_messages():
            self.press(str(content.get("act", "")), str(content.get("value", "")))

    def compare_box(self, value: str) -> ipywidgets.Text:
        """A text box for the name of a second run."""
        box = text_box("beside it", "260px", value=value, placeholder="a second run; empty: none", continuous_update=False)
        self.hear(box, lambda value: self.compare(value.strip()))
        return box

    def redraw(self) -> None:
        self.drawing.show(self.svg())

    def say(self, text: str, wrong: bool = False) -> None:
        """Show a message above the drawing, which screen readers announce; "" removes it."""
        role = "alert" if wrong else "status"
        mark = "⚠ " if wrong else ""
        self.message.value = f'<div class="maaf-message" role="{role}">{escaped(drawable(mark + text))}</div>' if text else ""

    def hear(self, control: traitlets.HasTraits, what: Callable[[Any], None], name: str = "value") -> None:
        """Call `what` with a control's new value, except for values set by `put`; an error becomes a message."""

        def changed(change: dict[str, Any]) -> None:
            if not self._quiet:
                with self.errors_as_messages():
                    what(change["new"])

        control.observe(changed, name)

    def on_click(self, button: ipywidgets.Button, what: Callable[[], None]) -> None:
        """Call `what` when a button is clicked; an error becomes a message."""

        def clicked(_: Any) -> None:
            with self.errors_as_messages():
                what()

        button.on_click(clicked)

    def put(self, control: traitlets.HasTraits, value: Any, name: str = "value") -> None:
        """Set a control to what is shown already, without calling what `hear` connected."""
        self._quiet, before = True, self._quiet
        try:
            setattr(control, name, value)
        finally:
            self._quiet = before

    @contextmanager
    def errors_as_messages(self) -> Iterator[None]:
        """Inside, an error becomes a message in the widget, and the view stays as it was."""
        try:
            yield
        except (LabError, OSError, ValueError) as error:
            self.say(str(error), wrong=True)

    def __repr__(self) -> str:
        return shown(f"{type(self).__name__}: {self.describe()}")


class ModelExplorer(Explorer):
    """Base of the explorers of one query in one model, or in two on the same split.

    Trait `query` is its number in the split, and can be linked with other explorers'. A subclass defines `search_again`.
    """

    query = traitlets.Int()

    def __init__(self, models: Sequence[Session], query: int) -> None:
        super().__init__()
        if not 1 <= len(models) <= 2:
            raise ConfigError(f"expected one model or two to compare, found {len(models)}")
        one, two = models[0], models[-1]
        if len(models) > 1 and (one.dataset != two.dataset or one.split.origin != two.split.origin):
            raise ConfigError(f"expected two models of one dataset to compare, found {one.caption()} and {two.caption()}")
        self.models = list(models)
        self.last = len(one.split.queries) - 1
        self.check_query(query)
        self._number = number_box(query, 0, self.last, "query")
        self._beside = self.compare_box(two.name if len(models) > 1 else "")

    def check_query(self, query: int) -> None:
        if not 0 <= query <= self.last:
            raise ConfigError(f"expected a query from 0 to {self.last:,}, found {query}")

    @checked
    def compare(self, run: str | Path) -> None:
        run = str(run)
        models = [self.models[0], self.models[0].with_second(run)] if run else self.models[:1]
        before, self.models = self.models, models
        try:
            self.search_again()
        except Exception:
            self.models = before
            raise
        self.put(self._beside, run)

    def search_again(self) -> None:
        """Show the same query in `models`, which have changed."""
        raise NotImplementedError(f"{type(self).__name__} does not define search_again")


def _within(box: ipywidgets.Box) -> Iterator[ipywidgets.Widget]:
    for child in box.children:
        yield child
        if isinstance(child, ipywidgets.Box):
            yield from _within(child)


def number_box(value: int, low: int, high: int, label: str) -> ipywidgets.BoundedIntText:
    return ipywidgets.BoundedIntText(
        value=value,
        min=low,
        max=high,
        description=label,
        layout=ipywidgets.Layout(width="170px"),
        style={"description_width": "initial"},
    )


def text_box(label: str, width: str = "330px", **more: Any) -> ipywidgets.Text:
    return ipywidgets.Text(
        description=label, layout=ipywidgets.Layout(width=width), style={"description_width": "initial"}, **more
    )


def row(*parts: ipywidgets.Widget) -> ipywidgets.HBox:
    return ipywidgets.HBox(parts, layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center"))


__all__ = ["Drawing", "Explorer", "ModelExplorer", "Pictures", "View", "number_box", "row", "text_box"]
