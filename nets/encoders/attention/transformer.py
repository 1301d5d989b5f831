"""The transformer as a memory: each step attends to itself and to the steps of a window before it.

Pre-norm layers (Xiong et al. 2020) with a learned bias for each head and age (Raffel et al. 2020). The keys and
values of the window are the state, so acting step by step and a whole sequence give the same numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agent_gym.ground.tree import Tree
from agent_gym.nets.encoders.attention.layer import TransformerLayer
from agent_gym.nets.encoders.base import Encoder
from agent_gym.nets.precision import precisely
from agent_gym.nets.settings import EncoderSettings


class WindowAttention(nn.Module):
    """Causal layers over steps [B, T, d], with the keys and values of the steps before as an argument."""

    def __init__(self, config: EncoderSettings) -> None:
        super().__init__()
        size, heads = config.attention_size, config.attention_heads
        self.window = config.attention_window
        self.layers = nn.ModuleList(
            TransformerLayer(size, heads, config.dropout) for _ in range(config.attention_layers)
        )
        self.norm = nn.LayerNorm(size)
        self.age_bias = nn.Parameter(torch.zeros(heads, self.window))

    def bias(self, query_episode: Tensor, key_episode: Tensor) -> Tensor:
        """What scores take, [B, heads, T, S]: the bias of the key's age, -inf for another episode or out of the window.

        Episodes [B, T] and [B, S] count the resets; the last T keys are those of the queries.
        """
        steps, keys = query_episode.shape[1], key_episode.shape[1]
        place = torch.arange(keys, device=key_episode.device)
        age = place[keys - steps :].unsqueeze(1) - place  # [T, S]
        in_window = (age >= 0) & (age < self.window)
        seen = in_window & (query_episode.unsqueeze(2) == key_episode.unsqueeze(1))
        bias = self.age_bias[:, age.clamp(0, self.window - 1)]
        return torch.where(seen.unsqueeze(1), bias, float("-inf"))

    def forward(
        self, x: Tensor, bias: Tensor, past: list[tuple[Tensor, Tensor]] | None = None, seen: list | None = None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """x [B, T, d] -> features [B, T, d], and of each layer the keys and values [B, S, d], the past's first.

        `seen` is given the attention weights [B, heads, T, S] of each layer.
        """
        kept = []
        for index, layer in enumerate(self.layers):
            x, key, value = layer(x, bias, None if past is None else past[index], seen)
            kept.append((key, value))
        return self.norm(x), kept


class TransformerEncoder(Encoder):
    """A stem without memory, then attention over the window.

    state: [B, 2 * layers * (window - 1) * d + 1]: keys and values of the steps before, old ones first, zeros where
    there was none; then how many there were.
    """

    def __init__(self, stem: Encoder, config: EncoderSettings) -> None:
        super().__init__()
        self.stem = stem
        self.out_dim = config.attention_size
        # With biases of 0 the norm would take the size of a single number away.
        self.input = nn.Linear(stem.out_dim, self.out_dim)
        self.attention = WindowAttention(config)
        self.past = config.attention_window - 1
        self.shape = (config.attention_layers, 2, self.past, self.out_dim)
        self.state_dim = 2 * config.attention_layers * self.past * self.out_dim + 1

    def forward(
        self, obs: Tree, state: Tensor, reset: Tensor, seen: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """`seen` is given the attention weights [B, heads, T, window - 1 + T] of each layer."""
        x = self.stem(obs, state, reset)[0]
        return precisely(lambda x: self._remember(x, state, reset, seen), x)

    def _remember(self, x: Tensor, state: Tensor, reset: Tensor, seen: list[Tensor] | None) -> tuple[Tensor, Tensor]:
        x = self.input(x).transpose(0, 1)
        episode = reset.t().cumsum(1)  # [B, T], 0: the one that the state is from
        slot = torch.arange(-self.past, 0, device=state.device)
        known = torch.where(slot >= -state[:, -1:], 0, -1)  # [B, window - 1], -1: no step
        key_episode = torch.cat((known, episode), dim=1)
        stored = state[:, :-1].unflatten(1, self.shape)
        past = [(layer[:, 0], layer[:, 1]) for layer in stored.unbind(1)]
        x, kept = self.attention(x, self.attention.bias(episode, key_episode), past, seen)
        keep = (key_episode[:, key_episode.shape[1] - self.past :] == episode[:, -1:]).to(x.dtype)  # [B, window - 1]
        latest = torch.stack([part[:, part.shape[1] - self.past :] for layer in kept for part in layer], dim=1)
        latest = latest * keep.unsqueeze(1).unsqueeze(-1)
        return x.transpose(0, 1), torch.cat((latest.flatten(1), keep.sum(1, keepdim=True)), dim=1)
