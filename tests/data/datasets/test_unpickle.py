"""The unpickler admits plain data from any Python and NumPy, and refuses everything else by name."""

import io
import os
import pickle
import pickletools
import struct
import subprocess

import numpy as np
import pytest
from faults.battery import within_limits

from maaf_lab.data.datasets import unpickle
from maaf_lab.data.datasets.plain_pickle import is_harmless
from maaf_lab.data.datasets.unpickle import load_pickled_npy, loads_pickled_npy
from maaf_lab.errors import DataError

PLAIN = {
    "train": {"mods": [{"from": [0, 1], "to": [2, 3], "to_str": "make red cube small"}], "objects_img": [[{"pos": (0.1, 0.5)}]]},
    "more": [None, True, 1 << 80, 2.5, 1j, b"\x00\xff", {1, 2}, frozenset("a"), "gr\u00fcn"],
}


def npy(payload: bytes, shape=()) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": shape})
    return file.getvalue() + payload


def boxed(obj) -> np.ndarray:
    box = np.empty((), dtype=object)
    box[()] = obj
    return box


def as_old_numpy(payload: bytes) -> bytes:
    """numpy.core for numpy._core; from protocol 4 on a pickle counts a name's bytes, and those of a frame."""
    if payload[:2] >= b"\x80\x04" and payload[2:3] == b"\x95":
        payload = payload[:2] + payload[11:]
    for name in (b"multiarray", b"numeric"):
        new, old = b"numpy._core." + name, b"numpy.core." + name
        payload = payload.replace(b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([len(old)]) + old)
        payload = payload.replace(b"c" + new, b"c" + old)
    return payload


def as_python2(payload: bytes) -> bytes:
    """A protocol 2 pickle as Python 2 and old NumPy wrote it: byte strings for text, numpy.core for numpy._core."""
    ops = list(pickletools.genops(payload))
    ends = [pos for _, _, pos in ops[1:]] + [len(payload)]
    out = b""
    for (op, arg, pos), end in zip(ops, ends):
        if op.name == "BINUNICODE":
            raw = arg.encode("latin1")
            out += b"T" + struct.pack("<i", len(raw)) + raw
        else:
            out += payload[pos:end]
    return as_old_numpy(out)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_objects_come_back(protocol):
    assert loads_pickled_npy(npy(pickle.dumps(boxed(PLAIN), protocol=protocol)), "x.npy") == PLAIN


def test_np_save_round_trip(tmp_path):
    np.save(tmp_path / "x.npy", PLAIN, allow_pickle=True)
    assert load_pickled_npy(tmp_path / "x.npy") == PLAIN


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_numpy_values_of_old_and_new_numpy(old, protocol):
    values = {
        "i": np.arange(6).reshape(2, 3),
        "f": np.float32(1.5),
        "n": np.int64(7),
        "b": np.array([True, False]),
        "s": np.array(["cube", "sphere"]),
        "big": np.arange(3, dtype=">i4"),
        "o": np.array([{"a": 1}, None], dtype=object),
        "F": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.empty((0, 4), np.uint8),
    }
    payload = pickle.dumps(boxed(values), protocol=protocol)
    if old:
        payload = as_old_numpy(payload)
        assert b"numpy.core." in payload and b"numpy._core." not in payload
    found = loads_pickled_npy(npy(payload), "x.npy")
    for key, value in values.items():
        np.testing.assert_array_equal(found[key], value)
        kinds = [np.asarray(v).dtype.newbyteorder("=") for v in (found[key], value)]  # NumPy may swap bytes on reading
        assert kinds[0] == kinds[1]


def test_python_2_file():
    data = {"test": {"labels": np.array([3, 1]), "weight": np.float64(0.25), "mods": [{"to_str": "remove cube", "from": [1]}]}}
    payload = as_python2(pickle.dumps(boxed(data), protocol=2))
    assert b"numpy.core.multiarray" in payload and b"numpy._core" not in payload
    found = loads_pickled_npy(npy(payload), "x.npy")
    assert found["test"]["mods"] == data["test"]["mods"] and found["test"]["weight"] == 0.25
    assert found["test"]["labels"].tolist() == [3, 1]


