"""Folders of a BERT whose files are damaged, of the wrong shape, or ask for too much."""

import json
import os
from types import SimpleNamespace

import pytest
from faults.battery import ERROR, WORKS, faults

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "cube", "##s", "\u2028"]  # the last: a line separator
CONFIG = {
    "vocab_size": 8,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
}


@pytest.fixture(scope="module")
def weights():
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import save

    return save(transformers.BertModel(transformers.BertConfig(**CONFIG), add_pooling_layer=False).state_dict())


def opened(lab, name="", content=""):
    """Reads the folder of a BERT in which one file holds something else; None: a pipe."""
    from maaf_lab.models.encoders.bert import BertText, word_pieces

    files = {"vocab.txt": "\n".join(PIECES) + "\n", "config.json": json.dumps({**CONFIG, "model_type": "bert"})}
    files |= {"model.safetensors": lab.weights} | ({name: content} if name else {})
    for file, text in files.items():
        if text is None:
            os.mkfifo(lab.folder / file)
        else:
            lab.file(file, text)
    pieces = word_pieces(str(lab.folder))
    assert pieces.ids("red cubes") == [4, 5, 6]
    BertText(SimpleNamespace(bert=str(lab.folder), width=4, freeze_text=True), pieces)(pieces.batch(["red"]))


def config(says, **values):
    what, text = ", ".join(f"{name} {value!r}" for name, value in values.items()), json.dumps({**CONFIG, **values})
    return what, ERROR(says), lambda lab: opened(lab, "config.json", text)


def file(what, says, name, content):
    return what, ERROR(says), lambda lab: opened(lab, name, content)


@faults(
    ("whole", WORKS, opened),
    ("a byte-order mark", WORKS, lambda lab: opened(lab, "vocab.txt", "\ufeff" + "\n".join(PIECES))),
    ("lines of Windows", WORKS, lambda lab: opened(lab, "vocab.txt", "\r\n".join(PIECES))),
    *(
        file(f"config.json is {text[:9]}", "object|Expecting|recursion", "config.json", text)
        for text in ("[1]", "5", "null", "", "[" * 100_000)
    ),
    file("an empty config.json", "expected vocab_size", "config.json", "{}"),
    config("hidden_size from 1", hidden_size=10**9),
    config("hidden_size from 1", hidden_size=-1),
    config("hidden_size from 1", hidden_size="8"),
    config("hidden_size from 1", hidden_size=None),
    config("hidden_size from 1", hidden_size=True),
    config("not a multiple|cannot be read", hidden_size=7),
    config("num_hidden_layers from 1", num_hidden_layers=10**6),
    config("num_attention_heads from 1", num_attention_heads=0),
    config("vocab_size from 1", vocab_size=10**10),
    config("8 pieces", vocab_size=2),
    config("max_position_embeddings from 1", max_position_embeddings=10**10),
    config("layer_norm_eps", layer_norm_eps=float("nan")),
    config("layer_norm_eps", layer_norm_eps="x"),
    config("cannot be read", hidden_act="none of them"),
    config("cannot be read", pad_token_id=99),
    config("cannot be read", hidden_dropout_prob=7),
    file("no pieces", "expected BERT's pieces", "vocab.txt", ""),
    file("a piece twice", "found more than once: red", "vocab.txt", "\n".join([*PIECES[:5], "red", "##s"])),
    file("pieces without [SEP]", "expected BERT's pieces", "vocab.txt", "[PAD]\n[UNK]\n[CLS]\nred"),
    file("pieces in Latin-1", "UTF-8", "vocab.txt", b"[PAD]\n[UNK]\ncaf\xe9\n"),
    *(file(f"{name} is a pipe", "pipe", name, None) for name in ("vocab.txt", "config.json", "model.safetensors")),
    file("weights cut short", "cannot be read", "model.safetensors", b"\x00\x10"),
    file("no weights", "cannot be read", "model.safetensors", b""),
)
def test_folders_of_a_bert(fault, lab, weights):
    lab.weights = weights
    fault(lab)
