"""The modification explorer without a browser: bars, filters, own types, an opened query."""

from __future__ import annotations

import pytest
from drawings import press, sound

from maaf_lab.errors import ConfigError
from maaf_lab.explorers.modifications.widget import ModificationExplorer


def test_modifications(rankings, garments):
    explorer = ModificationExplorer(rankings, garments)
    root = sound(explorer.svg())
    bars = [e.get("data-value") for e in root.iter() if e.get("data-act") == "type"]
    assert bars == ["all", "color", "texture", "shape", "parts", "type"]
    assert "all n = 6,000: 86.2" in repr(explorer)
    press(explorer, "type", "color")
    press(explorer, "sort", "best first")
    assert explorer.state.picked == "color" and explorer.state.lines[0].ranks[0] == 1
    first = [line.query for line in explorer.state.lines]
    press(explorer, "page", "on")
    assert [line.query for line in explorer.state.lines] != first and explorer.state.start == 6
    press(explorer, "page", "back")
    press(explorer, "page", "back")
    assert [line.query for line in explorer.state.lines] == first
    press(explorer, "sort", "sideways")
    assert "expected an order of" in explorer.message.value and explorer.state.sort == "best first"
    explorer.control("only with the words").value = "stripes"
    count = sum("stripes" in t for t in explorer.table.tokens)
    assert (
        explorer.state.recalls["all"][0] == count
        and "only with stripes" in repr(explorer)
        and f"{count} of 6,000" in explorer.message.value
    )
    shown = repr(explorer)
    explorer.control("only with the words").value = "unicorn"
    assert "no query fits" in explorer.message.value and repr(explorer) == shown
    explorer.control("only with the words").value = ""
    explorer.control("category").value = "dress"
    assert explorer.state.recalls["all"][0] == 2000
    explorer.control("words").value = (3, 5)
    assert "3 to 5 words" in repr(explorer)


def test_modification_types_in_code(rankings, garments):
    explorer = ModificationExplorer(rankings, garments, details=False)
    explorer.filter("stripes", category="dress", longest=8)
    labels = ("only with the words", "category", "words")
    assert [explorer.control(label).value for label in labels] == ["stripes", "dress", (0, 8)]
    explorer.filter()
    explorer.turn_page()
    assert explorer.state.start == 6
    explorer.turn_page(-2)
    assert explorer.state.start == 6, "there are none before the first"
    explorer.show_query(7)
    assert explorer.query == explorer.state.opened == 7 and explorer.retrieval is explorer.attention is None
    with pytest.raises(ConfigError, match="expected a query from 0 to 5,999, found 6000"):
        explorer.show_query(6000)


def test_types_are_edited_in_place(rankings, garments):
    explorer = ModificationExplorer(rankings, garments)
    explorer.pick("texture")
    shown = repr(explorer)
    explorer.control("types and their words").value = "color: red\nnonsense"
    assert "line 2" in explorer.message.value and repr(explorer) == shown
    explorer.edit("red things: red reds\nlong: long longer")
    assert list(explorer.state.recalls) == ["all", "red things", "long"] and explorer.state.picked == "all"
    assert "2 types, 4 words" in explorer.message.value
    assert explorer.state.recalls["red things"][0] == sum(bool({"red", "reds"} & t) for t in explorer.table.tokens)


def test_a_query_opens_its_retrievals_and_its_attention(rankings, garments):
    explorer = ModificationExplorer(rankings, garments)
    query = explorer.state.lines[2].query
    press(explorer, "query", query)
    retrieval, attention = explorer.retrieval, explorer.attention
    assert retrieval.query == attention.query == query and explorer.state.opened == query
    rank = garments.run.rankings.frame["rank"][query]
    assert retrieval.state.turns[0].found[0].rank == rank, "what the bar counted is what is shown"
    explorer.query = 5
    assert retrieval.query == attention.query == 5
    explorer.query = 10**9
    assert "expected a query" in explorer.message.value


def test_rankings_have_to_fit_the_split(css, garments):
    with pytest.raises(ConfigError, match="expected rankings of the queries of css test"):
        ModificationExplorer({"one": garments.run.rankings}, css)
