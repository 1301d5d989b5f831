"""Sequence to sequence with attention (Sutskever et al. 2014; Luong et al. 2015, global attention, "general" score)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agent_gym.nets.encoders.recurrent.encoder import RecurrentEncoder
from agent_gym.nets.encoders.text.sequence import TokenStem
from agent_gym.nets.settings import EncoderSettings


class Translator(nn.Module):
    """A memory reads the source; another, which begins with what it ends with, writes the target.

    Sources are numbers of tokens [S, B] with 0 in front, so that all end at the last step; targets [T, B].
    """

    def __init__(self, vocabulary: int, size: int, dropout: float, settings: EncoderSettings) -> None:
        super().__init__()
        self.reader = RecurrentEncoder(TokenStem(vocabulary, size, dropout), settings)
        self.writer = RecurrentEncoder(TokenStem(vocabulary, size, dropout), settings)
        width = self.reader.out_dim
        self.out_dim = width
        self.state_dim = self.reader.state_dim
        self.match = nn.Linear(width, width, bias=False)
        self.join = nn.Linear(2 * width, width)

    def read(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """What was read at each step [B, S, d], and the memory [B, state_dim] after the last."""
        read, state = self._run(self.reader, source, self.reader.initial_state(source.shape[1]))
        return read.transpose(0, 1), state

    def write(self, target: Tensor, state: Tensor, read: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features [T, B, d] of what comes after each token of the target, the memory, where it looked [B, T, S].

        known [B, S]: where the source has a token.
        """
        written, state = self._run(self.writer, target, state)
        scores = self.match(written).transpose(0, 1) @ read.transpose(1, 2)  # equation 8
        looked = scores.masked_fill(~known.unsqueeze(1), float("-inf")).softmax(-1)
        context = (looked @ read).transpose(0, 1)
        return torch.tanh(self.join(torch.cat((context, written), dim=-1))), state, looked  # equation 5

    @staticmethod
    def _run(memory: RecurrentEncoder, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        reset = torch.zeros(tokens.shape, dtype=torch.bool, device=tokens.device)
        return memory(tokens.unsqueeze(-1), state, reset)
