"""Our models and ranking against the authors' own code, on a CPU: equal numbers, then time and memory.

    git clone https://github.com/yahoo/maaf A && git -C A checkout 49a0df9; git clone https://github.com/google/tirg B
    python benchmarks/authors.py --maaf A --tirg B [--part equality step ranking ...]

equality: checkpoints written by their code (random weights, every parameter and statistic moved) read by
`load_foreign_checkpoint`; largest difference of query and catalogue embeddings, before scaling, float32.
step: one training step at the paper's configuration (ResNet-50, 224 px, 7x7 and 14x14 tokens, 2 blocks, batch 32).
ranking: Fashion IQ's val size, 6,016 queries in three galleries, 512 wide.
Their code asks for a GPU by name; here `.cuda()` is made to do nothing, and the packages it only imports are empty.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

TEXTS = ["is darker and has longer sleeves", "more flowy", "make the yellow sphere small", "top-left, red", "blue"]
LONG = [*TEXTS, "is blue and has longer sleeves inadditiontothat more flowy and darker"]
DEFAULTS: dict[str, Any] = {
    "model": "sequence_concat_attention", "embed_dim": 64, "dropout_rate": 0.1, "image_model_arch": "resnet18", "image_model_path": None,
    "not_pretrained": True, "freeze_img_model": False, "freeze_text_model": False, "text_model_arch": "lstm", "text_model_layers": 1,
    "number_attention_blocks": 2, "width_per_attention_block": 48, "number_attention_heads": 4, "att_layer_spec": "3_4",
    "attn_positional_encoding": None, "resolutionwise_pool": True, "sequence_concat_include_text": True,
    "sequence_concat_img_through_attn": True, "attn_softmax_replacement": "none", "attn_2stream_mode": "xxx_xmm_xff",
    "image_with_unk_string": False, "drop_worst_flag": False, "dataset": "fashioniq", "threshold_rare_words": 0,
}


@contextlib.contextmanager
def on_a_cpu():
    """Their `.cuda()` calls do nothing."""
    kept = torch.Tensor.cuda, nn.Module.cuda
    torch.Tensor.cuda = nn.Module.cuda = lambda self, *a, **k: self
    try:
        yield
    finally:
        torch.Tensor.cuda, nn.Module.cuda = kept


def theirs(root: Path, *names: str) -> list[types.ModuleType]:
    """Modules of a checkout, imported under their own names; the BERT package that they import and do not need here is empty."""
    stub = sys.modules["pytorch_pretrained_bert"] = types.ModuleType("pytorch_pretrained_bert")
    stub.BertTokenizer = stub.BertModel = object
    for name in [n for n in sys.modules if n.split(".")[0] in ("models", "datasets", "img_text_composition_models", "text_model",
                                                               "torch_functions", "test_retrieval")]:
        del sys.modules[name]
    sys.path.insert(0, str(root))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(root))


def moved(model: nn.Module, images: torch.Tensor) -> nn.Module:
    """Every parameter away from its start, and batch norm's statistics those of `images`, so that activations keep their size."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn(value.shape, generator=random) * (1 if value.dim() < 2 else value.std(correction=0)))
        model.train()
        for part in model.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.momentum = 0.5
        for _ in range(3):
            model.extract_img_feature(images)
            model.compose_img_text(images, LONG)
    return model.eval()


# --- equality ---------------------------------------------------------------------------------------------------------

CLASSES = {"sequence_concat_attention": "SequenceConcatAttention", "attention": "AttentionComposition", "imgonly": "SimpleModelImageOnly",
           "textonly": "SimpleModelTextOnly", "add": "Addition", "concat": "Concat", "tirg": "TIRG", "tirg_lastconv": "TIRGLastConv"}


def cases() -> list[dict[str, Any]]:
    """Every switch of their code: MAAF's, each two-stream mode of Table 4, each other system."""
    switches = ("resolutionwise_pool", "sequence_concat_img_through_attn", "sequence_concat_include_text")
    found = [dict(zip(switches, on)) for on in itertools.product((True, False), repeat=3)]
    found += [{"attn_softmax_replacement": "identity", **dict(zip(switches, on))} for on in ((True,) * 3, (False,) * 3)]
    found += [{"att_layer_spec": spec, "resolutionwise_pool": rp} for spec in ("4", "3", "23", "234") for rp in (True, False)]
    found += [{"number_attention_blocks": n} for n in (1, 3)] + [{"number_attention_heads": 8}, {"width_per_attention_block": 96}]
    found += [{"attn_positional_encoding": p, "attn_softmax_replacement": f} for p in ("sinusoidal", "mixed") for f in ("none", "identity")]
    found += [{"text_model_arch": "embeddings"}, {"text_model_arch": "transformer", "text_model_layers": 2}, {"text_model_layers": 2}]
    found += [{"image_model_arch": "resnet50", "embed_dim": 512, "number_attention_heads": 8, "width_per_attention_block": 256}]
    found += [{"threshold_rare_words": 2}]
    modes = ("xmm_xff", "xxx_xmm_xff", "xmm.mxx_xff", "xxx_mmm_xmm_mxx_xff", "xxx_mmm_mxx_xmm_xff", "xxx_mmm_xmm.mxx_xff")
    for mode in modes:
        found += [{"model": "attention", "attn_2stream_mode": mode},
                  {"model": "attention", "attn_2stream_mode": mode, "attn_softmax_replacement": "identity"}]
    found += [{"model": "attention", "attn_2stream_mode": "xxx_mmm_xmm.mxx_xff", **dict(zip(switches, on))}
              for on in itertools.product((True, False), repeat=3)]
    found += [{"model": "attention", "attn_positional_encoding": "sinusoidal"}, {"model": "attention", "att_layer_spec": "3"}]
    found += [{"model": m} for m in ("imgonly", "textonly", "add", "concat", "tirg")]
    found += [{"model": "tirg_lastconv", "att_layer_spec": "none"}]
    return found


