"""Each table of the paper as rows of settings: which systems, on which datasets, under which metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from maaf_lab.analysis.modification_types import MODIFICATION_TYPES
from maaf_lab.config import RunConfig
from maaf_lab.errors import ConfigError
from maaf_lab.profiles import profile_config
from maaf_lab.utils.wording import did_you_mean

# Table 4, top to bottom. Self(x) || Self(m) is written as two steps: they do not depend on one another.
TABLE_4 = {
    "Cross(x,t)": "xmm_xff",
    "Self(x), Cross(x,t)": "xxx_xmm_xff",
    "Cross(x,t) || Cross(t,x)": "xmm.mxx_xff",
    "Self(x) || Self(t), Cross(x,t), Cross(t,x)": "xxx_mmm_xmm_mxx_xff",
    "Self(x) || Self(t), Cross(t,x), Cross(x,t)": "xxx_mmm_mxx_xmm_xff",
    "Self(x) || Self(t), Cross(x,t) || Cross(t,x)": "xxx_mmm_xmm.mxx_xff",
}


@dataclass(frozen=True)
class Row:
    """A line of a table. paper: its name in the paper's table, None where that table has no such row.

    changes: its settings; None where the row shows only the paper's number (`note` says why). small: further settings in the
    profiles that learn from synthetic data.
    """

    label: str
    paper: str | None
    changes: dict[str, Any] | None
    note: str = ""
    small: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A column of a table. metric: the run's metric (see `metrics.recalls`) on `dataset`."""

    label: str
    metric: str
    dataset: str


@dataclass(frozen=True)
class Comparison:
    """A statement of the paper about a table's rows: `better` over `worse`, means over the rows of each side.

    margin: 0 for "is better"; else the statement is that the two differ by less than so many points.
    """

    statement: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    margin: float = 0.0


@dataclass(frozen=True)
class Table:
    """A results table of the paper: its columns and rows in order. standard: the row that the others are compared with.

    by_type: its columns are modification types of one dataset's queries (Table S4; see `analysis.modification_types`).
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    standard: str
    comparisons: tuple[Comparison, ...] = ()
    by_type: bool = False

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column.dataset for column in self.columns))

    def row(self, label: str) -> Row:
        for row in self.rows:
            if row.label == label:
                return row
        labels = [row.label for row in self.rows]
        raise ConfigError(f"table {self.key} has no row {label!r}; rows: {', '.join(labels)}{did_you_mean(label, labels)}")


def _row(label: str, changes: dict[str, Any] | None, note: str = "", small: dict[str, Any] | None = None) -> Row:
    """A row that the paper's table calls the same."""
    return Row(label, label, changes, note, small or {})


def _system(label: str, name: str) -> Row:
    return _row(label, {"model.name": name})


_SIX = {
    f"{name} R{k}": f"R{k} {key}"
    for name, key in (("Dresses", "dress"), ("Tops&Tees", "toptee"), ("Shirts", "shirt"))
    for k in (10, 50)
}
_MEAN = {"(R10+R50)/2": "mean"}
_MEANS = {"Mean R10": "R10", "Mean R50": "R50"}


def _columns(dataset: str, metrics: dict[str, str]) -> tuple[Column, ...]:
    return tuple(Column(label, metric, dataset) for label, metric in metrics.items())


_MAAF = {"model.name": "maaf"}
_RELATIONSHIP = _row(
    "Relationship",
    {"model.name": "relationship"},
    "synthetic data: its networks are 64 wide instead of 256; 2,401 pairs of places a picture take their time; at a smaller rate",
    {"model.feedforward": 64, "train.learning_rate": 0.01},
)
_SHOW_AND_TELL = _row(
    "Show and Tell",
    {"model.name": "show_and_tell"},
    "synthetic data: at a smaller rate, without which it learns nothing",
    {"train.learning_rate": 0.02},
)
_STANDARD = _row("MAAF", _MAAF)
_BASELINES = tuple(
    Row(label, None, {"model.name": name}, "a baseline of Table 6, shown here too")
    for label, name in (("Image only", "image_only"), ("Text only", "text_only"))
)
_OVER_TIRG = Comparison("MAAF over TIRG", ("MAAF",), ("TIRG",))
_OVER_BASELINES = Comparison("TIRG over image only and text only", ("TIRG",), ("Image only", "Text only"))


def _switches() -> tuple[Row, ...]:
    """Table 2's rows: which of RP, ITA and IT are on."""
    names = {"RP": "resolutionwise_pooling", "ITA": "image_through_attention", "IT": "include_text"}
    rows = []
    for on in ((), ("IT",), ("ITA",), ("ITA", "IT"), ("RP",), ("RP", "IT"), ("RP", "ITA"), ("RP", "ITA", "IT")):
        label = "+".join(on) or "none"
        rows.append(_row(label, {**_MAAF, **{f"model.{names[n]}": n in on for n in names}}))
    return tuple(rows)


def _with(*switches: str) -> tuple[str, ...]:
    return tuple(row.label for row in _switches() if set(switches) <= set(row.label.split("+")))


