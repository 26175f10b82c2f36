"""Checkpoints of the authors' programs: written here under their names, from our own weights, and read back."""

import argparse
import pickle
import re

import pytest
import torch

import maaf_lab
from maaf_lab.config import model_config
from maaf_lab.data.text import Vocabulary
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.models.encoders.bert import word_pieces
from maaf_lab.models.registry import build_model
from maaf_lab.paper.tables import TABLE_4

TEXTS = ["more flowy", "is darker and more flowy", "blue"]
FIRST = ("more", "flowy", "is", "darker", "and", "blue")  # as they first occur
OPTIONS = {
    "model": "sequence_concat_attention",
    "embed_dim": 16,
    "image_model_arch": "resnet18",
    "text_model_arch": "lstm",
    "text_model_layers": 1,
    "number_attention_blocks": 1,
    "number_attention_heads": 4,
    "width_per_attention_block": 12,
    "att_layer_spec": "3_4",
    "attn_positional_encoding": None,
    "attn_softmax_replacement": "none",
    "dropout_rate": 0.1,
    "resolutionwise_pool": True,
    "sequence_concat_include_text": True,
    "sequence_concat_img_through_attn": True,
    "attn_2stream_mode": "xxx_xmm_xff",
    "learning_rate": 0.01,
    "comment": "a run of theirs",
}
SETTINGS = {
    "image_encoder": "resnet18",
    "image_weights": "none",
    "width": 16,
    "text_width": 16,
    "heads": 4,
    "feedforward": 12,
    "blocks": 1,
    "resolutions": (14, 7),
}
MAPS = {"query": 0, "key": 1, "value": 2, "out": 3}


def theirs(model, wrapped=True):
    """Our tensors under their names, the other way round and written out: an oracle for the reader's rules."""
    net = "img_model.model." if wrapped else "img_model."
    made = {"normalization_layer.norm_s": model.log_scale.exp().reshape(1)}
    for name, value in model.state_dict().items():
        part = name.split(".")
        if name == "log_scale":
            continue
        if part[0] == "backbone":
            made[net + (f"{('conv1', 'bn1')[int(part[2])]}.{part[3]}" if part[1] == "stem" else ".".join(part[1:]))] = value
        elif part[0] == "image_map":
            made[f"{net}fc.0.{part[1]}"] = value
            if wrapped:
                made[f"img_model.fc.0.{part[1]}"] = value
        elif part[0] == "projections":
            level = {"28": 2, "14": 3, "7": 4}[part[1]]
            made[f"img_model.l{level}_conv_proj." + ("conv." if part[3] == "0" else "bn.") + part[4]] = value
        elif part[:2] == ["text", "embedding"]:
            made["text_model.embedding_layer.weight"] = value
        elif part[:2] == ["text", "bert"]:
            made[f"text_model.model.{'.'.join(part[2:])}"] = value
        elif part[:2] == ["text", "project"] and "text_encoder='bert'" in repr(model.config):
            made[f"text_projection_layer.{part[2]}"] = value
        elif part[:2] == ["text", "lstm"]:
            made[f"text_model.lstm.{part[2]}"] = value
        elif part[:2] == ["text", "project"]:
            made[f"text_model.fc_output.1.{part[3]}"] = value
        elif part[0] == "positions":
            made["composer.m.learned_encodings"] = value
        elif part[0] in ("stack", "blocks", "norm_x", "norm_m"):
            for root in ("encoder", "m") if part[0] == "stack" else ("decoder", "m"):  # they keep one module under two names
                made[f"composer.{root}.{_fused(part)}"] = value
        elif name == "weights":
            made["a"] = torch.cat([value, torch.ones(2)])
        elif part[0] in ("gate", "residual") and type(model).__name__ == "TIRG":
            made[f"{ {'gate': 'gated_feature', 'residual': 'res_info'}[part[0]] }_composer.{int(part[1]) + 1}.{part[2]}"] = value
        elif part[0] in ("gate", "residual"):
            turned = value.transpose(2, 3) if value.dim() == 4 and wrapped else value
            made[f"{ {'gate': 'mod2d_gate', 'residual': 'mod2d'}[part[0]] }.{part[1]}.{part[2]}"] = turned
        else:
            raise AssertionError(name)
    return made


def _module(operation):
    """xmm: x attends to m, which is another stream, so it is src_attn_x."""
    stream, other = operation[:2]
    return f"{'feed_forward' if other == 'f' else 'self_attn' if other == stream else 'src_attn'}_{stream}"


