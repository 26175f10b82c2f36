"""Far too long texts and names, typed into the explorers."""

import html
from functools import cache

import pytest
from faults.battery import ERROR, faults, within_limits

import maaf_lab
from maaf_lab.errors import LabError

TEXTS = {
    "10,000 words": "red cube small sphere " * 2500,
    "a word of 100,000 letters": "make red " + "x" * 100_000,
    "100,000 Chinese characters": "red " + "\u4e2d" * 100_000,
    "100,000 accents": "red " + "a\u0301" * 50_000,
}


@cache
def explorer(kind):
    return getattr(maaf_lab, f"explore_{kind}")("css-laptop")


@pytest.mark.parametrize("kind", ["attention", "retrieval"])
@pytest.mark.parametrize("what", TEXTS)
def test_a_text_of_any_length_can_be_typed(kind, what):
    open_one, text = explorer(kind), TEXTS[what]
    with within_limits(seconds=10, gigabytes=1.5):
        open_one.type(text)
        assert len(open_one.svg()) < 1_000_000 and len(repr(open_one)) < 3000
        assert ("longer than 512 words: the first 512 are read" in open_one.message.value) == (
            "words" in what or "Chinese" in what
        )
        if "letters" in what:
            assert "…" in open_one.svg()


def box(kind, label):
    def how(text):
        def typed(lab):
            one = explorer(kind)
            one.say("")
            one.control(label).value = text
            assert len(one.message.value) < 2000
            raise LabError(html.unescape(one.message.value))

        return typed

    return how


LONG, ABSENT = "x/" * 5000, "~nobody-of-this-name/picture.png"


@faults(
    ("a picture of 10,000 letters", ERROR("longer than 1,000 bytes"), box("retrieval", "picture")(LONG)),
    ("a folder of 10,000 letters", ERROR("longer than 1,000 bytes"), box("retrieval", "your folder of images")(LONG)),
    ("a picture in the home of nobody", ERROR("no such file"), box("retrieval", "picture")(ABSENT)),
    ("a picture of a zero byte", ERROR("expected the path"), box("retrieval", "picture")("a\0b")),
    ("a run of 10,000 letters", ERROR("longer than 1,000 bytes"), box("retrieval", "beside it")(LONG)),
    ("10,000 letters to look for", ERROR("no query"), box("attention", "with the words")("x" * 10_000)),
)
def test_what_is_typed_is_told_in_a_message(fault, lab):
    fault(lab)