def _without(switch: str) -> tuple[str, ...]:
    return tuple(row.label for row in _switches() if switch not in row.label.split("+"))


_GLOVE = {"model.word_vectors": "glove", "model.freeze_text": True}
_SLOW = "text model at the image model's smaller rate"
_MINILM = {"model.bert": "minilm"}
_BERT_NOTE = "synthetic data: the packaged MiniLM encoder (6 layers, 384 wide), not bert-base-uncased"
_HALF = {"train.learning_rate": 0.005, "train.image_learning_rate": 0.0005}


def _two_stream() -> tuple[Row, ...]:
    rows = []
    for label, operations in TABLE_4.items():
        unstable = operations == "xxx_mmm_xmm_mxx_xff"
        changes = {"model.name": "two_stream", "model.two_stream": operations, **(_HALF if unstable else {})}
        note = "at half the rates: the paper found it unstable (section S1.1)" if unstable else ""
        small = {"train.learning_rate": 0.01} if unstable else {}
        rows.append(_row(label, changes, note, small))
    return tuple(rows)


_TEXTS = (
    _row("Embedding Layer", {"model.text_encoder": "embedding"}),
    _row("Linear Layer with GLOVE", {"model.text_encoder": "linear", **_GLOVE}),
    _row(
        "Linear Layer with GLOVE*",
        {"model.text_encoder": "linear", **_GLOVE, "train.text_learning_rate": 0.001},
        _SLOW,
        {"train.text_learning_rate": 0.002},
    ),
    _row("LSTM", _MAAF, "the paper's row is one run; its other tables give 36.6 ± 0.4 for this model"),
    _row("LSTM with GLOVE", {"model.text_encoder": "lstm", **_GLOVE}),
    _row("Transformer", {"model.text_encoder": "transformer"}),
    _row("Transformer with GLOVE", {"model.text_encoder": "transformer", **_GLOVE}),
    _row("BERT", {"model.text_encoder": "bert"}, _BERT_NOTE, _MINILM),
    _row("BERT (frozen)", {"model.text_encoder": "bert", "model.freeze_text": True}, _BERT_NOTE, _MINILM),
)

_AD = "reported number only: trained with text that is not public"

