"""The files of training: model weights as safetensors, and the state from which a run resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from maaf_lab.config import RunConfig, model_config
from maaf_lab.data.text import load_vocabulary
from maaf_lab.errors import RunError
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.registry import build_model
from maaf_lab.utils.files import write_atomically, write_json


def save_model(folder: Path, model: ComposedModel, config: RunConfig) -> None:
    """Write config.json, vocabulary.json and model.safetensors, all that `load_model` needs."""
    write_json(folder / "config.json", config.to_dict())
    write_atomically(folder / "vocabulary.json", model.vocabulary.save)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(folder / "model.safetensors", lambda beside: save_file(tensors, beside))


def load_model(folder: Path, device: torch.device | str = "cpu") -> ComposedModel:
    """The trained model of a run's folder, in evaluation mode. Raises RunError naming what is missing."""
    folder = Path(folder)
    missing = [name for name in ("config.json", "vocabulary.json", "model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise RunError(f"{folder}: expected a trained run; it has no {', '.join(missing)}. Train it, or name a finished run.")
    config = RunConfig.from_dict(json.loads((folder / "config.json").read_text()), older=True)
    state = load_file(folder / "model.safetensors")
    # the weights come from the run's own file, so no other file of weights is needed
    own = {**config.model.given(), "image_weights": "none", "word_vectors": "none", "bert": "none"}
    if getattr(config.model, "word_vectors", "none") != "none":  # the embedding has their width
        own["word_width"] = next((tensor.shape[1] for name, tensor in state.items() if name.endswith("embedding.weight")), 0)
    model = build_model(model_config(defaults=own), load_vocabulary(folder / "vocabulary.json"))
    model.load_state_dict(state)
    model.config = config.model
    return model.to(device).eval()


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write everything that resuming needs to one file."""
    write_atomically(path, lambda beside: torch.save(state, beside))


def load_state(path: Path) -> dict[str, Any]:
    """The state that `save_state` wrote; only tensors and plain values are loaded."""
    return torch.load(path, map_location="cpu", weights_only=True)