class _Call:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "function, args, name",
    [
        (os.system, ("touch {mark}",), f"{os.system.__module__}.system"),
        (subprocess.Popen, (["touch", "{mark}"],), ".Popen"),  # protocol 2 calls its module commands
        (eval, ("open('{mark}', 'w')",), "eval"),
        (exec, ("open('{mark}', 'w')",), "exec"),
        (getattr, ("x", "upper"), "getattr"),
        (np.load, ("{mark}",), "numpy.load"),
        (np.memmap, ("{mark}", "u1", "w+", 0, 4), "numpy.memmap"),
        (open, ("{mark}", "w"), "io.open"),
        (np.random.RandomState, (), "RandomState"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_anything_else_is_refused_by_name_and_does_not_run(tmp_path, function, args, name, protocol):
    mark = tmp_path / "ran"
    args = eval(repr(args).replace("{mark}", str(mark)))
    path = tmp_path / "bad.npy"
    path.write_bytes(npy(pickle.dumps(boxed({"train": [1, 2], "x": [_Call(function, *args)]}), protocol=protocol)))
    with pytest.raises(DataError) as error:
        load_pickled_npy(path)
    assert name in str(error.value) and str(path) in str(error.value) and "untrusted" in str(error.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    "payload, name",
    [
        (b"c__builtin__\neval\n(V1\ntR.", "__builtin__.eval"),  # Python 2's name of the module
        (b"cposix\nsystem\n(Vtrue\ntR.", "posix.system"),
        (b"(Vtrue\nios\nsystem\n.", "os.system"),  # the INST opcode of protocol 0
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "os.system"),
        (b"Pelsewhere\n.", "persistent id"),
        (b"c_codecs\nencode\n(Va\nVrot13\ntR.", "rot13"),
    ],
)
def test_handwritten_pickles(payload, name):
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        loads_pickled_npy(npy(payload), "x.npy")


def test_forged_arrays_and_dtypes_do_not_reach_memory():
    reconstruct = np.empty(0).__reduce__()[0]

    class Forged:  # an object array whose pointers are bytes of the file
        def __reduce__(self):
            return reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), np.dtype("O"), False, b"A" * 8)

    class Dtype:  # an object dtype that claims to hold no objects
        def __reduce__(self):
            return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)

    class Hidden:
        def __reduce__(self):
            return reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), Dtype(), False, b"A" * 8)

    class Long:  # more elements than bytes
        def __reduce__(self):
            return reconstruct, (np.ndarray, (0,), b"b"), (1, (10**9,), np.dtype("i8"), False, b"A" * 8)

    class Few:  # more elements than objects: numpy reads on behind the list's end
        def __reduce__(self):
            return reconstruct, (np.ndarray, (0,), b"b"), (1, (2, 2), np.dtype("O"), False, ["a"])

    class Empty:
        def __reduce__(self):
            return reconstruct, (np.ndarray, (0,), b"b"), (1, (), np.dtype("O"), False, [])

    for kind in (Forged, Hidden, Long, Few, Empty):
        with pytest.raises(DataError, match="damaged"):
            loads_pickled_npy(npy(pickle.dumps(boxed([kind()]), protocol=4)), "x.npy")
    with pytest.raises(DataError, match=r"numpy\.dtype"):
        loads_pickled_npy(npy(pickle.dumps(boxed(np.zeros(2, [("a", "i4")])), protocol=4)), "x.npy")


def test_admitted_functions_cannot_be_altered():
    change = b"c_codecs\nencode\n(N(Vx\nVy\ndtb."  # BUILD with a slot state
    with pytest.raises(DataError, match="attribute"):
        loads_pickled_npy(npy(change), "x.npy")


def test_cut_short_anywhere(tmp_path):
    np.save(tmp_path / "x.npy", PLAIN, allow_pickle=True)
    whole = (tmp_path / "x.npy").read_bytes()
    for length in range(len(whole)):
        with pytest.raises(DataError, match=r"empty|expected a \.npy|damaged or cut short"):
            loads_pickled_npy(whole[:length], "x.npy")


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>not found</html>", "expected a .npy file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "expected a .npy file"),
        (b"\x93NUMPY\x09\x00" + b"x" * 100, "not known here"),
        (npy(b""), "cut short"),
        (npy(pickle.dumps({"no": "array"})), "damaged"),
    ],
)
def test_what_is_no_pickled_npy(tmp_path, content, words):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_pickled_npy(tmp_path / "x.npy")


def test_an_array_of_numbers_is_not_an_object(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"array of float64 with shape \(2, 3\)"):
        load_pickled_npy(tmp_path / "x.npy")
    with pytest.raises(DataError, match="No such file"):
        load_pickled_npy(tmp_path / "y.npy")


# --- what a few bytes can ask for -------------------------------------------------------------------------------------


