"""Explorers as HTML files."""

from __future__ import annotations

from maaf_lab.explorers.page.html import page
from maaf_lab.explorers.page.svg import document


def test_a_page_keeps_what_could_end_its_script():
    svg = document(10, 10, [], "x")
    made = page("t<", svg, "&", frames={"a:b": "</script><b>"})
    assert made.count("</script>") == 2 and "t&lt;" in made and "<\\/script>" in made
