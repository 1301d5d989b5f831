"""Action values: ensembles of critics, and one network for discrete actions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.nets.encoders.make import has_image, make_encoder
from agent_gym.nets.ensemble import EnsembleMLP
from agent_gym.nets.precision import precisely
from agent_gym.nets.settings import EncoderSettings


class Critic(nn.Module):
    """`num` critics on one encoder, batched: Q(s, a) of continuous or Q(s, ·) of discrete actions.

    Vectors without memory go into the critics' own hidden layers; images and memory pass an encoder that all share.
    """

    def __init__(self, obs_space: spaces.Space, action_space: spaces.Space, config: EncoderSettings, num: int) -> None:
        super().__init__()
        if config.encoder in ("auto", "mlp", "linear") and not has_image(obs_space):
            config = replace(config, encoder="linear", encoder_from="", freeze_encoder=False)
        self.encoder = make_encoder(obs_space, config)
        self.state_dim = self.encoder.state_dim
        self.discrete = isinstance(action_space, spaces.Discrete)
        actions = 0 if self.discrete else int(torch.Size(action_space.shape).numel())
        outputs = int(action_space.n) if self.discrete else 1
        self.heads = EnsembleMLP(
            num,
            self.encoder.out_dim + actions,
            config.hidden_sizes,
            outputs,
            activation=config.activation,
            layer_norm=config.layer_norm,
        )

    def forward(self, features: Tensor, action: Tensor | None = None, first: int | None = None) -> Tensor:
        """Values of features [T, B, F]: [num, T, B] of actions [T, B, m], or [num, T, B, n] of all n discrete ones.

        `first`: only so many of the critics.
        """
        inputs = features if action is None or self.discrete else torch.cat((features, action), dim=-1)
        values = self.heads(inputs.flatten(0, 1), first).unflatten(1, features.shape[:2])
        return values if self.discrete else values.squeeze(-1)

    def of_action(self, features: Tensor, action: Tensor) -> Tensor:
        """[num, T, B], the values of actions [T, B, ...] that were taken."""
        values = self(features, action)
        if not self.discrete:
            return values
        return values.gather(-1, action.expand(values.shape[0], *action.shape).unsqueeze(-1)).squeeze(-1)


class QNetwork(nn.Module):
    """Values of discrete actions, dueling on demand (Wang et al. 2016), as means or as quantiles (Dabney et al. 2018).

    `forward(obs [T, B, ...], state [B, S], reset [T, B])` returns Q [T, B, n] and the next state.
    """

    def __init__(
        self,
        obs_space: spaces.Space,
        action_space: spaces.Discrete,
        config: EncoderSettings,
        dueling: bool,
        quantiles: int,
    ) -> None:
        super().__init__()
        self.encoder = make_encoder(obs_space, config)
        self.state_dim = self.encoder.state_dim
        self.actions, self.quantiles, self.dueling = int(action_space.n), quantiles, dueling
        # A dueling head has one output more: the value of the state stands in front of the advantages.
        self.head = nn.Linear(self.encoder.out_dim, (self.actions + dueling) * max(quantiles, 1))

    def values(self, features: Tensor) -> Tensor:
        """Q of features [T, B, F]: [T, B, n], or its quantiles [T, B, n, k]."""
        out = precisely(self.head, features)
        if self.quantiles:
            out = out.unflatten(-1, (-1, self.quantiles))
            return _duel(out, -2) if self.dueling else out
        return _duel(out, -1) if self.dueling else out

    def mean(self, features: Tensor) -> Tensor:
        """Q of features [T, B, F], [T, B, n]."""
        values = self.values(features)
        return values.mean(-1) if self.quantiles else values

    def forward(self, obs: Any, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        features, state = self.encoder(obs, state, reset)
        return self.mean(features), state


def _duel(out: Tensor, dim: int) -> Tensor:
    """Value plus advantage less its mean (equation 9), the value standing first along `dim`."""
    value, advantage = out.split((1, out.shape[dim] - 1), dim)
    return value + advantage - advantage.mean(dim, keepdim=True)
