"""Shared by the tests of the explorers: whether a drawing is sound, and what a browser sends to the kernel."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import ipywidgets

from maaf_lab.explorers.base import Explorer

SVG = "{http://www.w3.org/2000/svg}"


def from_browser(widget: ipywidgets.Widget, content: dict, buffers: list[bytes] | None = None) -> None:
    """What a widget's script sends to the kernel."""
    widget.comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": buffers or []})


def press(explorer: Explorer, act: str, value: object) -> None:
    """A part of the drawing is pressed in the browser."""
    from_browser(explorer.drawing, {"act": act, "value": str(value)})


def sound(svg: str) -> ElementTree.Element:
    """Well-formed, nothing fetched, no id twice, everything to press and every picture named."""
    root = ElementTree.fromstring(svg)
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids)), "an id twice"
    assert root.get("aria-label")
    for e in root.iter():
        if e.get("tabindex") is not None or e.tag == f"{SVG}image":
            assert e.get("aria-label") and e.get("role"), ElementTree.tostring(e)[:200]
    assert re.findall(r"https?://[^\"' ]*", svg) == ["http://www.w3.org/2000/svg"]
    return root