def _fused(part):
    norms = {"gain": "a_2", "bias": "b_2"}
    if part[0] == "stack" and part[1] == "norm":
        return f"norm.{norms[part[2]]}"
    if part[0] in ("norm_x", "norm_m"):
        return f"{part[0]}.{norms[part[1]]}"
    number, rest = (part[2], part[3:]) if part[0] == "stack" else (part[1], part[2:])
    layer = f"layers.{number}."
    if part[0] == "stack":
        kind = rest[0]
        if kind.endswith("_norm"):
            return f"{layer}sublayer.{('attention_norm', 'feedforward_norm').index(kind)}.norm.{norms[rest[1]]}"
        if kind == "attention":
            return f"{layer}self_attn.linears.{MAPS[rest[1]]}.{rest[2]}"
        return f"{layer}feed_forward.w_{ {'0': 1, '3': 2}[rest[1]] }.{rest[2]}"
    if rest[0] == "norms":
        return f"{layer}sublayer.{rest[1]}.norm.{norms[rest[2]]}"
    if rest[0] == "attention":
        return f"{layer}{_module(rest[1])}.linears.{MAPS[rest[2]]}.{rest[3]}"
    return f"{layer}{_module(rest[1])}.w_{ {'0': 1, '3': 2}[rest[2]] }.{rest[3]}"


def saved(tmp_path, state, **options):
    path = tmp_path / "latest_checkpoint.pth"
    torch.save({"it": 150_000, "opt": argparse.Namespace(**{**OPTIONS, **options}), "model_state_dict": state}, path)
    return path


def ours(words=FIRST, **settings):
    torch.manual_seed(0)
    model = build_model(model_config(settings.pop("name", "maaf"), SETTINGS, **settings), Vocabulary(words)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn(value.shape))
    return model


CASES = [
    ({}, {}),
    ({"attn_softmax_replacement": "identity"}, {"attention": "identity"}),
    (
        {"resolutionwise_pool": False, "sequence_concat_include_text": False},
        {"resolutionwise_pooling": False, "include_text": False},
    ),
    ({"sequence_concat_img_through_attn": False, "att_layer_spec": "4"}, {"image_through_attention": False, "resolutions": (7,)}),
    ({"att_layer_spec": "23", "number_attention_blocks": 2}, {"resolutions": (28, 14), "blocks": 2}),
    ({"attn_positional_encoding": "sinusoidal"}, {"positions": "sinusoidal"}),
    ({"attn_positional_encoding": "mixed"}, {"positions": "mixed"}),
    ({"text_model_layers": 2}, {"text_layers": 2}),
    ({"text_model_arch": "embeddings"}, {"text_encoder": "embedding"}),
    *(({"model": "attention", "attn_2stream_mode": b}, {"name": "two_stream", "two_stream": b}) for b in TABLE_4.values()),
    ({"model": "imgonly"}, {"name": "image_only"}),
    ({"model": "textonly"}, {"name": "text_only"}),
    ({"model": "add"}, {"name": "addition"}),
    ({"model": "tirg"}, {"name": "tirg"}),
    ({"model": "tirg_lastconv", "att_layer_spec": "none"}, {"name": "tirg_last_conv"}),
]


@pytest.mark.parametrize(("options", "settings"), CASES, ids=[str(list(o.values())) for o, _ in CASES])
def test_a_checkpoint_comes_back_as_our_model(tmp_path, options, settings):
    model = ours(**settings)
    state = theirs(model)
    if settings.get("name") == "image_only":  # every model of theirs has a text model and an image map
        state = theirs(ours(name="text_only")) | state
    elif settings.get("name") in (None, "two_stream"):
        state |= {f"img_model.{n}fc.0.{p}": torch.ones(1) for n in ("", "model.") for p in ("weight", "bias")}
    found = maaf_lab.load_foreign_checkpoint(saved(tmp_path, state, **options), TEXTS)
    expected = model.state_dict()
    assert found.config.name == model.config.name and not found.training
    assert all(torch.allclose(value, expected[name], atol=1e-6) for name, value in found.state_dict().items())
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(found.embed_query(images, TEXTS[:2]), model.embed_query(images, TEXTS[:2]), atol=1e-6)
        assert torch.allclose(found.embed_images(images), model.embed_images(images), atol=1e-6)


def test_a_checkpoint_with_bert(tmp_path):
    """Its pieces are the named BERT's, its weights the file's; the pooler that their code carries along is not used."""
    torch.manual_seed(0)
    pieces = word_pieces("minilm")
    model = build_model(model_config("maaf", SETTINGS, text_encoder="bert", bert="minilm", freeze_text=True), pieces).eval()
    state = theirs(model) | {"text_model.model.pooler.dense.weight": torch.ones(384, 384)}
    path = saved(tmp_path, state, text_model_arch="BERT")
    found = maaf_lab.load_foreign_checkpoint(path, [], bert="minilm")
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(found.embed_query(images, TEXTS[:2]), model.embed_query(images, TEXTS[:2]), atol=1e-6)
    with pytest.raises(DataError, match="'bert-base-uncased': expected it in transformers' cache"):
        maaf_lab.load_foreign_checkpoint(path, [])


