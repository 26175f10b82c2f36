"""Checkpoints of the authors' code as models of this lab, for people who have trained with it.

Two programs write them: the MAAF authors' (yahoo/maaf, its 2020 code, commit 49a0df9) and TIRG's (google/tirg). Both save
{"it", "opt" (argparse.Namespace), "model_state_dict"}; the vocabulary is not saved, so the training texts are needed again, in
the order in which that code read them. The models compute exactly what those programs do: order of the tokens, layer norm
(unbiased deviation, epsilon outside), pooling, the dummy word of two-stream gallery images.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from maaf_lab.arguments import checked
from maaf_lab.config import ModelConfig, model_config
from maaf_lab.data.text import Vocabulary, tokenize
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.encoders.bert import word_pieces
from maaf_lab.models.registry import build_model
from maaf_lab.models.systems.two_stream import steps_of
from maaf_lab.models.weights import refuse_not_finite

Number = TypeVar("Number", int, float)

SYSTEMS = {
    "sequence_concat_attention": "maaf",
    "attention": "two_stream",
    "tirg": "tirg",
    "tirg_lastconv": "tirg_last_conv",
    "imgonly": "image_only",
    "textonly": "text_only",
    "concat": "concat",
    "add": "addition",
}
TEXTS = {"lstm": "lstm", "embeddings": "embedding", "transformer": "transformer", "BERT": "bert"}

# their name (a pattern) -> ours; None for tensors that their code saves and does not use in this system
Rules = list[tuple[str, str | None]]


@checked
def load_foreign_checkpoint(
    path: str | Path, vocabulary_texts: Iterable[str], *, word_order: str = "auto", bert: str = "bert-base-uncased"
) -> ComposedModel:
    """The model of a checkpoint that yahoo/maaf's 2020 code or google/tirg's wrote, in evaluation mode, on the CPU.

    vocabulary_texts: that program's training texts, in its order; they must give as many words as the checkpoint has.
    word_order: the numbering of words, "first" (as they first occur: yahoo/maaf, and google/tirg before its update to Python 3)
    or "alphabet" (google/tirg since); "auto" is "alphabet" for a file of google/tirg.
    bert: the BERT whose word pieces the checkpoint reads, as `TextConfig.bert`; its weights are in the file, and no texts are
    needed.
    Systems: MAAF with every switch, two-stream, TIRG (also on the last maps), concatenation, addition, image only, text only;
    text encoders: LSTM, embeddings, transformer, and for MAAF and two-stream BERT.
    Only tensors, plain containers and argparse.Namespace are loaded from the file. Raises DataError, naming it, for anything
    else, for an unknown or missing tensor, a shape that does not fit and a vocabulary of another size; ConfigError for an option
    that this lab does not have.
    """
    path = Path(path)
    options, state = _read(path)
    state = _without_module(state, path)
    if word_order not in ("auto", "first", "alphabet"):
        raise ConfigError(f'word_order: expected "auto", "first" or "alphabet", found {word_order!r}')
    by_alphabet = word_order == "alphabet" or (word_order == "auto" and "img_model.conv1.weight" in state)
    config = converted_config(options, state)
    if getattr(config, "text_encoder", "") == "bert":
        vocabulary = word_pieces(bert)
    else:
        vocabulary = _vocabulary(vocabulary_texts, by_alphabet, _number(options, "threshold_rare_words", 0))
    embedding = state.get("text_model.embedding_layer.weight")
    if embedding is not None and len(embedding) != len(vocabulary):
        raise DataError(
            f"{path}: expected texts with the checkpoint's {len(embedding):,} words (the unknown word included), "
            f"found texts with {len(vocabulary):,}; pass the training texts that the checkpoint was trained with"
        )
    with torch.device("meta"):  # takes no memory: what the options ask for is not made before the file is seen to hold it
        made = _translated(state, config, build_model(config, vocabulary), path)
    refuse_not_finite(made, path, DataError, "Take a checkpoint from before its training went wrong")
    model = build_model(config, vocabulary)
    model.load_state_dict(made, strict=False)  # nothing lacks but counters of batches, which PyTorch before 0.4.1 did not save
    return model.eval()


def _without_module(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Names as they were before the model, or a part of it, was put on several GPUs ("img_model.module.conv1.weight")."""
    made: dict[str, Tensor] = {}
    for name, tensor in state.items():
        plain = re.sub(r"(^|\.)module\.", r"\1", name)
        if plain in made and not torch.equal(made[plain], tensor):
            raise DataError(f"{path}: tensor {plain!r} stands in the file twice, with different numbers")
        made[plain] = tensor
    return made


