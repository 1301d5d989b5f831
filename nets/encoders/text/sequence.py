"""Texts as numbers of tokens [T, B, L], 0 behind their end, to features: a bag of words, a memory, or attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agent_gym.nets.encoders.attention.layer import TransformerLayer
from agent_gym.nets.encoders.base import Encoder
from agent_gym.nets.encoders.recurrent.encoder import RecurrentEncoder
from agent_gym.nets.settings import EncoderSettings


class BagEncoder(Encoder):
    """The sum of a vector for each token, in any order: with a linear head, logistic regression on word counts."""

    def __init__(self, vocabulary: int, size: int) -> None:
        super().__init__()
        self.out_dim = size
        self.words = nn.EmbeddingBag(vocabulary, size, mode="sum", padding_idx=0)
        nn.init.zeros_(self.words.weight)

    def forward(self, obs: Tensor, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        return self.words(obs.flatten(0, -2)).view(*obs.shape[:-1], self.out_dim), state


class Ready(Encoder):
    """Features that need no more work."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.out_dim = size

    def forward(self, obs: Tensor, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        return obs, state


class TokenMemory(nn.Module):
    """x [N, L, d] -> features [N, L, H] of an rnn, lstm or gru that reads the tokens in order."""

    def __init__(self, size: int, config: EncoderSettings) -> None:
        super().__init__()
        self.memory = RecurrentEncoder(Ready(size), config)
        self.out_dim = self.memory.out_dim

    def forward(self, x: Tensor, known: Tensor, seen: list[Tensor] | None = None) -> Tensor:
        """known [N, L]: whether there is a token."""
        start = x.new_zeros(len(x), self.memory.state_dim)
        reset = torch.zeros(x.shape[1], len(x), dtype=torch.bool, device=x.device)
        return self.memory(x.transpose(0, 1), start, reset)[0].transpose(0, 1)


class TokenAttention(nn.Module):
    """x [N, L, d] -> features [N, L, d] of layers in which all tokens see all tokens."""

    def __init__(self, length: int, config: EncoderSettings) -> None:
        super().__init__()
        self.out_dim = size = config.attention_size
        self.place = nn.Parameter(torch.randn(length, size) * 0.02)
        self.layers = nn.ModuleList(
            TransformerLayer(size, config.attention_heads, config.dropout) for _ in range(config.attention_layers)
        )
        self.norm = nn.LayerNorm(size)

    def forward(self, x: Tensor, known: Tensor, seen: list[Tensor] | None = None) -> Tensor:
        """known [N, L]: whether there is a token. `seen` is given each layer's attention weights [N, heads, L, L]."""
        x = x + self.place[: x.shape[1]]
        bias = padding_bias(known)
        for layer in self.layers:
            x, _, _ = layer(x, bias, seen=seen)
        return self.norm(x)


class SequenceEncoder(Encoder):
    """A vector for each token, a memory or attention over them, and the mean and the largest of what they give."""

    def __init__(self, vocabulary: int, length: int, config: EncoderSettings) -> None:
        super().__init__()
        size = config.attention_size
        self.tokens = nn.Embedding(vocabulary, size, padding_idx=0)
        self.drop = nn.Dropout(config.dropout)
        attends = config.encoder == "transformer"
        self.core = TokenAttention(length, config) if attends else TokenMemory(size, config)
        self.out_dim = 2 * self.core.out_dim

    def forward(
        self, obs: Tensor, state: Tensor, reset: Tensor, seen: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        tokens = obs.flatten(0, -2)
        tokens = tokens[:, : max(int((tokens != 0).sum(1).max()), 1)]
        known = tokens != 0
        known[:, 0] = True  # a text without tokens is one of padding
        features = self.core(self.drop(self.tokens(tokens)), known, seen)
        there = known.unsqueeze(-1)
        mean = (features * there).sum(1) / there.sum(1)
        largest = features.masked_fill(~there, float("-inf")).amax(1)
        return self.drop(torch.cat((mean, largest), dim=-1)).view(*obs.shape[:-1], self.out_dim), state


def padding_bias(known: Tensor) -> Tensor:
    """[N, 1, 1, L]: -inf where there is no token."""
    bias = torch.zeros(known.shape, device=known.device).masked_fill_(~known, float("-inf"))
    return bias[:, None, None, :]


class TokenStem(Encoder):
    """A vector for each token of a stream [T, B, 1], for a memory to read."""

    def __init__(self, vocabulary: int, size: int, dropout: float) -> None:
        super().__init__()
        self.out_dim = size
        self.tokens = nn.Embedding(vocabulary, size)
        self.drop = nn.Dropout(dropout)

    def forward(self, obs: Tensor, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        return self.drop(self.tokens(obs.squeeze(-1))), state
