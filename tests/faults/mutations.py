"""Mutated and made-up files, for minutes each: the unpickler, the annotations of the six datasets, the square of an image.

Each runs in a process of its own, whose end by a signal is a crash. An input is a function of the seed and its number alone, so
that `again` shows one that was found:

    MAAF_LAB_HOME=/tmp/x PYTHONPATH=tests python -c "from faults.mutations import again; again('unpickler', seed, number)"
"""

from __future__ import annotations

import io
import json
import mmap
import os
import pickle
import random
import signal
import struct
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from faults.battery import LETTERS, Hang, within_limits
from faults.tally import HOME, note
from PIL import Image as PILImage

from maaf_lab.data.datasets.unpickle import loads_pickled_npy
from maaf_lab.data.images import damage, damage_inside, decode
from maaf_lab.data.registry import open_dataset
from maaf_lab.data.split import Split
from maaf_lab.data.text import Vocabulary
from maaf_lab.errors import LabError
from maaf_lab.retrieval.folder_gallery import square
from maaf_lab.synthetic.registry import make

Try = Callable[[random.Random], object]  # makes one input from chance and reads it; raises what the reader raises
STUCK = 60  # seconds after which a reader that no signal reaches is ended


# --- many inputs in a process of their own ----------------------------------------------------------------------------


def for_minutes(group: str, minutes: float, number: int) -> None:
    """Try inputs 0, 1, ... until the time is over, going on after each crash."""
    prepare, report = READERS[group], HOME / "findings.jsonl"
    end, counts = time.monotonic() + 60 * minutes, mmap.mmap(-1, 24)  # inputs that were begun, that worked, that were refused
    while time.monotonic() < end:
        if not (child := os.fork()):
            _work(group, end, number, prepare(), counts, report)
        begun, since = -1, time.monotonic()
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.1)
            if (now := _read(counts)[0]) != begun:
                begun, since = now, time.monotonic()
            elif time.monotonic() - since > STUCK:
                os.kill(child, signal.SIGKILL)
        if status := os.waitpid(child, 0)[1]:
            stuck = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            note(group, f"input {_read(counts)[0] - 1}", "hang" if stuck else "crash", f"wait status {status}")
    _, worked, refused = _read(counts)
    note(group, "", "worked", times=worked)
    note(group, "", "clear error", times=refused)
    for line in report.read_text().splitlines() if report.exists() else ():
        note(group, *json.loads(line))
    report.unlink(missing_ok=True)


def _read(counts: mmap.mmap) -> list[int]:
    return list(struct.unpack("<3q", counts[:]))


def _work(group: str, end: float, number: int, attempt: Try, counts: mmap.mmap, report: Path) -> None:
    """The child's part; it never returns."""
    warnings.simplefilter("ignore")
    begun, worked, refused = _read(counts)
    while time.monotonic() < end:
        chance = random.Random(f"{number}-{group}-{begun}")
        begun += 1
        counts[:] = struct.pack("<3q", begun, worked, refused)
        try:
            with within_limits():
                attempt(chance)
            worked += 1
        except LabError as error:
            refused += 1
            if len(str(error)) > LETTERS:
                _found(report, begun - 1, "wrong", f"a message of {len(str(error)):,} letters: {str(error)[:300]}")
        except (Hang, AssertionError) as limit:
            _found(report, begun - 1, "hang", traceback.format_exc() if isinstance(limit, Hang) else str(limit))
        except BaseException:
            _found(report, begun - 1, "traceback", traceback.format_exc())
    counts[:] = struct.pack("<3q", begun, worked, refused)
    os._exit(0)


def _found(report: Path, n: int, outcome: str, why: str) -> None:
    with report.open("a") as lines:
        lines.write(json.dumps([f"input {n}", outcome, why]) + "\n")


def again(group: str, number: int, n: int) -> None:
    """Try one input again, with its error."""
    READERS[group]()(random.Random(f"{number}-{group}-{n}"))


# --- bytes and values -------------------------------------------------------------------------------------------------