@pytest.mark.parametrize("model", ["tirg", "imgonly", "textonly", "tirg_lastconv"])
def test_a_checkpoint_of_google_tirg(tmp_path, model):
    """Its image network is a ResNet-18 without a wrapper, and it numbers words by the alphabet."""
    name = {"imgonly": "image_only", "textonly": "text_only", "tirg_lastconv": "tirg_last_conv"}.get(model, model)
    made = ours(words=tuple(sorted(FIRST)), name=name)
    state = theirs(ours(words=tuple(sorted(FIRST)), name="text_only"), wrapped=False) | theirs(made, wrapped=False)
    path = tmp_path / "latest_checkpoint.pth"
    torch.save({"it": 1, "opt": argparse.Namespace(model=model, embed_dim=16), "model_state_dict": state}, path)
    found = maaf_lab.load_foreign_checkpoint(path, TEXTS)
    assert found.vocabulary.words == ("and", "blue", "darker", "flowy", "is", "more")
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(found.embed_query(images, TEXTS[:2]), made.embed_query(images, TEXTS[:2]), atol=1e-6)
    assert maaf_lab.load_foreign_checkpoint(path, TEXTS, word_order="first").vocabulary.words == FIRST
    with pytest.raises(ConfigError, match="word_order"):
        maaf_lab.load_foreign_checkpoint(path, TEXTS, word_order="any")


def test_rare_words_are_unknown_but_keep_their_number(tmp_path):
    found = maaf_lab.load_foreign_checkpoint(saved(tmp_path, theirs(ours()), threshold_rare_words=2), TEXTS)
    assert found.vocabulary.ids("more flowy is darker blue never") == [1, 2, 0, 0, 0, 0]


def test_several_gpus_and_old_counters(tmp_path):
    state = {f"module.{k}": v for k, v in theirs(ours()).items() if not k.endswith("num_batches_tracked")}
    maaf_lab.load_foreign_checkpoint(saved(tmp_path, state), TEXTS)


class Harmful:
    def __reduce__(self):
        return print, ("this has run",)


def test_only_plain_things_are_admitted(tmp_path, capsys):
    path = tmp_path / "checkpoint.pth"
    torch.save({"it": 1, "opt": argparse.Namespace(x=Harmful()), "model_state_dict": {}}, path)
    with pytest.raises(DataError, match=r"asks for (builtins\.)?print; only tensors, plain containers and argparse\.Namespace"):
        maaf_lab.load_foreign_checkpoint(path, TEXTS)
    assert "this has run" not in capsys.readouterr().out
    path.write_bytes(pickle.dumps({"opt": Harmful()}))
    with pytest.raises(DataError, match=r"checkpoint\.pth"):
        maaf_lab.load_foreign_checkpoint(path, TEXTS)
    assert "this has run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update({"composer.extra.weight": torch.ones(1)}), r"unknown tensor 'composer\.extra\.weight'"),
        (lambda s: s.update({"img_model.l2_conv_proj.conv.weight": torch.ones(1)}), r"'img_model\.l2_conv_proj.*' is not used"),
        (lambda s: s.update({"composer.m.norm.a_2": torch.ones(3)}), r"m\.norm\.a_2': expected shape \(16,\), found \(3,\)"),
        (lambda s: s.update({"composer.m.norm.a_2": torch.ones(16)}), r"'composer\.m\.norm\.a_2' is in the file twice"),
        (lambda s: s.pop("text_model.lstm.weight_hh_l0"), r"the file has none for text\.lstm\.weight_hh_l0"),
        (lambda s: s.update({"normalization_layer.norm_s": torch.zeros(1)}), r"norm_s is 0\.0: not a scale"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    state = theirs(ours())
    change(state)
    with pytest.raises((DataError, ConfigError), match=message):
        maaf_lab.load_foreign_checkpoint(saved(tmp_path, state), TEXTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "seqcat_outtoken"}, r"opt\.model: this lab reads .*found 'seqcat_outtoken'"),
        ({"text_model_arch": "GRU"}, "found 'GRU'"),
        ({"attn_2stream_mode": "xxx_zzz", "model": "attention"}, "unknown operation 'zzz'"),
        ({"att_layer_spec": "none"}, r"opt\.att_layer_spec: expected some of 2, 3 and 4"),
        ({"image_model_arch": "vgg"}, "found 'vgg'"),
        ({"attn_softmax_replacement": "relu"}, "found 'relu'"),
    ],
)
def test_options_that_the_lab_does_not_have(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        maaf_lab.load_foreign_checkpoint(saved(tmp_path, theirs(ours()), **options), TEXTS)


def test_the_texts_must_be_the_ones_it_was_trained_with(tmp_path):
    path = saved(tmp_path, theirs(ours()))
    with pytest.raises(DataError, match=re.escape("checkpoint's 7 words (the unknown word included), found texts with 8")):
        maaf_lab.load_foreign_checkpoint(path, [*TEXTS, "new"])


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"", "cannot be read"), (b"not a checkpoint", "cannot be read")]
)
def test_a_file_that_is_no_checkpoint(tmp_path, content, message):
    path = tmp_path / "x.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        maaf_lab.load_foreign_checkpoint(path, TEXTS)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(DataError, match='expected "it", "opt" and "model_state_dict", found state_dict'):
        maaf_lab.load_foreign_checkpoint(path, TEXTS)
    whole = saved(tmp_path, theirs(ours()))
    whole.write_bytes(whole.read_bytes()[:-5000])
    with pytest.raises(DataError, match="cannot be read as a checkpoint"):
        maaf_lab.load_foreign_checkpoint(whole, TEXTS)
