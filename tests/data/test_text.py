"""Tokenizer, Vocabulary and padded batches."""

import json
import string

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maaf_lab.data.text import JOINER, UNKNOWN, Vocabulary, for_people, from_people, join, pad, tokenize
from maaf_lab.errors import DataError

TEXTS = ["make the red cube blue", "remove red cube", "add red sphere to top-left"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("add cube to top-left", ["add", "cube", "to", "topleft"]),
        ("Is  BLUE\tand\nlonger", ["is", "blue", "and", "longer"]),
        ("it's (much) darker, 50%!", ["its", "much", "darker", "50"]),
        ("caf\u00e9 \u65e5\u672c na\u00efve", ["caf", "nave"]),
        ("\u201cquoted\u201d \u2014 dash", ["quoted", "dash"]),
        ("... --- !!!", []),
        ("", []),
        ("\U0001f600", []),
        ("a_b", ["ab"]),
    ],
)
def test_tokens(text, tokens):
    assert tokenize(text) == tokens


@given(st.text())
def test_any_text_gives_plain_words(text):
    allowed = set(string.ascii_lowercase + string.digits) | {chr(i) for i in range(128)} - set(string.ascii_uppercase)
    for token in tokenize(text):
        assert token
        assert not set(token) & set(string.punctuation)
        assert set(token) <= allowed
        assert len(token.split()) == 1
    assert tokenize(" ".join(tokenize(text))) == tokenize(text)


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=[])), max_size=5))
def test_any_batch_is_padded_on_the_right(texts):
    vocabulary = Vocabulary.build(TEXTS)
    batch = vocabulary.batch(texts)
    lengths = [len(tokenize(text)) for text in texts]
    assert batch.ids.shape == batch.mask.shape == (len(texts), max([*lengths, 1]))
    assert batch.mask.sum(1).tolist() == lengths
    for row, mask, length, text in zip(batch.ids, batch.mask, lengths, texts, strict=True):
        assert mask.tolist() == [i < length for i in range(len(mask))]
        assert row[:length].tolist() == vocabulary.ids(text)
        assert (row[length:] == UNKNOWN).all()
    assert batch.ids.max() < len(vocabulary) if batch.ids.numel() else True


def test_vocabulary_does_not_depend_on_the_order_of_texts():
    first, second = Vocabulary.build(TEXTS), Vocabulary.build(reversed(TEXTS))
    assert first == second
    assert first.words[:2] == ("red", "cube")  # three times, twice
    once = [word for word in first.words[2:] if word != JOINER]
    assert once == sorted(once)
    assert len(first) == len(first.words) + 1


def test_ids_and_unknown_words():
    vocabulary = Vocabulary.build(TEXTS)
    assert vocabulary.ids("red zebra cube") == [1, UNKNOWN, 2]
    assert [vocabulary.words[i - 1] for i in vocabulary.ids(TEXTS[2])] == ["add", "red", "sphere", "to", "topleft"]
    assert UNKNOWN not in vocabulary.ids(join(TEXTS))  # the joiner is always known
    assert tokenize(join(["red", "blue"])) == ["red", JOINER, "blue"]


def test_batch_of_known_captions():
    vocabulary = Vocabulary.build(TEXTS)
    batch = vocabulary.batch(["red cube", "", "cube"])
    assert batch.ids.tolist() == [[1, 2], [0, 0], [2, 0]]
    assert batch.mask.tolist() == [[True, True], [False, False], [True, False]]
    assert batch.ids.dtype == torch.int64 and batch.mask.dtype == torch.bool
    assert vocabulary.batch(["", ""]).mask.tolist() == [[False], [False]]
    assert pad([]).ids.shape == (0, 1)


def test_save_and_load(tmp_path):
    vocabulary = Vocabulary.build(TEXTS)
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"words": ["a",',
        b"[]",
        b"{}",
        b'{"words": null}',
        b'{"words": 3}',
        b'{"words": "abc"}',
        b'{"words": [1, 2]}',
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"vocabulary\.json.*expected a vocabulary"):
        Vocabulary.load(path)


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "vocabulary.json"
    Vocabulary.build(TEXTS).save(path)
    path.write_text(path.read_text()[:-10])
    with pytest.raises(DataError):
        Vocabulary.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.json"):
        Vocabulary.load(tmp_path / "none.json")


def test_a_word_given_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="more than once: red"):
        Vocabulary(("red", "blue", "red"))
    (tmp_path / "v.json").write_text(json.dumps({"words": ["red", "red"]}))
    with pytest.raises(DataError, match="more than once: red"):
        Vocabulary.load(tmp_path / "v.json")


def test_texts_for_people():
    text = join(["is red", "has longer sleeves"])
    assert for_people(text) == "is red + has longer sleeves" and from_people(for_people(text)) == text and JOINER in text