_TABLES = (
    Table(
        "1",
        "CSS, recall at 1",
        (Column("R1", "R1", "css"),),
        (
            *_BASELINES,
            _SHOW_AND_TELL,
            _system("Parameter hashing", "parameter_hashing"),
            _RELATIONSHIP,
            _system("FiLM", "film"),
            _system("TIRG", "tirg"),
            _system("Locally Bounded Features", "locally_bounded"),
            _row("MAAF", {"model.name": "maaf", "model.attention": "identity"}, "f = identity (section 3.1)"),
        ),
        "MAAF",
        (_OVER_TIRG, _OVER_BASELINES, Comparison("MAAF over Locally Bounded Features", ("MAAF",), ("Locally Bounded Features",))),
    ),
    Table(
        "2",
        "Fashion IQ, MAAF's ablations",
        _columns("fashion_iq", {**_SIX, **_MEAN}),
        _switches(),
        "RP+ITA+IT",
        (
            Comparison("ITA over no ITA", _with("ITA"), _without("ITA")),
            Comparison("RP changes little (less than 1 point)", _with("RP"), _without("RP"), 1.0),
            Comparison("IT changes little (less than 1 point)", _with("IT"), _without("IT"), 1.0),
        ),
    ),
    Table(
        "3",
        "Fashion IQ, comparison with other systems",
        _columns("fashion_iq", _MEAN),
        (
            *_BASELINES,
            _system("TIRG", "tirg"),
            _system("VAL", "val"),
            _STANDARD,
            _row("Designovel", None, _AD),
            _row("Designovel+augmentation", None, _AD),
        ),
        "MAAF",
        (_OVER_TIRG, Comparison("MAAF over VAL", ("MAAF",), ("VAL",)), _OVER_BASELINES),
    ),
    Table(
        "4",
        "Fashion IQ, one stream and two streams",
        _columns("fashion_iq", _MEAN),
        (*_two_stream(), _STANDARD),
        "MAAF",
        (
            Comparison("One stream (MAAF) over the best of two streams in the paper", ("MAAF",), ("Self(x), Cross(x,t)",)),
            Comparison("One stream (MAAF) over two streams, all six", ("MAAF",), tuple(TABLE_4)),
        ),
    ),
    Table(
        "5",
        "Fashion IQ, text models",
        _columns("fashion_iq", {**_SIX, **_MEANS, **_MEAN}),
        _TEXTS,
        "LSTM",
        (
            Comparison("LSTM over embeddings", ("LSTM",), ("Embedding Layer",)),
            Comparison("LSTM over a transformer", ("LSTM",), ("Transformer",)),
            Comparison("LSTM over BERT, trained or frozen", ("LSTM",), ("BERT", "BERT (frozen)")),
            Comparison("BERT frozen over BERT trained", ("BERT (frozen)",), ("BERT",)),
        ),
    ),
    Table(
        "6",
        "Birds-to-Words and Spot-the-Diff",
        tuple(
            Column(f"{name} R{k}", f"R{k}", key)
            for name, key in (("Birds-to-Words", "birds_to_words"), ("Spot-the-Diff", "spot_the_diff"))
            for k in (10, 50)
        ),
        (_system("Image only", "image_only"), _system("Text only", "text_only"), _system("TIRG", "tirg"), _STANDARD),
        "MAAF",
        (_OVER_TIRG, _OVER_BASELINES),
    ),
    Table(
        "7",
        "Fashion200k, recall at 1",
        (Column("R1", "R1", "fashion200k"),),
        (
            _row("Han et al.", None, "reported number only: the dataset's own system, ranked otherwise"),
            _system("Show and Tell", "show_and_tell"),
            _system("FiLM", "film"),
            _system("Parameter hashing", "parameter_hashing"),
            _system("Relationship", "relationship"),
            _system("TIRG", "tirg"),
            _system("Locally Bounded Features", "locally_bounded"),
            _system("VAL", "val"),
            _STANDARD,
        ),
        "MAAF",
        (_OVER_TIRG, Comparison("VAL over MAAF", ("VAL",), ("MAAF",))),
    ),
    Table(
        "S1",
        "Fashion IQ, with and without the 14x14 tokens",
        _columns("fashion_iq", {**_SIX, **_MEAN}),
        (_row("7x7", {**_MAAF, "model.resolutions": [7]}), _row("7x7+14x14", {**_MAAF, "model.resolutions": [7, 14]})),
        "7x7+14x14",
        (Comparison("Both resolutions over 7x7 alone", ("7x7+14x14",), ("7x7",)),),
    ),
    Table(
        "S2",
        "Fashion IQ, width of the feed-forward layers",
        _columns("fashion_iq", {**_SIX, **_MEAN}),
        tuple(_row(str(width), {**_MAAF, "model.feedforward": width}) for width in (64, 128, 256, 512)),
        "256",
        (Comparison("The width changes little (less than 1 point)", ("256",), ("64", "128", "512"), 1.0),),
    ),
    Table(
        "S3",
        "Fashion IQ, number of attention blocks",
        _columns("fashion_iq", {**_SIX, **_MEAN}),
        tuple(_row(str(blocks), {**_MAAF, "model.blocks": blocks}) for blocks in (1, 2, 3, 4)),
        "2",
        (Comparison("Two blocks over four", ("2",), ("4",)),),
    ),
    Table(
        "S4",
        "Fashion IQ by modification type, mean of R10 and R50",
        tuple(Column(name, name, "fashion_iq") for name in ("all", *MODIFICATION_TYPES)),
        (_STANDARD, _system("TIRG", "tirg")),
        "MAAF",
        (_OVER_TIRG,),
        by_type=True,
    ),
    Table(
        "S5",
        "MIT-States",
        tuple(Column(f"R{k}", f"R{k}", "mit_states") for k in (1, 5, 10)),
        (
            _system("Show and Tell", "show_and_tell"),
            _system("Attributes as Operators", "attributes_as_operators"),
            _system("FiLM", "film"),
            _system("TIRG", "tirg"),
            _system("Relationship", "relationship"),
            _system("Locally Bounded Features", "locally_bounded"),
            _STANDARD,
        ),
        "MAAF",
        (_OVER_TIRG, Comparison("Locally Bounded Features over MAAF", ("Locally Bounded Features",), ("MAAF",))),
    ),
)
TABLES: dict[str, Table] = {table.key: table for table in _TABLES}


def table(key: str | int | Table) -> Table:
    """The table of that number ("1" ... "S5", or "table1" ...), or a table as it is. Unknown keys list the known ones."""
    if isinstance(key, Table):
        return key
    name = str(key).strip().upper().removeprefix("TABLE").strip()
    if name not in TABLES:
        raise ConfigError(f"no table {key!r} in the lab; known: {', '.join(TABLES)}")
    return TABLES[name]


def different_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """The seeds of a row's runs. Raises ConfigError for none, and for one that stands there twice: it is one run."""
    seeds = tuple(map(int, seeds))
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds: expected at least one, each once, found {', '.join(map(str, seeds)) or 'none'}")
    return seeds


def row_configs(
    key: str | int, label: str, profile: str, origin: str, seeds: Iterable[int], dataset: str | None = None, **changes: Any
) -> list[RunConfig]:
    """The settings of one row, a run for each seed; none where the row shows only the paper's number.

    dataset: one of the table's; None for its first. changes: dotted settings on top of the profile's and the row's.
    """
    chosen, row, seeds = table(key), table(key).row(label), different_seeds(seeds)
    if row.changes is None:
        return []
    small = {} if profile == "paper" else row.small
    base = {**row.changes, **small, "data.origin": origin, **changes}
    return [profile_config(profile, dataset or chosen.datasets[0], **base, **{"train.seed": seed}) for seed in seeds]
