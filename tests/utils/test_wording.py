"""Words of messages."""

import pytest

from maaf_lab.errors import ConfigError, RunError
from maaf_lab.experiments.executors import get_executor
from maaf_lab.experiments.runs import load_pretrained
from maaf_lab.paper.tables import row_configs
from maaf_lab.profiles import profile_config
from maaf_lab.utils.registry import IMAGE_ENCODERS
from maaf_lab.utils.wording import did_you_mean, first_names, printable


def test_the_closest_known_name():
    known = ["maaf", "two_stream", "tirg", "tirg_last_conv"]
    assert did_you_mean("maff", known) == ". Did you mean 'maaf'?"
    assert did_you_mean("TwoStream", known) == ". Did you mean 'two_stream'?", "in any case of its letters"
    assert did_you_mean("tirg_lastconv", known) == ". Did you mean 'tirg_last_conv'?"
    assert did_you_mean("bert", known) == did_you_mean("maaf", []) == did_you_mean(3, known) == ""


def test_messages_about_unknown_names_offer_it(smoke):
    for call, meant in (
        (lambda: IMAGE_ENCODERS["resnet_50"], "resnet50"),
        (lambda: smoke("maff"), "maaf"),
        (lambda: smoke(**{"modle.blocks": 1}), "model"),
        (lambda: smoke(**{"model.widht": 1}), "width"),
        (lambda: profile_config("smoek", "css"), "smoke"),
        (lambda: smoke(**{"model.name": "two_stream", "model.two_stream": "xxx_xmn"}), "xmm"),
        (lambda: row_configs("S1", "7x7+14x41", "smoke", "", [0]), "7x7+14x14"),
        (lambda: get_executor("rya"), "ray"),
        (lambda: load_pretrained("css-labtop"), "css-laptop"),
    ):
        with pytest.raises((ConfigError, RunError), match=rf"\. Did you mean '{meant.replace('+', '[+]')}'\?$"):
            call()


def test_what_steers_a_terminal_is_shown_as_an_escape():
    assert printable("a\x1b[31mb\r\x07\x9b2J\u202egnp.exe\udcff\n") == r"a\x1b[31mb\r\x07\x9b2J\u202egnp.exe\udcff\n"
    assert printable("Größe, 颜色, أطول, 👗‍ 50%\tof\nall", "\n\t") == "Größe, 颜色, أطول, 👗‍ 50%\tof\nall"
    assert first_names(["a\n", "b\x1b", "c", "d"]) == r"a\n, b\x1b, c, ..."
