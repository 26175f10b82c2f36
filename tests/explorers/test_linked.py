"""The three explorers, linked."""

from __future__ import annotations

from drawings import press, sound

import maaf_lab


def test_the_three_are_linked(css):
    lab = maaf_lab.explore("css-laptop", query=12)
    press(lab.modifications, "query", 77)
    assert lab.retrieval.query == lab.attention.query == 77 and "query 77 of" in lab.attention.state.caption
    lab.retrieval.control("query").value = 40
    assert lab.attention.query == 40 and css.text_of(40) in repr(lab)
    lab.show_query(12)
    assert lab.retrieval.query == lab.attention.query == lab.modifications.query == 12
    assert sound(lab.svg()) is not None and repr(lab).count("\n") == 2
