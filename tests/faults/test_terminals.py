"""Terminals: names and texts that would steer one, and terminals that show few characters."""

import json

from faults.battery import ERROR, TOLD, WORKS, faults

RED = "\x1b[31mred\x1b[0m"
NAMES = {
    "a color": RED,
    "a title": "\x1b]0;title\x07",
    "a bell": "\x07",
    "8-bit codes": "\x9b2J",
    "a line": "a\nb",
    "back": "a\rb",
}
NAMES |= {"turned around": "\u202egnp.exe", "in Chinese": "颜色", "in Arabic": "أطول", "an emoji": "👗", "spaces": "  "}


def broken_too(lab, name):
    lab.file(f"pictures/{name}.jpg", "no image")
    lab.picture(f"pictures/{name}.png")
    return lab.search()


def css_that_says(lab, text):
    folder = lab.css_copy()
    mark = json.loads((folder / "made.json").read_text())
    mark["origin"] += text
    (folder / "made.json").write_text(json.dumps(mark))
    return lab("check", "css", "--root", folder)


def css_without(lab):
    folder = lab.css_copy()
    (folder / "images" / "css_test_000007.png").rename(folder / "images" / f"{RED}.png")
    return lab("check", "css", "--root", folder)


@faults(
    *((f"search: {what}", WORKS, lambda lab, name=name: broken_too(lab, name)) for what, name in NAMES.items()),
    *((f"check: {what}", TOLD, lambda lab, name=name: css_that_says(lab, name)) for what, name in NAMES.items()),
    *((f"text: {what}", WORKS, lambda lab, name=name: lab.search("--text", f"is {name}")) for what, name in NAMES.items()),
    ("check: a strange picture", TOLD("css_test_000007.png"), css_without),
    *((f"unknown {what}", ERROR, lambda lab, name=name: lab("check", name, "--root", lab.css)) for what, name in NAMES.items()),
    *((f"--set {what}", ERROR, lambda lab, name=name: lab.train("--set", f"{name}=1")) for what, name in NAMES.items()),
)
def test_names_do_not_steer_a_terminal(fault, lab):
    fault(lab)


def words(lab):
    return {
        "search": (
            "search",
            "--image",
            lab.picture("颜色/é.png"),
            "--gallery",
            lab.folder,
            "--run",
            "css-laptop",
            "--text",
            "é 颜",
        ),
        "check": ("check", "css", "--root", lab.folder / "颜色"),
        "settings": ("settings", "maaf"),
        "help": ("train", "--help"),
        "an error": ("check", "颜色–…", "--root", lab.css),
    }


@faults(
    *(
        (
            f"{command} in {encoding}",
            TOLD if command != "an error" else ERROR,
            lambda lab, c=command, e=encoding: lab.terminal(e, *words(lab)[c]),
        )
        for command in ("search", "check", "settings", "help", "an error")
        for encoding in ("ascii", "latin-1", "cp1252", "cp437", "shift_jis")
    ),
    ("a child in ASCII", WORKS, lambda lab: lab.child("settings", PYTHONIOENCODING="ascii", LC_ALL="C", gigabytes=16)),
)
def test_terminals_that_show_few_characters(fault, lab):
    fault(lab)
