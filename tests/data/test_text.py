"""Tokenizer, Vocabulary and padded batches."""

import json
import string
import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maaf_lab.data.text import (
    JOINER,
    MOST_WORDS,
    UNKNOWN,
    Vocabulary,
    ascii_words,
    cut_short,
    for_people,
    from_people,
    join,
    pad,
    tokenize,
    wordless,
)
from maaf_lab.errors import DataError

TEXTS = ["make the red cube blue", "remove red cube", "add red sphere to top-left"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("add cube to top-left", ["add", "cube", "to", "topleft"]),
        ("Is  BLUE\tand\nlonger", ["is", "blue", "and", "longer"]),
        ("it's (much) darker, 50%!", ["its", "much", "darker", "50"]),
        ("Caf\u00e9 na\u00efve cafe\u0301", ["caf\u00e9", "na\u00efve", "caf\u00e9"]),
        ("\u989c\u8272\u66f4\u6df1, T\u6064", ["\u989c", "\u8272", "\u66f4", "\u6df1", "t", "\u6064"]),
        (
            "\u042d\u0442\u043e \u043f\u043b\u0430\u0442\u044c\u0435 - \u043a\u043e\u0440\u043e\u0447\u0435!",
            ["\u044d\u0442\u043e", "\u043f\u043b\u0430\u0442\u044c\u0435", "\u043a\u043e\u0440\u043e\u0447\u0435"],
        ),
        (
            "\u0623\u0637\u0648\u0644 \u0648\u0623\u063a\u0645\u0642\u060c 50\u066a",
            ["\u0623\u0637\u0648\u0644", "\u0648\u0623\u063a\u0645\u0642", "50"],
        ),
        ("\u0932\u093e\u0932 \u0915\u092a\u0921\u093c\u0947", ["\u0932\u093e\u0932", "\u0915\u092a\u0921\u093c\u0947"]),
        ("it\u2019s \u00bd\u00a0price", ["its", "price"]),  # no letter beyond ASCII: as ever
        ("\u2764\ufe0f red", ["red"]),
        ("half \ud83d an emoji", ["half", "an", "emoji"]),
        ("\u201cquoted\u201d \u2014 dash", ["quoted", "dash"]),
        ("... --- !!!", []),
        ("", []),
        ("\U0001f600", []),
        ("a_b", ["ab"]),
    ],
)
def test_tokens(text, tokens):
    assert tokenize(text) == tokens


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_texts_are_read_by_the_papers_rule(text):
    assert tokenize(text) == ascii_words(text) == text.lower().translate(str.maketrans("", "", string.punctuation)).split()


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_any_text_gives_plain_words(text):
    for token in tokenize(text):
        assert token and len(token.split()) == 1
        assert not set(token) & set(string.punctuation)
        assert all(sign < "\x80" or unicodedata.category(sign)[0] in "LMN" for sign in token)
    assert tokenize(" ".join(tokenize(text))) == tokenize(text)


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_a_vocabulary_of_ascii_words_reads_as_it_always_did(text):
    allowed = {chr(i) for i in range(128)} - set(string.ascii_uppercase + string.punctuation)
    assert all(token and set(token) <= allowed for token in ascii_words(text))
    vocabulary = Vocabulary.build(TEXTS)
    assert vocabulary.tokens(text) == ascii_words(text) and len(vocabulary.ids(text)) == len(ascii_words(text))


def test_words_of_scripts_that_training_never_saw_are_named():
    assert Vocabulary.build(TEXTS).unknown("make cube \u043a\u0440\u0430\u0441\u043d\u044b\u0439 caf\u00e9") == (
        "caf",
        "\u043a\u0440\u0430\u0441\u043d\u044b\u0439",
    )
    seen = Vocabulary.build([*TEXTS, "\u989c\u8272 \u00e9t\u00e9"])
    assert UNKNOWN not in seen.ids("red \u989c \u00e9t\u00e9") and seen.unknown("\u989c bleu\u00e9") == ("bleu\u00e9",)


def test_texts_that_leave_no_word_are_counted():
    assert wordless(["red", "", "...", "\U0001f600"]) == "2 of 4 texts leave no word (first: '...')"
    assert wordless(["red", " "]) == ""


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=[])), max_size=5))
def test_any_batch_is_padded_on_the_right(texts):
    vocabulary = Vocabulary.build(TEXTS)
    batch = vocabulary.batch(texts)
    lengths = [len(vocabulary.tokens(text)) for text in texts]
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


def test_the_first_512_words_are_read_and_that_is_told():
    long, short = "red " * 600, "red " * MOST_WORDS
    assert len(tokenize(long)) == len(tokenize("é " + long)) == len(Vocabulary(("red",)).ids(long)) == MOST_WORDS == 512
    assert cut_short([long, short]) == "1 of 2 texts longer than 512 words: the first 512 are read" and cut_short([short]) == ""