def converted_config(options: dict[str, Any], state: dict[str, Tensor]) -> ModelConfig:
    """Their options as our settings. google/tirg's checkpoints have few; its network is a ResNet-18 under `img_model.`."""
    name = _one(options, "model", SYSTEMS)
    if "img_model.conv1.weight" in state or "img_model.model.conv1.weight" not in state:
        encoder = "resnet18" if "img_model.layer1.0.conv3.weight" not in state else "resnet50"
    else:
        known = {"resnet18": "resnet18", "resnet50": "resnet50", None: "resnet18"}
        encoder = _one(options, "image_model_arch", known, "resnet50")
    # their code looks for "2", "3" and "4" in att_layer_spec and stacks the tokens in this order
    levels = tuple(r for digit, r in (("2", 28), ("3", 14), ("4", 7)) if digit in str(options.get("att_layer_spec", "3_4")))
    if not levels and name in ("maaf", "two_stream"):
        raise ConfigError(f"opt.att_layer_spec: expected some of 2, 3 and 4, found {options.get('att_layer_spec')!r}")
    if name == "two_stream":
        steps_of(str(options.get("attn_2stream_mode", "xxx_xmm_xff")))
    width = _number(options, "embed_dim", 512)
    return model_config(
        name,
        dict(  # they have every option for every system; ours reads its own
            image_encoder=encoder,
            image_weights="none",
            width=width,
            text_width=width,
            text_encoder=_one(options, "text_model_arch", TEXTS, "lstm"),
            text_layers=_number(options, "text_model_layers", 1),
            bert="none",
            freeze_text=options.get("text_model_arch") == "BERT" or bool(options.get("freeze_text_model", False)),
            resolutions=levels or (7,),
            blocks=_number(options, "number_attention_blocks", 1),
            heads=_number(options, "number_attention_heads", 8),
            feedforward=_number(options, "width_per_attention_block", 256),
            attention=_one(options, "attn_softmax_replacement", {"none": "softmax", "identity": "identity"}, "none"),
            positions=_one(
                options, "attn_positional_encoding", {None: "none", "sinusoidal": "sinusoidal", "mixed": "mixed"}, None
            ),
            two_stream=str(options.get("attn_2stream_mode", "xxx_xmm_xff")),
            resolutionwise_pooling=bool(options.get("resolutionwise_pool", False)),
            image_through_attention=bool(options.get("sequence_concat_img_through_attn", False)),
            include_text=bool(options.get("sequence_concat_include_text", False)),
            dropout=_number(options, "dropout_rate", 0.1),
            text_dropout=_number(options, "dropout_rate", 0.1),
        ),
    )


def _one(options: dict[str, Any], key: str, known: dict[Any, str], default: Any = "") -> str:
    value = options.get(key, default)
    if not isinstance(value, Hashable) or value not in known:
        raise ConfigError(f"opt.{key}: this lab reads {', '.join(str(k) for k in known)}; found {value!r}")
    return known[value]


def _number(options: dict[str, Any], key: str, default: Number) -> Number:
    value = options.get(key, default)
    try:
        number = type(default)(value)
        if number == value or isinstance(value, str):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ConfigError(f"opt.{key}: expected a {'whole ' * isinstance(default, int)}number, found {str(value)[:80]!r}")


