"""What is said of a table's differences: more than chance, or not."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fake_runs import FakeRun, apart

from maaf_lab.analysis.by_modification import by_modification_type, modification_counts
from maaf_lab.analysis.modification_types import MODIFICATION_TYPES
from maaf_lab.data.cache import pixel_cache
from maaf_lab.data.registry import load
from maaf_lab.experiments.runs import Run
from maaf_lab.experiments.train import evaluate, train_and_evaluate
from maaf_lab.models.checkpoints import load_earlier
from maaf_lab.paper.table_results import comparisons_frame, judged, rise, statements_frame
from maaf_lab.paper.tables import Comparison, table
from maaf_lab.plots.tables import comparisons_text, learning, statements_text, table_text
from maaf_lab.retrieval.embed import embed_split
from maaf_lab.retrieval.gallery import rank
from maaf_lab.retrieval.metrics import Estimate, paired_p, recalls


def saying(*comparisons):
    """Table 1 with TIRG as its standard row and other statements."""
    return replace(table("1"), standard="TIRG", comparisons=comparisons)


def test_verdicts():
    good, middle, poor = (FakeRun([1] * n + [9] * (200 - n)) for n in (150, 100, 20))
    almost = FakeRun([9] * 98 + [1] * 102)
    made_up = saying(
        Comparison("a", ("MAAF",), ("TIRG", "Image only")),
        Comparison("b", ("Image only",), ("TIRG",)),
        Comparison("c", ("FiLM",), ("TIRG",)),
        Comparison("d", ("MAAF",), ("Relationship",)),
        Comparison("e", ("FiLM",), ("TIRG",), margin=60.0),
        Comparison("f", ("MAAF",), ("TIRG",), margin=5.0),
    )
    runs = {"MAAF": [good], "TIRG": [middle], "Image only": [poor], "FiLM": [almost]}
    found = statements_frame(made_up, runs).set_index("statement")
    assert found["verdict"].to_dict() == {
        "a": "holds",
        "b": "does not hold",
        "c": "undecided",
        "d": "not run",
        "e": "holds",
        "f": "does not hold",
    }
    assert found.loc["a", "gained"] == 25.0, "against the strongest of the other side"
    against = comparisons_frame(made_up, runs).set_index("row")
    assert against["verdict"].to_dict() == {"MAAF": "more", "Image only": "less", "FiLM": "undecided"}
    assert (against["against"] == "TIRG").all()
    text = statements_text(statements_frame(made_up, runs))
    assert "holds" in text and "+25.0 [" in text and "not run" in text and "95%, Holm over the 5 statements of this table" in text
    assert "Holm over the 3 rows above" in comparisons_text(comparisons_frame(made_up, runs))


def test_several_seeds_are_said_and_only_those_that_all_rows_have():
    def row(*hits, first=0):
        return [FakeRun([1] * n + [9] * (200 - n), seed=first + i) for i, n in enumerate(hits)]

    over = saying(Comparison("a", ("MAAF",), ("TIRG",)), Comparison("b", ("MAAF",), ("FiLM", "TIRG"), margin=90.0))
    runs = {"MAAF": row(150, 130, 140), "TIRG": row(60, 50), "FiLM": row(40, first=1)}
    found = statements_frame(over, runs).set_index("statement")
    assert found.loc["a", "gained"] == pytest.approx(42.5) and found["seeds"].tolist() == [3, 3]
    assert statements_text(statements_frame(over, runs)).endswith("interval over queries and seeds.")
    text = comparisons_text(comparisons_frame(over, {name: runs[name][:1] for name in ("MAAF", "TIRG")}))
    assert text.endswith("interval over queries.") and "seeds" not in text
    switch = saying(Comparison("c", ("MAAF", "TIRG"), ("FiLM",)), Comparison("d", ("TIRG", "FiLM"), ("MAAF",)))
    found = statements_frame(switch, {**runs, "TIRG": runs["TIRG"][:1]}).set_index("statement")
    assert found.loc["c", "gained"] == pytest.approx(100 * ((150 + 60) / 2 - 40) / 200), "of the one seed that both rows have"
    assert found.loc["d", "verdict"] == "not run", "these rows have no seed in common"


def test_a_verdict_that_holds_alone_is_undecided_among_many():
    """One ordering with p about 0.02 holds; beside nine others that show nothing, one such was to be expected."""
    first, second = apart(70, 45)
    runs = {"MAAF": first, "TIRG": second, "FiLM": second}
    one, none = Comparison("one", ("MAAF",), ("TIRG",)), Comparison("none", ("TIRG",), ("FiLM",))

    def of(*comparisons):
        return statements_frame(saying(*comparisons), runs)

    alone, among = of(one).iloc[0], of(one, *[none] * 9).iloc[0]
    assert alone["p"] == among["p"] == alone["p_holm"] and 0.005 < alone["p"] < 0.05
    assert alone["verdict"] == "holds" and among["verdict"] == "undecided" and among["p_holm"] == pytest.approx(10 * alone["p"])
    assert (alone["gained"], alone["low"], alone["high"]) == (among["gained"], among["low"], among["high"])
    assert judged(pd.concat([of(one), of(*[none] * 9)], ignore_index=True))["verdict"][0] == "undecided", "over all tables"
    assert of(one, Comparison("d", ("MAAF",), ("Relationship",)))["verdict"].tolist() == ["holds", "not run"], "what ran counts"


def test_many_rows_are_corrected_too():
    """A row that gains as chance would let one of nine gain is "more" alone and undecided among them."""
    first, second = apart(70, 45)
    others = [row.label for row in table("1").rows if row.label not in ("MAAF", "TIRG")]
    alone = comparisons_frame("1", {"MAAF": second, "TIRG": first})
    among = comparisons_frame("1", {"MAAF": second, "TIRG": first} | {label: second for label in others})
    assert alone["verdict"].tolist() == ["more"] and set(among["verdict"]) == {"undecided"}


def test_a_statement_about_several_rows_needs_each_and_is_refuted_by_one():
    first, second = apart(70, 45)
    runs = {"MAAF": first, "Image only": second, "Text only": [FakeRun([99] * 1000)]}
    both = saying(Comparison("over both", ("MAAF",), ("Image only", "Text only")))
    each = statements_frame(both, runs).iloc[0]
    larger = paired_p([[first[0].rankings]], [[second[0].rankings]], (1,))
    assert each["verdict"] == "holds" and each["p"] == larger
    refuted = statements_frame(both, {**runs, "MAAF": second, "Image only": first}).iloc[0]
    twice = 2 * paired_p([[second[0].rankings]], [[first[0].rankings]], (1,))
    assert refuted["verdict"] == "does not hold" and refuted["p"] == pytest.approx(twice), "one of two: p counts twice"


def test_a_switch_compares_means_of_rows():
    """Table 2: rows that have ITA against rows that do not, query by query."""
    rows = {row.label: [FakeRun([1] * 60 + [99] * 40 if "ITA" in row.label else [1] * 30 + [99] * 70)] for row in table("2").rows}
    found = statements_frame("2", rows).set_index("statement")
    assert found.loc["ITA over no ITA", "gained"] == pytest.approx(30) and found.loc["ITA over no ITA", "verdict"] == "holds"
    assert found.loc["IT changes little (less than 1 point)", "verdict"] == "holds"


def test_one_among_several_that_change_little():
    """Table S2: 3 points up for one width and 3 down for another are no "little" because they cancel."""

    def runs(**hits):
        return {width: [FakeRun([1] * n + [99] * (1000 - n))] for width, n in hits.items()}

    def said(found):
        return statements_frame("S2", found).iloc[0]

    apart = said(runs(**{"64": 300, "128": 300, "256": 330, "512": 420}))
    assert apart["verdict"] == "does not hold" and apart["gained"] == pytest.approx(-9), "the largest difference is shown"
    assert said(runs(**{"64": 330, "128": 331, "256": 330, "512": 331}))["verdict"] == "holds"
    assert said(runs(**{"64": 330, "128": 330, "256": 330, "512": 340}))["verdict"] == "undecided"


def test_table_s4_is_recall_by_type():
    texts = ["is blue", "longer sleeves", "is blue with stripes", "nicer"]
    maaf, tirg = FakeRun([1, 20, 60, 3], texts), FakeRun([60, 20, 60, 60], texts)
    found = by_modification_type([maaf], ("all", "color", "texture", "type"))
    assert {kind: e.value for kind, e in found.items()} == {"all": 62.5, "color": 50.0, "texture": 0.0}
    assert all(isinstance(e, Estimate) for e in found.values())
    assert modification_counts(maaf, ("all", *MODIFICATION_TYPES)) == {
        "all": 4,
        "color": 2,
        "texture": 1,
        "shape": 1,
        "parts": 1,
        "type": 0,
    }
    assert by_modification_type([maaf, tirg], ("color",))["color"].value == 25.0
    assert statements_frame("S4", {"MAAF": [maaf], "TIRG": [tirg]})["gained"].tolist() == [50.0]


def test_a_row_that_still_learns_is_marked():
    def run(end, before, name="R1"):
        metrics = {"metrics": {name: {"value": end}}, "earlier": {"step": 9, "metrics": {name: before}}}
        return SimpleNamespace(metrics=metrics)

    runs = [run(50.0, 45.0), run(54.0, 49.0)]
    assert rise(runs, (1,)) == pytest.approx(100 * (52 / 47 - 1)) and rise([run(40.0, 50.0)], (1,)) == pytest.approx(-20)
    assert rise([run(60.0, 50.0, "mean")], (10, 50)) == pytest.approx(20), "Fashion IQ's one number"
    unknown = [*runs, SimpleNamespace(metrics={"metrics": {"R1": {"value": 3.0}}})]
    assert all(np.isnan(rise(some, (1,))) for some in ([], unknown, [run(50.0, 0.0)]))

    def said(here, risen):
        return learning(pd.DataFrame({"here": here, "rise": risen}))

    assert said([52.0], [10.6]) == "; still learning: +11 % in the last quarter"
    assert said([52.0], [2.9]) == said([52.0], [-20.0]) == said([52.0], [np.nan]) == said([np.nan], [np.nan]) == ""
    assert said([0.4], [60.0]) == "", "a fifth of a point is chance"


def test_the_weights_of_three_quarters_of_the_steps_are_ranked_too(tmp_path, smoke, tiny_css):
    config = smoke(**{"train.steps": 8, "train.checkpoint_every": 8})
    run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    found, model = run.metrics, run.load_model()
    assert found["earlier"]["step"] == 6 and set(found["earlier"]["metrics"]) == set(found["metrics"])
    assert load_earlier(run.folder, model) == 6
    split = load("css", tiny_css, "test")
    rankings = rank(*embed_split(model, split, pixel_cache(split, config.data.pixels), progress=False), split, progress=False)
    assert {k: round(one.value, 3) for k, one in recalls(rankings, (1, 5, 10, 50)).items()} == found["earlier"]["metrics"]
    again = Path(shutil.copytree(run.folder, tmp_path / "copy", ignore=lambda *_: ["state"]))
    assert evaluate(Run(again), tiny_css, progress=False).metrics["earlier"] == found["earlier"], "a copy keeps what was told"
    (again / "metrics.json").write_text("{", "utf-8")
    assert "earlier" not in evaluate(Run(again), tiny_css, progress=False).metrics
    damaged = run.folder / "state" / "earlier.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-8] + b"\0\0\0\0\0\0\1\1")
    assert load_earlier(run.folder, model) is None


def test_rows_from_the_records_are_marked_where_others_were_trained():
    def text(*recorded):
        names = ["TIRG", "MAAF", "Designovel"]
        rows = [
            {"row": name, "column": "R1", "here": 50.0, "low": 49.0, "high": 51.0, "spread": np.nan, "seeds": 1, "steps": 1200}
            | {"minutes": 2.0, "rise": 1.0, "paper": 60.0, "paper_std": np.nan, "status": "run", "note": "", "recorded": record}
            for name, record in zip(names[:2], recorded, strict=True)
        ]
        rows.append({**rows[0], "row": names[2], "here": np.nan, "seeds": 0, "status": "reported only", "recorded": False})
        return table_text(pd.DataFrame(rows), "caption").splitlines()

    assert [("records" in line) for line in text(True, False)[2:4]] == [True, False]
    assert "records" not in "".join(text(True, True) + text(False, False))
    assert text(True, True)[2].endswith("1 seed, 1,200 steps, 2.0 min")
