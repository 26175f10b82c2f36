"""Show and Tell as a query encoder: an LSTM reads the image first, then the words (Vinyals et al., CVPR 2015, arXiv 1411.4555).

The paper describes a caption generator; Vo et al. (CVPR 2019) reuse its encoder for retrieval and only say that the last state is
the query. Our choices: the image's gallery vector is the first input, through a linear map; the query is the last state, through
another; and the LSTM has one layer of `text_width`.
Shapes: B batch, T words, E width of a word embedding, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.models.base import Features, VectorModel
from maaf_lab.models.encoders.text import WordConfig, WordText, last_token, read_in_order


class ShowAndTell(VectorModel):
    """The last state of an LSTM over [image, word 1, ..., word T]; with no word, its state after the image."""

    class Config(WordConfig, VectorModel.Config):
        name: str = "show_and_tell"
        """The system."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.words = WordText(config, vocabulary)
        self.enter = nn.Linear(config.width, self.words.word_width)
        self.lstm = nn.LSTM(self.words.word_width, config.text_width, batch_first=True)
        self.leave = nn.Sequential(nn.Dropout(config.text_dropout), nn.Linear(config.text_width, config.width))

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        image_B1E = self.enter(self.image_vector(features))[:, None].float()
        states = read_in_order(self.lstm, torch.cat([image_B1E, self.words.embedding(text.ids).float()], 1))
        mask = torch.cat([text.mask.new_ones(len(image_B1E), 1), text.mask], 1)
        return self.leave(last_token(states, mask)), None