class _NumpyType:
    """Stands for numpy.dtype in a checkpoint: what the bytes of a number are, and nothing that can be large."""

    def __init__(self, code: object, *_: object) -> None:
        self.code, self.order = str(code), "="

    def __setstate__(self, state: tuple) -> None:
        self.order = str(state[1])


def _numpy_scalar(kind: _NumpyType, raw: bytes) -> Any:
    """A number or a short text that numpy wrote beside the weights."""
    if not re.fullmatch(r"([biuf]\d{1,2})|(U\d{1,4})", kind.code) or kind.order not in ("=", "<", ">", "|"):
        raise ValueError(f"a numpy value of the type {kind.code[:20]!r}")
    return np.frombuffer(raw, np.dtype(kind.code).newbyteorder(kind.order), 1)[0].item()


# what people's checkpoints hold beside tensors and plain containers, and what is made of it: nothing that does anything
ADMITTED: list[Any] = [
    argparse.Namespace,
    (_NumpyType, "numpy.dtype"),
    *((_numpy_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((PurePosixPath, f"pathlib{part}.PosixPath") for part in ("", "._local")),
    *((PureWindowsPath, f"pathlib{part}.WindowsPath") for part in ("", "._local")),
]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise DataError(f"{path}: expected a checkpoint, found no such file")
    try:
        with torch.serialization.safe_globals(ADMITTED):
            raw = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign or damaged pickle makes torch raise anything
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named:
            raise DataError(
                f"{path} asks for {named[1]}; only tensors, plain containers and argparse.Namespace are loaded. "
                "Do not open this file unless you trust its source."
            ) from None
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as a checkpoint ({first[:200]}): copy or download it again") from error
    if not isinstance(raw, dict) or not {"opt", "model_state_dict"} <= set(raw):
        found = ", ".join(map(str, list(raw)[:8])) if isinstance(raw, dict) else type(raw).__name__
        raise DataError(f'{path}: expected "it", "opt" and "model_state_dict", found {found}')
    options, state = raw["opt"], raw["model_state_dict"]
    options = vars(options) if isinstance(options, argparse.Namespace) else options
    if not isinstance(options, dict) or not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise DataError(f'{path}: expected "opt" to be options and "model_state_dict" to be tensors by name')
    return options, state


def _vocabulary(texts: Iterable[str], by_alphabet: bool, threshold: int) -> Vocabulary:
    """Words as the program numbered them, after the unknown word: by the alphabet, or in the order in which they first occur.

    Words that occur less than `threshold` times keep their number but are read as unknown: no text can have their name here.
    """
    counts: dict[str, int] = {}
    for text in texts:
        for word in tokenize(text):
            counts[word] = counts.get(word, 0) + 1
    words = sorted(counts) if by_alphabet else counts
    return Vocabulary(tuple(word if counts[word] >= threshold else f"<rare> {word}" for word in words))


# --- names ------------------------------------------------------------------------------------------------------------

_BLOCK: Rules = [  # one encoder layer -> one FusionBlock
    (r"self_attn\.linears\.0\.(\w+)", r"attention.query.\1"),
    (r"self_attn\.linears\.1\.(\w+)", r"attention.key.\1"),
    (r"self_attn\.linears\.2\.(\w+)", r"attention.value.\1"),
    (r"self_attn\.linears\.3\.(\w+)", r"attention.out.\1"),
    (r"feed_forward\.w_1\.(\w+)", r"feedforward.0.\1"),
    (r"feed_forward\.w_2\.(\w+)", r"feedforward.3.\1"),
    (r"sublayer\.0\.norm\.a_2", "attention_norm.gain"),
    (r"sublayer\.0\.norm\.b_2", "attention_norm.bias"),
    (r"sublayer\.1\.norm\.a_2", "feedforward_norm.gain"),
    (r"sublayer\.1\.norm\.b_2", "feedforward_norm.bias"),
]
_MAPS = ("query", "key", "value", "out")


def _below(theirs: str, ours: str, rules: Rules) -> Rules:
    """Rules for the children of a module; `theirs` may have one group, which `ours` names as \\1."""
    shift = re.compile(theirs).groups

    def later(match: re.Match) -> str:
        return f"\\{int(match[1]) + shift}"

    return [(theirs + t, None if o is None else ours + re.sub(r"\\(\d)", later, o)) for t, o in rules]


def _rules(config: ModelConfig, google: bool) -> Rules:
    norm: Rules = [(r"\.a_2", ".gain"), (r"\.b_2", ".bias")]
    net = r"img_model\." if google else r"img_model\.model\."
    rules: Rules = [
        (net + r"conv1\.(\w+)", r"backbone.stem.0.\1"),
        (net + r"bn1\.(\w+)", r"backbone.stem.1.\1"),
        (net + r"(layer[1-4]\..+)", r"backbone.\1"),
        (r"text_model\.embedding_layer\.weight", "text.embedding.weight"),
        (r"text_model\.lstm\.(\w+)", r"text.lstm.\1"),
        (r"text_model\.fc_output\.1\.(\w+)", r"text.project.1.\1"),
        (r"text_model\.position_encoder\.pe", None),
        *_below(r"text_model\.model\.layers\.(\d+)\.", r"text.blocks.\1.", _BLOCK),
        *_below(r"text_model\.model\.norm", "text.norm", norm),
        (r"text_model\.model\.((?:embeddings|encoder)\..+)", r"text.bert.\1"),
        (r"text_model\.model\.pooler\..+", None),
        (r"text_projection_layer\.(\w+)", r"text.project.\1"),
    ]
    reads_words = config.name != "image_only"
    if not reads_words:  # the program builds a text model for every system
        rules = [(t, None if o is not None and o.startswith("text.") else o) for t, o in rules]
    has_map = config.name not in ("maaf", "two_stream")
    fc = r"img_model\.(?:model\.)?fc\.0\.(\w+)"
    rules.append((fc, r"image_map.\1" if has_map else None))
    for digit, r in (("2", 28), ("3", 14), ("4", 7)):
        proj = rf"img_model\.l{digit}_conv_proj\."
        rules += [(proj + r"conv\.weight", f"projections.{r}.net.0.weight"), (proj + r"bn\.(\w+)", rf"projections.{r}.net.1.\1")]
    if config.name == "maaf":
        rules += [
            *_below(r"composer\.(?:encoder|m|m\.encoder)\.layers\.(\d+)\.", r"stack.blocks.\1.", _BLOCK),
            *_below(r"composer\.(?:encoder|m|m\.encoder)\.norm", "stack.norm", norm),
            (r"composer\.m\.learned_encodings", "positions.learned"),
            (r"composer\.(?:position|m\.pos_embed|m)\.pe", None),  # sines and cosines, made anew
        ]
    if config.name == "two_stream":
        rules += _stream_rules(config, norm)
    if config.name in ("tirg", "tirg_last_conv"):
        rules.append(("a", "weights"))
    if config.name == "tirg":
        rules += [(rf"gated_feature_composer\.{n}\.(\w+)", rf"gate.{n - 1}.\1") for n in (1, 3)]
        rules += [(rf"res_info_composer\.{n}\.(\w+)", rf"residual.{n - 1}.\1") for n in (1, 3, 5)]
    if config.name == "tirg_last_conv":
        rules += [(r"mod2d_gate\.(\d\.\w+)", r"gate.\1"), (r"mod2d\.(\d\.\w+)", r"residual.\1")]
    if config.name == "concat":
        rules.append((r"composer\.m\.(\d\.\w+)", r"compose.\1"))
    return rules


def _stream_rules(config: ModelConfig, norm: Rules) -> Rules:
    """Their layer has all six operations, whether its mode uses them or not, and a norm per step."""
    used = {operation for step in steps_of(config.two_stream) for operation in step}
    theirs = {
        "xxx": "self_attn_x",
        "xmm": "src_attn_x",
        "mmm": "self_attn_m",
        "mxx": "src_attn_m",
        "xff": "feed_forward_x",
        "mff": "feed_forward_m",
    }
    layer: Rules = []
    for operation, module in theirs.items():
        if operation in ("xff", "mff"):
            parts = [(rf"{module}\.w_{n}\.(\w+)", f"feedforward.{operation}.{i}.") for n, i in ((1, 0), (2, 3))]
        else:
            parts = [(rf"{module}\.linears\.{i}\.(\w+)", f"attention.{operation}.{_MAPS[i]}.") for i in range(4)]
        layer += [(t, o + r"\1" if operation in used else None) for t, o in parts]
    layer += [(r"sublayer\.(\d+)\.norm\.a_2", r"norms.\1.gain"), (r"sublayer\.(\d+)\.norm\.b_2", r"norms.\1.bias")]
    where = r"composer\.(?:decoder|m|m\.decoder)\."
    return [
        *_below(where + r"layers\.(\d+)\.", r"blocks.\1.", layer),
        *_below(where + "norm_x", "norm_x", norm),
        *_below(where + "norm_m", "norm_m", norm),
        (r"composer\.(?:pos_embed|m\.pos_embed)\.pe", None),
    ]


def _translated(state: dict[str, Tensor], config: ModelConfig, model: ComposedModel, path: Path) -> dict[str, Tensor]:
    """Their tensors under our names: each of ours exactly once, in its shape here."""
    google = "img_model.conv1.weight" in state
    rules: list[tuple[re.Pattern, str | None]] = [(re.compile(theirs), ours) for theirs, ours in _rules(config, google)]
    special: dict[str, Callable[[Tensor], Tensor]] = {"weights": lambda a: a[:2].clone()}  # two of four are used
    if config.name == "tirg_last_conv" and not google:  # yahoo/maaf transposes the map before its convolutions
        turned = [f"{net}.{i}.weight" for net in ("gate", "residual") for i in (1, 3)]
        special |= dict.fromkeys(turned, lambda w: w.transpose(-2, -1).contiguous())
    wanted, made = model.state_dict(), {}
    for name, tensor in state.items():
        if name == "normalization_layer.norm_s":  # theirs is the scale, ours its logarithm
            made["log_scale"] = tensor.reshape(()).abs().log()
            continue
        ours = next((None if o is None else match.expand(o) for rule, o in rules if (match := rule.fullmatch(name))), name)
        if ours is None:
            continue
        if ours == name and name not in wanted:
            raise DataError(f"{path}: unknown tensor {name!r} for opt.model {config.name!r}: is the file of another version?")
        value = special.get(ours, lambda t: t)(tensor)
        if ours not in wanted:
            raise DataError(f"{path}: tensor {name!r} is not used by a {config.name} with the options of this file ({ours})")
        if value.shape != wanted[ours].shape:
            raise DataError(f"{path}: tensor {name!r}: expected shape {tuple(wanted[ours].shape)}, found {tuple(value.shape)}")
        if ours in made and not torch.equal(made[ours], value):
            raise DataError(f"{path}: tensor {name!r} is in the file twice, with different numbers")
        made[ours] = value
    missing = [name for name in wanted if name not in made and not name.endswith("num_batches_tracked")]
    if missing:
        raise DataError(f"{path}: expected every tensor of a {config.name}; the file has none for {', '.join(missing[:5])}")
    if not math.isfinite(made["log_scale"].item()):
        raise DataError(f"{path}: normalization_layer.norm_s is {float(state['normalization_layer.norm_s'])}: not a scale")
    return made