def compare(model: nn.Module, options: argparse.Namespace, images: torch.Tensor, texts: list[str]) -> dict[str, float]:
    """Their embeddings against ours, read from a checkpoint that their model saved: the largest differences of queries and of
    catalogue images. `apart`: how far apart two different queries are at least, to show that there is something to differ in."""
    from torch.nn.functional import normalize

    from maaf_lab import load_foreign_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        torch.save({"it": 7, "opt": options, "model_state_dict": model.state_dict()}, Path(folder) / "latest_checkpoint.pth")
        ours = load_foreign_checkpoint(Path(folder) / "latest_checkpoint.pth", TEXTS)
    assert abs(float(ours.scale) - abs(float(model.normalization_layer.norm_s))) < 1e-5
    with torch.no_grad():
        query, catalogue = (normalize(model.compose_img_text(images, texts), dim=1),
                            normalize(model.extract_img_feature(images), dim=1))
        found = {"query": float((query - ours.embed_query(images, texts)).abs().max()),
                 "catalogue": float((catalogue - ours.embed_images(images)).abs().max()),
                 "apart": float(torch.pdist(query).min())}
    print(*(f"{value:.1e}" for value in found.values()), end=" ")
    return found


def equality(maaf: Path, tirg: Path | None) -> dict[str, Any]:
    images, lines = torch.randn(len(LONG), 3, 224, 224, generator=torch.Generator().manual_seed(1)), []
    with on_a_cpu():
        module, more = theirs(maaf, "models.img_text_composition_models", "models.third_party.tirg")
        for changes in cases():
            options = argparse.Namespace(**{**DEFAULTS, **changes})
            torch.manual_seed(0)
            with contextlib.redirect_stdout(io.StringIO()):
                kind = CLASSES[options.model]  # their main.py looks for TIRG's classes in the first module, where they are not
                model = moved(getattr(module if hasattr(module, kind) else more, kind)(options, TEXTS), images)
            if options.attn_positional_encoding == "mixed":  # made once, before training: shown here with what was learned
                model.composer.m.pos_embed = torch.cat([model.composer.m.learned_encodings.detach(), model.composer.m.pe])[None]
            if options.threshold_rare_words:
                model.text_model.vocab.threshold_rare_words(options.threshold_rare_words)
            lines.append({"code": "yahoo/maaf", **changes, **compare(model, options, images, LONG)})
            print(changes, flush=True)
        if tirg is not None:
            lines += _tirg(tirg, images)
    return {"cases": lines, "largest": max(max(line["query"], line["catalogue"]) for line in lines)}


def _tirg(root: Path, images: torch.Tensor) -> list[dict[str, Any]]:
    """google/tirg's systems; its code is Python 2 and downloads a ResNet-18, so `unicode` and a net without weights stand in."""
    import builtins

    import torchvision

    builtins.unicode, lines, kept = str, [], torchvision.models.resnet18
    torchvision.models.resnet18 = lambda pretrained=False: kept(weights=None)
    try:
        module, = theirs(root, "img_text_composition_models")
        for name in ("imgonly", "textonly", "concat", "tirg", "tirg_lastconv"):
            torch.manual_seed(0)
            model = moved(getattr(module, CLASSES[name])(TEXTS, 64), images)
            options = argparse.Namespace(model=name, embed_dim=64)
            lines.append({"code": "google/tirg", "model": name, **compare(model, options, images, LONG)})
            print("google/tirg", name, flush=True)
    finally:
        torchvision.models.resnet18 = kept
        del builtins.unicode
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maaf", required=True, type=Path, help="a checkout of yahoo/maaf at 49a0df9")
    parser.add_argument("--tirg", type=Path, help="a checkout of google/tirg")
    parser.add_argument("--part", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--out", default=Path(__file__).with_suffix(".json"), type=Path)
    arguments = parser.parse_args()
    result = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    for part in arguments.part:
        result[part] = PARTS[part](arguments.maaf.resolve(), arguments.tirg and arguments.tirg.resolve())
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


PARTS = {"equality": equality}

if __name__ == "__main__":
    main()