def npy(pickled):
    """A file of an object array of no dimensions, with this pickle in it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    return file.getvalue() + pickled


COPY = b"cbuiltins\nlist\nh\x00\x85R0"
BOMBS = {
    "list(bytes(2**28))": b"\x80\x02cbuiltins\nlist\ncbuiltins\nbytes\nJ\xff\xff\xff\x0f\x85R\x85R.",
    "bytearray(2**30)": b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x3f\x85R.",
    "bytes(2**28) of an instruction": b"\x80\x02(cbuiltins\nbytes\nJ\xff\xff\xff\x0fo.",
    "bytes(2**28) as a new object": b"\x80\x02cbuiltins\nbytes\nJ\xff\xff\xff\x0f\x85\x81.",
    "a bytearray of 2**40": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
    "a memo of 2**31 places": b"\x80\x02]r\xff\xff\xff\x7f.",
    "a key of 300,000 tuples in one another": b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.",
    "the same in a set": b"\x80\x04\x8f()" + b"\x85" * 300_000 + b"\x90.",
    "a key of 60 tuples, each twice in the next": b"\x80\x02})" + b"2\x86" * 60 + b"K\x01s.",
    "300,000 lists in one another": b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
    "60 lists, each twice in the next": b"\x80\x02]" + b"".join(b"q%c]h%ca" % (n, n) + b"h%ca" % n for n in range(60)) + b".",
    "a list that holds itself": b"\x80\x02]q\x00h\x00a.",
    "the text of a list": b"\x80\x02cbuiltins\nstr\n]\x85R.",
    "a list copied 50,000 times": b"\x80\x02](" + b"K\x01" * 50_000 + b"eq\x00" + COPY * 50_000 + b"h\x00.",
    "lists in lists put into an array": b"\x80\x03]" + b"".join(b"q%c0](h%ch%ce" % (n, n, n) for n in range(32))
    + b"q<0cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01(" + b"K\x01" * 32
    + b"tcnumpy\ndtype\nX\x02\x00\x00\x00u1K\x00K\x01\x87R\x89C\x01\x00tb)h<s.",
    "a number of 100,000 bytes": b"\x80\x02\x8b\xa0\x86\x01\x00" + b"\x01" * 100_000 + b".",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_a_few_bytes_ask_for_is_bounded(bomb):
    with within_limits(seconds=5, gigabytes=0.3), pytest.raises(DataError, match=r"x\.npy"):
        loads_pickled_npy(npy(BOMBS[bomb]), "x.npy")


# --- what the unpickler in C may read -----------------------------------------------------------------------------------

SCENES = {
    split: {
        "objects_img": [
            [{"color": "red", "pos": (0.1, n), "rotation": None}, {"color": "blue", "pos": (n, 0.5)}] for n in range(40)
        ],
        "mods": [{"from": [n], "to": [n + 1], "to_str": ["make red cube small", ""][n % 2]} for n in range(300)],
        "labels": list(range(40)),
        "more": [(), (1,), (1, 2, 3), (1, 2, 3, 4), True, 70_000, -1],
    }
    for split in ("train", "test")
}


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_annotations_as_python_2_and_3_write_them_are_read_in_c(protocol, monkeypatch):
    payload = pickle.dumps(boxed(SCENES), protocol=protocol)
    for data in (npy(as_old_numpy(payload)), npy(payload)) if protocol > 2 else (npy(PYTHON2),):
        with monkeypatch.context() as patch:
            patch.delattr(unpickle, "_Unpickler")
            assert loads_pickled_npy(data, "x.npy") == (SCENES if protocol > 2 else {"a": [(1, 0.5), {"b": 2}]})
    assert not is_harmless(npy(payload) + b".", 128)


# pickle.dumps(boxed({"a": [(1, 0.5), {"b": 2}]}), 2) of Python 2.7 and NumPy 1.16
PYTHON2 = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01)cnumpy\ndtype\nq\x04"
    b"U\x02O8K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]q\x06}q\x07U\x01aq\x08]q\t(K\x01G?\xe0\x00\x00\x00"
    b"\x00\x00\x00\x86q\n}q\x0bU\x01bq\x0cK\x02sesatb."
)


@pytest.mark.parametrize(
    "inside",
    [
        b"})" + b"\x85" * 300_000 + b"K\x01s",
        b"})" + b"2\x86" * 60 + b"K\x01s",
        b"}(K\x01K\x02tq\x20h\x20\x85K\x01s",  # a tuple in a tuple, as a key
        b"]r\xff\xff\xff\x7f",
        b"cos\nsystem\nX\x04\x00\x00\x00true\x85R",
        b"\x8c\x02os\x8c\x06system\x93",
        b"Pelsewhere\n",
        b"}}b",
        b"\x82\x01",
    ],
)
def test_nothing_else_is_read_in_c(inside):
    whole = PYTHON2.replace(b"K\x02sesatb.", b"K\x02s%besatb.")
    assert is_harmless(whole.replace(b"%b", b"]"), 0) and not is_harmless(whole.replace(b"%b", inside), 0)


def test_what_is_read_in_c_is_bounded_too():
    for inside in (
        b"]" * 300_000 + b"a" * 299_999,
        b"]" + b"".join(b"q%c](h%ch%ce" % (n, n, n) for n in range(40, 100)),
        b"]q\x20h\x20a",
    ):
        pickled = PYTHON2.replace(b"K\x02sesatb.", b"K\x02s" + inside + b"esatb.")
        assert is_harmless(pickled, 0)
        with within_limits(seconds=5, gigabytes=0.3), pytest.raises(DataError, match="damaged"):
            loads_pickled_npy(npy(pickled), "x.npy")
