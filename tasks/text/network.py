"""The network of a task on texts."""

from __future__ import annotations

import math

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.nets.encoders.base import Encoder
from agent_gym.nets.encoders.text.sequence import BagEncoder, Ready, SequenceEncoder
from agent_gym.tasks.config import TaskConfig
from agent_gym.tasks.predictor import Predictor
from agent_gym.tasks.text.inputs import TextInputs


class TextPredictor(Predictor):
    """A bag of words, a memory or attention over tokens, or a line through sentence vectors; then a linear head."""

    def build_encoder(self, space: spaces.Space, config: TaskConfig) -> Encoder:
        spec = self.spec
        inputs = TextInputs.restored(spec.text, math.prod(spec.shape))
        if inputs.kind == "words":
            return BagEncoder(inputs.vocabulary, spec.outputs)
        if inputs.kind == "tokens":
            return SequenceEncoder(inputs.vocabulary, inputs.length, config.encoder_settings())
        return Ready(inputs.length)

    @torch.no_grad()
    def outputs(self, x: Tensor, batch_size: int = 256) -> Tensor:
        return super().outputs(x, batch_size)
