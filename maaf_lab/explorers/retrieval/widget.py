"""The retrieval explorer: search with any picture and your own words, and go on from a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np

from maaf_lab.arguments import checked
from maaf_lab.data.images import square as whole_square
from maaf_lab.data.images import to_square
from maaf_lab.data.text import cut_short, for_people, from_people, join, tokenize
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.explorers.base import ModelExplorer, Pictures, row, text_box
from maaf_lab.explorers.page.html import HERE
from maaf_lab.explorers.page.svg import escaped
from maaf_lab.explorers.retrieval.drawing import (
    Found,
    Result,
    RetrievalState,
    Turn,
    describe_retrieval,
    retrieval_page,
    retrieval_svg,
)
from maaf_lab.explorers.session import Session
from maaf_lab.retrieval.folder_gallery import FolderGallery, open_folder, square
from maaf_lab.utils.paths import typed_path
from maaf_lab.utils.wording import counted

SHOWN = 112  # px of a result's picture


class PictureDrop(anywidget.AnyWidget):
    """A box to pick, drop or paste a picture, whose bytes it sends to the kernel."""

    _esm = HERE / "drop.js"
    _css = HERE / "explorer.css"


class RetrievalExplorer(ModelExplorer):
    """models: one, or two to compare on the same query. query: number of the first one in the split; k: images shown.

    folder: the user's own images as the gallery, instead of the split's. Trait `query` can be linked with other explorers'.
    """

    def __init__(
        self, models: Sequence[Session], query: int = 0, k: int = 10, folder: str | Path = "", text: str | None = None
    ) -> None:
        super().__init__(models, query)
        if not 1 <= k <= 50:
            raise ConfigError(f"expected k from 1 to 50, found {k}")
        self.k = k
        self.galleries: dict[str, FolderGallery] = {}
        self._pictures = Pictures()
        self._source: int | None = None  # number in the split or the gallery; None for the user's own picture
        self._labeled: int | None = None  # the query whose target is known
        self._square: np.ndarray | None = None
        self._turns: list[Turn] = []
        self._picture = text_box("picture", "260px", placeholder="name of an image, or a file", continuous_update=False)
        self.drop = PictureDrop()
        self._text = ipywidgets.Text(
            description="change it:",
            layout=ipywidgets.Layout(width="640px"),
            placeholder="type a modification, such as: is red and has longer sleeves",
            style={"description_width": "initial"},
        )
        self._folder = text_box(
            "your folder of images", "420px", placeholder="path; searched instead of the dataset", continuous_update=False
        )
        self._progress = ipywidgets.IntProgress(layout=ipywidgets.Layout(width="200px", display="none"))
        self._again = ipywidgets.Button(
            description="start over", tooltip="forget the dialogue; back to the query", layout=ipywidgets.Layout(width="110px")
        )
        self.broken = ipywidgets.HTML()
        self.children = [
            row(self._number, self._picture, self.drop),
            row(self._text, self._again),
            row(self._folder, self._progress, self._beside),
            self.broken,
            self.message,
            self.drawing,
        ]
        self._start(query)
        if folder:
            self.search_folder(folder)
        if text is not None:
            self.type(text)
        self.query = query
        self.redraw()
        self.hear(self._number, self.show_query)
        self.hear(self._text, self.type)
        self.hear(self._picture, self.choose)
        self.hear(self._folder, self.search_folder)
        self.on_click(self._again, self.start_over)
        self.drop.on_msg(self._dropped)
        self.hear(self, self.show_query, "query")

    # --- what a person can do -----------------------------------------------------------------------------------------

    @checked
    def show_query(self, query: int) -> None:
        """Show a query of the split, by its number; a new dialogue begins. ConfigError outside the split."""
        self.check_query(query)
        self._start(query)
        self.redraw()

    @checked
    def type(self, text: str) -> None:
        """Change the text of the shown query and search again; the dialogue's earlier turns stay.

        ConfigError for a text without words; "" searches with the picture alone.
        """
        if text.strip() and not tokenize(text):
            raise ConfigError("expected words of letters or digits, found none that the model can read; the results before stay")
        self._turns[-1] = self._turn(text)
        self._show_text(text)
        self.say(cut_short([text]) if tokenize(text) else "no text: the picture alone is the query")
        self.redraw()

    @checked
    def choose(self, what: str | Path) -> None:
        """Use an image of the gallery, by its name, or a file as the reference; a new dialogue begins. DataError for neither."""
        what = str(what).strip()
        if not what:
            return
        names = self._names()
        if what in names:
            self._begin(names[what], None)
        elif (file := typed_path(what)).is_file():
            return self.take(square(file, 320), file.name)
        else:
            raise DataError(
                f"{what[:200]}: no image of that name among {len(names):,}, and no such file; the picture before stays"
            )
        self.redraw()

    @checked
    def take(self, picture: np.ndarray, name: str = "your own picture") -> None:
        """Use any picture, uint8 (H, W, 3), as the reference; a new dialogue begins. ConfigError for another array."""
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
            raise ConfigError(f"take: expected a picture uint8 (H, W, 3), found {picture.dtype} {picture.shape}; see `choose`")
        self._source, self._labeled, self._square = None, None, to_square(picture, 320)
        self._name = name
        self._turns = [self._turn("")]
        self._show_text("")
        self.say(f"{name}: type how it should change")
        self.redraw()

    @checked
    def refine(self, image: int) -> None:
        """Go on from a result, by its number in the gallery: it becomes the reference of the next turn, whose text is empty.

        ConfigError for a number that no image of the gallery has.
        """
        if not 0 <= image < self._images():
            raise ConfigError(f"expected an image from 0 to {self._images() - 1:,}, found {image}")
        self._labeled, self._source, self._square = None, image, None
        self._turns.append(self._turn(""))
        self._show_text("")
        self.say("type how this image should change; earlier turns are above the results")
        self.redraw()

    @checked
    def show_turn(self, number: int) -> None:
        """Show an earlier turn of the dialogue, by its number from 0. ConfigError where there is none."""
        if not 0 <= number < len(self._turns):
            raise ConfigError(f"expected a turn from 0 to {len(self._turns) - 1}, found {number}")
        self.state = replace(self.state, turn=number)
        self.drawing.show(self.svg())

    def start_over(self) -> None:
        """Forget the dialogue, and go back to the query."""
        self.show_query(self._number.value)

    @checked
    def search_folder(self, folder: str | Path) -> None:
        """Search a folder of your own images, embedded once and kept on disk. "" goes back to the dataset."""
        if not str(folder).strip():
            self.start_over()
            return
        self._progress.layout.display = None
        try:
            found = {}
            for model in self.models:
                found[model.name] = open_folder(
                    typed_path(str(folder)),
                    model.model,
                    pixels=model.run.config.data.pixels,
                    name=model.name,
                    progress=self._progressed,
                )
        finally:
            self._progress.layout.display = "none"
        self.galleries = found
        self._pictures.clear()
        one = next(iter(found.values()))
        self._show_broken(one)
        self._labeled, self._source, self._square, self._turns = None, 0, None, []
        self._turns = [self._turn("")]
        self._show_text("")
        self.put(self._folder, str(folder))
        self.say(f"{one.title}: {one.summary}")
        self.redraw()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _start(self, query: int) -> None:
        self.galleries = {}
        self.broken.value = ""
        shown = self.models[0].split.queries[query]
        self._begin(shown.source, query, for_people(join(shown.texts)))
        self.put(self._number, query)
        self.put(self, query, "query")

    def _begin(self, image: int, query: int | None, text: str = "") -> None:
        self._source, self._labeled, self._square = image, query, None
        self._turns = [self._turn(text)]
        self._show_text(text)
        self.say("" if text else "type how this image should change")

    def _dropped(self, _: Any, content: Any, buffers: list[Any]) -> None:
        with self.errors_as_messages():
            name = str(content.get("name", "picture"))
            if content.get("act") == "refused":
                raise DataError(
                    f"{name}: cannot be read as an image ({int(content.get('size', 0)):,} bytes); the picture before stays"
                )
            self.take(whole_square(name, 320, bytes(buffers[0])), name)

    def _turn(self, text: str) -> Turn:
        return Turn(
            self._shown_picture(), self._shown_name(), text.strip(), tuple(self._found(model, text) for model in self.models)
        )

    def _shown_picture(self) -> np.ndarray:
        if self._square is not None:
            return to_square(self._square, 170)
        return self._picture_of(self._source, 170)

    def _shown_name(self) -> str:
        if self._square is not None:
            return self._name
        one = next(iter(self.galleries.values()), None)
        return one.names[self._source] if one is not None else self.models[0].split.images[self._source].id

    def _found(self, model: Session, text: str) -> Found:
        gallery = self.galleries.get(model.name)
        if self._square is not None:
            image: int | np.ndarray = model.square(self._square)
        elif gallery is not None:
            image = gallery.picture(self._source, model.pixels.size)
        else:
            image = self._source
        look = model.look(image, from_people(text), attention=False)
        if gallery is not None:
            hits = gallery.search(look.vector, self.k + 1)
            relevant = np.zeros(len(hits.images), bool)
            rank, names = None, gallery.names
        else:
            labeled = (
                self._labeled
                if self._labeled is not None and from_people(text).strip() == model.text_of(self._labeled).strip()
                else None
            )
            among = model.candidates(self._labeled) if self._labeled is not None else model.candidates()
            if self._source is not None:
                among[self._source] = True  # shown faintly, not ranked
            hits = model.search(look.vector, self.k + 1, among)
            relevant = model.is_relevant(hits.images, labeled) if labeled is not None else np.zeros(len(hits.images), bool)
            rank = model.rank_of(look.vector, labeled) if labeled is not None else None
            names = model.split.images
        results = []
        self._fetch(hits.images.tolist(), SHOWN)
        for image_found, score, is_relevant in zip(hits.images.tolist(), hits.scores.tolist(), relevant.tolist(), strict=True):
            source = image_found == self._source and self._square is None
            name = names[image_found] if gallery is not None else names[image_found].id
            results.append(
                Result(image_found, name, score, self._picture_of(image_found, SHOWN), is_relevant and not source, source)
            )
        ranked = [r for r in results if not r.source][: self.k]
        last = results.index(ranked[-1]) if ranked else 0
        return Found(model.name, tuple(results[: last + 1]), rank, look.unknown)

    def _picture_of(self, image: int, pixels: int) -> np.ndarray:
        self._fetch([image], pixels)
        return self._pictures[pixels, image]

    def _fetch(self, images: Sequence[int], pixels: int) -> None:
        def make(keys: list[tuple[int, int]]) -> list[np.ndarray]:
            missing = [image for _, image in keys]
            one = next(iter(self.galleries.values()), None)
            return self.models[0].pictures(missing, pixels) if one is None else one.pictures(missing, pixels)

        self._pictures.fetch([(pixels, image) for image in images], make)

    def _names(self) -> dict[str, int]:
        one = next(iter(self.galleries.values()), None)
        names = one.names if one is not None else [image.id for image in self.models[0].split.images]
        return {name: i for i, name in enumerate(names)}

    def _images(self) -> int:
        return len(next(iter(self.galleries.values()), self.models[0].split.images))

    def _candidates(self) -> int:
        return self._images() if self.galleries else int(self.models[0].candidates(self._labeled).sum())

    def _progressed(self, done: int, total: int) -> None:
        self._progress.max, self._progress.value = max(total, 1), done

    def _show_broken(self, gallery: FolderGallery) -> None:
        count, listed = len(gallery.broken), gallery.broken[:200]
        rows = "".join(f"<li>{escaped(name)}: {escaped(why)}</li>" for name, why in listed)
        rows += f"<li>and {count - len(listed):,} more</li>" if count > len(listed) else ""
        what = counted(count, "broken image")
        self.broken.value = f"<details><summary>{what}</summary><ul>{rows}</ul></details>" if rows else ""

    def _show_text(self, text: str) -> None:
        if self._text.value.strip() != text.strip():
            self.put(self._text, text)

    # --- what Explorer needs -----------------------------------------------------------------------------------------

    def search_again(self) -> None:
        if self.galleries:
            self.search_folder(self._folder.value)
        else:
            self.type(self._text.value)

    def redraw(self) -> None:
        one = next(iter(self.galleries.values()), None)
        where = (
            " and ".join(m.caption() for m in self.models)
            if one is None
            else f"{one.title}, {len(one):,} images; {self.models[0].name}"
        )
        self.state = RetrievalState(tuple(self._turns), where, self._candidates())
        super().redraw()

    def press(self, act: str, value: str) -> None:
        if act == "refine":
            self.refine(int(value))
        elif act == "turn":
            self.show_turn(int(value))

    def svg(self) -> str:
        return retrieval_svg(self.state)

    def html(self) -> str:
        return retrieval_page(self.state)

    def describe(self) -> str:
        return describe_retrieval(self.state)
