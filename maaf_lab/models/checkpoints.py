"""The files of training: model weights as safetensors, and the state from which a run resumes. Both name their run and hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from maaf_lab.config import RunConfig, model_config
from maaf_lab.data.text import load_vocabulary
from maaf_lab.errors import ConfigError, RunError
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.registry import build_model
from maaf_lab.models.weights import fingerprint, read_metadata, read_safetensors, read_torch_file
from maaf_lab.utils.files import parse_json, write_atomically, write_json
from maaf_lab.utils.parallel import torch_device

OWN = "maaf_lab"  # the key of our metadata: one, because safetensors writes several in no fixed order
EARLIER = Path("state") / "earlier.safetensors"
AGAIN = "Put the file back, or delete the run's folder and train it again."
FROM_THE_START = "Put the file back, or delete it: the run then starts from its beginning."


def save_model(folder: Path, model: ComposedModel, config: RunConfig) -> None:
    """config.json, vocabulary.json and model.safetensors: all that `load_model` needs.

    The weights' metadata say of which run they are (its name, which is the hash of its settings) and give the hashes of the
    vocabulary's file and of the weights themselves. Files from before have none, and are read without these checks.
    """
    write_json(folder / "config.json", config.to_dict())
    write_atomically(folder / "vocabulary.json", model.vocabulary.save)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    own = {"run": config.name, "vocabulary": _hash(folder / "vocabulary.json"), "weights": fingerprint(tensors)}
    write_atomically(
        folder / "model.safetensors", lambda beside: save_file(tensors, beside, {OWN: json.dumps(own, sort_keys=True)})
    )


def load_model(folder: Path, device: torch.device | str = "cpu") -> ComposedModel:
    """The trained model of a run's folder, in evaluation mode.

    Raises RunError naming what is missing, damaged, not finite or of another run; ConfigError for a device that is not there.
    """
    folder, device = Path(folder), torch_device(device)
    missing = [name for name in ("config.json", "vocabulary.json", "model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise RunError(
            f"{folder}: expected a trained run; it has no {', '.join(missing)}. Call the `maaf-lab train` "
            "that made it again, or name a finished run."
        )
    config = read_config(folder)
    state, metadata = read_safetensors(folder / "model.safetensors", again=AGAIN)
    _check(folder, config, state, metadata)
    # the weights come from the run's own file, so no other file of weights is needed
    own = {**config.model.given(), "image_weights": "none", "word_vectors": "none", "bert": "none"}
    if getattr(config.model, "word_vectors", "none") != "none":  # the embedding has their width
        own["word_width"] = next((tensor.shape[1] for name, tensor in state.items() if name.endswith("embedding.weight")), 0)
    model = build_model(model_config(defaults=own), load_vocabulary(folder / "vocabulary.json"))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise RunError(
            f"{folder / 'model.safetensors'}: expected the weights of the {config.model.name} that config.json and "
            f"vocabulary.json describe, found others ({' '.join(str(error).split())[:300]}). {AGAIN}"
        ) from error
    model.config = config.model
    return model.to(device).eval()


def read_config(folder: Path) -> RunConfig:
    """The settings of a run's folder. RunError for a file that is no JSON, ConfigError for other settings; both name it."""
    path = folder / "config.json"
    try:
        raw = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: expected JSON, found damage ({error}): the run's settings stand there. {AGAIN}") from error
    try:
        return RunConfig.from_dict(raw, older=True)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def refuse_weights_of_another(folder: Path, config: RunConfig) -> None:
    """RunError where the weights of a run's folder say that they are of other settings than `config`. Only their head is read."""
    path = folder / "model.safetensors"
    own = _of_metadata(read_metadata(path, again=AGAIN))
    if own.get("run", config.name) != config.name:
        raise RunError(
            f"{path}: expected the weights of {config.name}, whose settings stand in config.json, found those of {own['run']}: "
            f"one of the two files was changed or is of another run. {AGAIN}"
        )


def _check(folder: Path, config: RunConfig, state: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """RunError where weights, settings and vocabulary are not of one run, or the weights not those that were saved."""
    refuse_weights_of_another(folder, config)
    own, path = _of_metadata(metadata), folder / "model.safetensors"
    if "vocabulary" in own and (found := _hash(folder / "vocabulary.json")) != own["vocabulary"]:
        raise RunError(
            f"{folder / 'vocabulary.json'}: expected the vocabulary that {path.name} was trained with ({own['vocabulary']}), "
            f"found another ({found}). {AGAIN}"
        )
    written = own.get("weights") or _recorded(folder)
    if written and (found := fingerprint(state)) != written:
        raise RunError(f"{path}: expected the weights that the run saved ({written}), found others ({found}). {AGAIN}")


def _of_metadata(metadata: dict[str, str]) -> dict[str, str]:
    try:
        own = json.loads(metadata.get(OWN, "{}"))
    except ValueError:
        own = {}
    return own if isinstance(own, dict) else {}


def _recorded(folder: Path) -> str | None:
    """The hash of the weights that the run's environment.json names, for weights that somebody saved again without theirs."""
    try:
        return json.loads((folder / "environment.json").read_text(encoding="utf-8"))["weights"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):  # an older run, or a copy without it
        return None


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def save_earlier(folder: Path, model: ComposedModel, step: int) -> None:
    """The weights as they are after `step` steps, beside the state of training: what the last steps changed is told from them."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    own = {"step": step, "weights": fingerprint(tensors)}
    write_atomically(folder / EARLIER, lambda beside: save_file(tensors, beside, {OWN: json.dumps(own, sort_keys=True)}))


def load_earlier(folder: Path, model: ComposedModel) -> int | None:
    """Puts the weights of `save_earlier` into `model` and returns their step; None where there are none that fit."""
    path = folder / EARLIER
    if not path.is_file():
        return None
    try:
        state, metadata = read_safetensors(path)
        own = _of_metadata(metadata)
        if own.get("weights") != fingerprint(state):
            return None
        model.load_state_dict(state)
    except (RuntimeError, RunError):
        return None
    return int(own["step"])


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Everything that resuming needs, and its hash, in one file."""
    write_atomically(path, lambda beside: torch.save({**state, "hash": fingerprint(state)}, beside))


def load_state(path: Path) -> dict[str, Any]:
    """The state that `save_state` wrote; tensors and plain values alone are admitted. RunError for any other file."""
    state = read_torch_file(path, "the state of a run's training", again=FROM_THE_START)
    if not isinstance(state, dict) or "step" not in state:
        raise RunError(f"{path}: expected the state of a run's training, found {type(state).__name__}. {FROM_THE_START}")
    written = state.pop("hash", None)  # None: of an earlier version
    if written is not None and (found := fingerprint(state)) != written:
        raise RunError(f"{path}: expected the state that was saved ({written}), found damage ({found}). {FROM_THE_START}")
    return state