def spoilt(content: bytes, chance: random.Random, others: tuple[bytes, ...] = ()) -> bytes:
    """Bits flipped, bytes replaced, parts cut, doubled, exchanged or taken from another file; a few times."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 9))):
        at, length = chance.randrange(len(data) + 1), chance.choice((1, 2, 4, 8, 60, 1000))
        kind = chance.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at : at + length] = chance.randbytes(min(length, len(data) - at))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length]
        elif kind == 5:
            data[at : at + length] = bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFF))]) * min(length, len(data) - at)
        elif kind == 6 and others:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
        else:
            data[at : at + 4] = chance.choice((b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\1\0\0"))
    return bytes(data)


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**400), 0.5, 1e308, float("nan"), float("inf"), "", " ", "\0", "a"),
    *(
        "x" * 300,
        "x" * 100_000,
        "word " * 20_000,
        "a/b",
        "../a",
        "/etc/passwd",
        "..",
        ".",
        "C:\\a",
        "\ud83d",
        "\udce9",
        "é",
        "e\u0301",
    ),
    *(
        "\u202eabc",
        "\x1b[31mred",
        "a\nb",
        "a\tb",
        "a\rb",
        "\ufeffa",
        "颜色更深",
        "$x^2$",
        "<b>a</b>",
        "NaN",
        "null",
        "1",
        "1e999",
    ),
    *([], {}, [[]], [{}], [None], ["a", "b"], {"": None}, {"a": {"a": {}}}, [[[[[[[[[[]]]]]]]]]], list(range(300))),
)


def altered(value: Any, chance: random.Random) -> Any:
    """A copy of plain values in which one place is odd, gone, doubled or exchanged with another."""
    value = pickle.loads(pickle.dumps(value))
    places: list[tuple[Any, Any]] = []

    def walk(inside: Any) -> None:
        items = inside.items() if isinstance(inside, dict) else enumerate(inside) if isinstance(inside, list) else ()
        for key, item in items:
            places.append((inside, key))
            walk(item)

    walk(value)
    if not places or chance.random() < 0.03:
        return chance.choice(ODD)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        (inside, key), (elsewhere, other) = chance.choice(places), chance.choice(places)
        kind = chance.randrange(6)
        try:
            if kind <= 1:
                inside[key] = chance.choice(ODD)
            elif kind == 2:
                del inside[key]
            elif kind == 3 and isinstance(inside, list):
                inside.append(inside[key])
            elif kind == 4:
                inside[key] = pickle.loads(pickle.dumps(elsewhere[other]))
            elif isinstance(inside, dict):
                inside[str(chance.choice(ODD))[:300]] = inside.pop(key)
            elif isinstance(inside[key], str):
                inside[key] = inside[key] + str(chance.choice(ODD))
        except (IndexError, KeyError, RecursionError):  # a place that is gone
            pass
    return value


# --- the unpickler ----------------------------------------------------------------------------------------------------

GLOBALS = [
    *(f"{module} {name}" for module in ("builtins", "__builtin__") for name in ("list", "dict", "set", "str", "bytes", "int")),
    *("builtins tuple", "builtins frozenset", "builtins bytearray", "builtins float", "builtins complex", "builtins eval"),
    *("collections OrderedDict", "_codecs encode", "numpy dtype", "numpy ndarray", "os system", "numpy._core.multiarray scalar"),
    *("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct", "numpy._core.numeric _frombuffer"),
]
CODES = ("O", "O8", "i8", "<f4", "S5", "U3", "b1", "V8", "M8", "S999999999", "U999999999", "f16", "i4,i4")


def program(chance: random.Random, room: int = 6) -> bytes:
    """Opcodes that push one value, more or less."""

    def some(most: int = 4) -> bytes:
        return b"".join(program(chance, room - 1) for _ in range(chance.randrange(most)))

    def text(value: str) -> bytes:
        raw = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(raw)) + raw

    def name() -> bytes:
        return b"c" + chance.choice(GLOBALS).replace(" ", "\n").encode() + b"\n"

    def memo() -> bytes:
        return chance.choice((b"\x94", b"q" + bytes([chance.randrange(6)]), b"", b"", b""))

    def numpy() -> bytes:
        new = chance.choice((b"", b"_"))
        code = text(chance.choice(CODES)) + b"\x89\x88\x87R"
        order = b"(K\3" + text(chance.choice("<>=|!")) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        dtype = b"cnumpy\ndtype\n" + code + chance.choice((order, b"", order[:-1]))
        array = b"cnumpy." + new + b"core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\1b\x87R"
        shape = b"(" + b"".join(chance.choice((b"K\2", b"K\0", b"J\xff\xff\xff\x7f", b"I-1\n")) for _ in range(3)) + b"t"
        content = chance.choice((b"]", b"(" + some() + b"l", b"C\x08abcdefgh", b"U\x10" + b"x" * 16, b"N"))
        return (
            array
            + b"(K\1"
            + chance.choice((b")", b"K\1\x85", shape))
            + dtype
            + chance.choice((b"\x88", b"\x89"))
            + content
            + b"tb"
        )

    def scalar() -> bytes:
        kind = chance.randrange(10)
        number = chance.choice((0, 1, 255, -1, 2**31 - 1, -(2**31)))
        return (
            *(b"N", b"\x88", b"K" + bytes([number & 255]), b"J" + struct.pack("<i", number), b"I%d\n" % number),
            *(b"L1" + b"0" * chance.choice((1, 50, 5000)) + b"L\n", b"\x8a\x09" + b"\xff" * 9, b"G" + chance.randbytes(8)),
            *(text(str(chance.choice(ODD))[:2000]), b"C\x03abc"),
        )[kind]

    if room <= 0:
        return scalar()
    deep = chance.choice((2, 30, 3000)) if chance.random() < 0.1 else 2
    return chance.choice(
        (
            scalar,
            lambda: b"(" + some() + chance.choice((b"t", b"l", b"\x91")) + memo(),
            lambda: b"(" + some() + some() + b"d" + memo(),
            lambda: chance.choice((b"]", b"}", b"\x8f")) + memo() + b"(" + some(6) + chance.choice((b"e", b"u", b"\x90")),
            lambda: program(chance, room - 1) + b"2" * chance.randrange(3) + chance.choice((b"\x85", b"\x86", b"\x87")) + memo(),
            lambda: program(chance, room - 1) + chance.choice((b"2\x86", b"\x85", b"q\0h\0h\0\x87", b"]\x94h\0ah\0a")) * deep,
            lambda: b"h" + bytes([chance.randrange(6)]),
            lambda: name() + b"(" + some() + b"t" + chance.choice((b"R", b"R", b"\x81", b"\x85R")) + memo(),
            lambda: name() + b")R" + program(chance, room - 1) + b"b",
            lambda: b"(" + name() + some() + b"o",
            numpy,
            numpy,
            lambda: (
                program(chance, room - 1) + program(chance, room - 1) + chance.choice((b"s", b"a", b"b", b"R", b"\x93", b"0"))
            ),
            lambda: bytes([chance.randrange(256)]),
        )
    )()


def plain_program(chance: random.Random) -> bytes:
    """Instructions that `plain_pickle` may admit, in any order."""
    number = (b"N", b"\x88", b"K\1", b"M\1\2", b"J\xff\xff\xff\xff", b"G" + bytes(8))
    short = (
        b"}",
        b"]",
        b"u",
        b"s",
        b"e",
        b"a",
        b")",
        b"(",
        b"h\0",
        b"h\5",
        b"h\x0c",
        b"\x94",
        b"q\5",
        b"q\x0c",
        b"(t",
        b"\x8c\1a",
        b"U\1a",
    )
    rows = (lambda: chance.choice(short), lambda: chance.choice(number), lambda: b"".join(chance.choices(number, k=2)) + b"\x86")
    made = b"".join(chance.choice(rows)() for _ in range(chance.choice((1, 3, 9, 40))))
    return made * chance.choice((1, 1, 2, 500)) + chance.choice((b"", b"a", b"s", b"e", b"u")) * chance.choice((1, 1, 500))


def unpickler() -> Try:
    plain = {"train": {"mods": [{"from": [0, 1], "to_str": "make red"}]}, "more": [1 << 80, 2.5, b"\0", {1}, np.arange(3.0)]}
    box = np.empty((), dtype=object)
    box[()] = plain
    real = tuple(pickle.dumps(box, protocol) for protocol in range(6))
    box[()] = {"train": [1]}
    simple = tuple(pickle.dumps(box, protocol) for protocol in (2, 3, 4))
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|O", "fortran_order": False, "shape": ()})

    def attempt(chance: random.Random) -> None:
        data = chance.choice(real) if chance.random() < 0.4 else program(chance, 7) * chance.choice((1, 1, 1, 50))
        if chance.random() < 0.6:
            data = spoilt(data, chance, real)
        if chance.random() < 0.3:  # inside of what np.save writes
            end = b"u" if chance.random() < 0.5 else b""
            data = chance.choice(simple)
            at = data.rindex(b"K\1") + 2
            data = data[:at] + plain_program(chance) + end + data[at:]
            loads_pickled_npy(head.getvalue() + data, "input.npy")
            return
        data = head.getvalue() + data + b"."
        loads_pickled_npy(spoilt(data, chance) if chance.random() < 0.05 else data, "input.npy")

    return attempt


# --- annotations ------------------------------------------------------------------------------------------------------

SETS = ("css", "fashion_iq", "fashion200k", "mit_states", "birds_to_words", "spot_the_diff")


def annotations() -> Try:
    """Of a dataset that is chosen by chance; every file of it but the images."""
    sets = {name: make(name, HOME / "annotations" / name, "tiny", 32, progress=False) for name in SETS}
    files = {
        name: {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and not _is_image(path)}
        for name, folder in sets.items()
    }

    def attempt(chance: random.Random) -> None:
        name = chance.choice(SETS)
        restore: list[Callable[[], object]] = []
        try:
            if chance.random() < 0.5:
                _changed(sets[name] / "made.json", None, restore)
            for path in chance.sample(sorted(files[name]), min(len(files[name]), chance.choice((1, 1, 2)))):
                _changed(path, _annotation(path, files[name][path], chance), restore)
            if name == "mit_states" or chance.random() < 0.05:
                _renamed(sets[name], chance, restore)
            _read_all(name, sets[name], chance)
        finally:
            for back in reversed(restore):
                back()

    return attempt


def _is_image(path: Path) -> bool:
    return path.suffix in (".png", ".jpg", ".jpeg")


def _annotation(path: Path, content: bytes, chance: random.Random) -> bytes:
    """Spoilt as bytes, or as what it holds."""
    if chance.random() < 0.3:
        return spoilt(content, chance)
    if path.suffix == ".json":
        return json.dumps(altered(json.loads(content), chance)).encode()
    if path.suffix == ".npy":
        out = io.BytesIO()
        np.save(out, altered(np.load(io.BytesIO(content), allow_pickle=True).item(), chance), allow_pickle=True)
        return out.getvalue()
    if path.suffix in (".tsv", ".txt"):
        sign = "\t" if "\t" in content.decode() else " "
        lines = altered([line.split(sign) for line in content.decode().split("\n")], chance)
        lines = (
            [sign.join(map(str, line)) if isinstance(line, list) else str(line) for line in lines]
            if isinstance(lines, list)
            else [str(lines)]
        )
        return "\n".join(lines).encode("utf-8", "surrogatepass")
    return spoilt(content, chance)


def _changed(path: Path, content: bytes | None, restore: list[Callable[[], object]]) -> None:
    """Other content, None for no file."""
    before = path.read_bytes() if path.exists() else None
    restore.append(lambda: path.write_bytes(before) if before is not None else path.unlink(missing_ok=True))
    path.write_bytes(content) if content is not None else path.unlink(missing_ok=True)


def _renamed(folder: Path, chance: random.Random, restore: list[Callable[[], object]]) -> None:
    """A folder or an image of another name."""
    images = sorted(path for path in folder.rglob("*") if path.name != ".cache" and (path.is_dir() or _is_image(path)))
    path = chance.choice(images)
    name = str(
        chance.choice(
            (*ODD, "new castle", "old_dog", "adj dog", "a b c", "Thumbs.db", path.name.upper(), os.fsdecode(b"caf\xe9 a"))
        )
    )
    name = "".join(sign for sign in name if sign not in "/\0")[:200]
    try:
        to = path.with_name(f"{name}{chance.choice(('', path.suffix))}")
        if not to.exists():
            path.rename(to)
            restore.append(lambda: to.rename(path))
    except (OSError, ValueError):  # no name of a file
        pass


def _read_all(name: str, folder: Path, chance: random.Random) -> None:
    opened = open_dataset(name, folder)
    if chance.random() < 0.02:
        str(opened.check(progress=False))
    refused = None
    for split in opened.splits:
        try:
            _usable(opened.load(split, chance.choice(("error", "error", "error", "skip"))))
        except LabError as error:
            refused = error
    if refused is not None:
        raise refused


def _usable(split: Split) -> None:
    """What training and ranking do with a split: words, draws, names that a file of results can hold."""
    Vocabulary.build(split.vocabulary_texts)
    queries = [*split.queries, *(split.draw(np.random.default_rng(0)) if split.draw else ())]
    for query in queries:
        assert type(query.source) is int and all(type(text) is str for text in query.texts), query
    json.dumps([[*query.texts, query.target_label, query.category] for query in queries], ensure_ascii=False).encode()
    json.dumps([[image.id, image.label] for image in split.images], ensure_ascii=False).encode()


# --- images -----------------------------------------------------------------------------------------------------------


def images() -> Try:
    """Small pictures of every format that Pillow writes, in several modes, spoilt."""
    PILImage.init()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 4), np.uint8)
    real: dict[str, list[bytes]] = {}
    for suffix, kind in sorted(PILImage.registered_extensions().items()):
        if kind not in PILImage.OPEN or kind not in PILImage.SAVE:
            continue
        for mode in ("RGB", "L", "RGBA", "P", "1", "CMYK", "I;16", "LA", "F"):
            for more in ({}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"}):
                out, image = io.BytesIO(), PILImage.fromarray(pixels, "RGBA")
                try:
                    image = PILImage.fromarray(np.uint16(pixels[..., 0]) * 200) if mode == "I;16" else image.convert(mode)
                    image.save(out, kind, **more)
                except Exception:  # a mode that the format has not
                    continue
                real.setdefault(suffix, []).append(out.getvalue())
    large = io.BytesIO()
    PILImage.new("RGB", (3000, 2000), "red").save(large, "JPEG")
    real[".jpg"].append(large.getvalue())
    folder = Path(tempfile.mkdtemp(dir=HOME))
    kinds = sorted(real)

    def attempt(chance: random.Random) -> None:
        kind = chance.choice(kinds)
        others = tuple(real[chance.choice(kinds)])
        path = folder / f"picture{kind}"
        path.write_bytes(spoilt(chance.choice(real[kind]), chance, others))
        damage(path)
        if chance.random() < 0.2:
            damage_inside(path)
        if chance.random() < 0.2:
            array = decode(path)
            assert array.dtype == np.uint8 and array.shape[2:] == (3,) and array.ndim == 3, array.shape
        size = chance.choice((16, 56, 224))
        array = square(path, size) if chance.random() < 0.7 else _slow(path, size)
        assert array.dtype == np.uint8 and array.shape == (size, size, 3), array.shape

    return attempt


def _slow(path: Path, size: int) -> np.ndarray:
    from maaf_lab.data.images import square as slow

    return slow(path, size)


READERS: dict[str, Callable[[], Try]] = {"unpickler": unpickler, "annotations": annotations, "images": images}
