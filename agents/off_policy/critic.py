"""Action values: ensembles of critics, and one network for discrete actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.nets.distributions import RULED_OUT
from agent_gym.nets.encoders.make import has_image, make_encoder
from agent_gym.nets.layers.ensemble import EnsembleMLP
from agent_gym.nets.layers.narrow import Linear
from agent_gym.nets.layers.noisy import NoisyLinear
from agent_gym.nets.mixture import Combinations
from agent_gym.nets.precision import precisely
from agent_gym.nets.settings import EncoderSettings
from agent_gym.nets.trunks.ensemble import EnsembleTrunk
from agent_gym.nets.values.means import Means


class Critic(nn.Module):
    """`num` critics on one encoder, batched: Q(s, a) of continuous or Q(s, ·) of discrete actions.

    Vectors without memory go into the critics' own hidden layers; images and memory pass an encoder that all share.
    `quantiles`: of the return's distribution, for continuous actions; 0: its mean alone. `trunk`: dense layers of
    another kind, by their name in nets/trunks.
    """

    def __init__(
        self,
        obs_space: spaces.Space,
        action_space: spaces.Space,
        config: EncoderSettings,
        num: int,
        quantiles: int = 0,
        trunk: str = "",
    ) -> None:
        super().__init__()
        self.quantiles = quantiles
        if config.encoder in ("auto", "mlp", "linear") and not has_image(obs_space):
            config = replace(config, encoder="linear", encoder_from="", freeze_encoder=False)
        self.encoder = make_encoder(obs_space, config)
        self.state_dim = self.encoder.state_dim
        self.discrete = isinstance(action_space, spaces.Discrete)
        self.combinations = None
        if isinstance(action_space, spaces.Dict):  # a value for each combination of choices, with the numbers as inputs
            self.combinations = Combinations(action_space["choices"])
            actions, outputs = sum(box.shape[0] for box in action_space["boxes"]), self.combinations.count
        else:
            actions = 0 if self.discrete else int(torch.Size(action_space.shape).numel())
            outputs = int(action_space.n) if self.discrete else max(quantiles, 1)
        self.numbers, self.valued = actions, self.discrete or self.combinations is not None
        shape = (num, self.encoder.out_dim + actions, config.hidden_sizes, outputs)
        if trunk:
            self.heads: nn.Module = EnsembleTrunk(trunk, *shape, config.activation)
        else:
            self.heads = EnsembleMLP(*shape, config.activation, config.layer_norm)

    def forward(
        self, features: Tensor, action: Tensor | None = None, first: int | None = None, **how: Tensor
    ) -> Tensor:
        """Values of features [T, B, F]: [num, T, B] of actions [T, B, m], or [num, T, B, n] of all n discrete ones.

        `first`: only so many of the critics; `how`: what the trunk takes beside its inputs.
        """
        inputs = features if action is None or self.discrete else torch.cat((features, action), dim=-1)
        values = self.heads(inputs.flatten(0, 1), first, **how).unflatten(1, features.shape[:2])
        if self.quantiles:
            return values.mean(-1)
        return values if self.valued else values.squeeze(-1)

    def atoms(self, features: Tensor, action: Tensor, **how: Tensor) -> Tensor:
        """The quantiles of continuous actions [T, B, m] by each critic, [num, T, B, k]."""
        inputs = torch.cat((features, action), dim=-1)
        return self.heads(inputs.flatten(0, 1), **how).unflatten(1, features.shape[:2])

    def together(self, values: Tensor) -> Tensor:
        """What the critics' values [num, ...] come to: the smallest, or the mean for quantiles."""
        return values.mean(0) if self.quantiles else values.amin(0)

    def of_action(self, features: Tensor, action: Tensor, **how: Tensor) -> Tensor:
        """[num, T, B], the values of actions [T, B, ...] that were taken."""
        if self.combinations is not None:
            split = action.shape[-1] - self.numbers
            choices, action = action.split((split, self.numbers), -1)
            values, action = self(features, action, **how), self.combinations.number(choices)
        else:
            values = self(features, action, **how)
        if not self.valued:
            return values
        return values.gather(-1, action.expand(values.shape[0], *action.shape).unsqueeze(-1)).squeeze(-1)


class QNetwork(nn.Module):
    """Values of discrete actions, dueling on demand (Wang et al. 2016).

    `returns` says what their numbers are: means, or a distribution by k numbers. With `noisy` the last layer has noise
    on its weights. `forward(obs [T, B, ...], state [B, S], reset [T, B])` returns Q [T, B, n] and the next state.
    """

    choices = 1
    """Numbers in an action."""

    def __init__(
        self,
        obs_space: spaces.Space,
        action_space: spaces.Discrete | spaces.MultiDiscrete,
        config: EncoderSettings,
        dueling: bool,
        make_returns: Callable[[int], Means],
        noisy: bool = False,
    ) -> None:
        """`make_returns` is given the size of the features."""
        super().__init__()
        self.encoder = make_encoder(obs_space, config)
        self.state_dim = self.encoder.state_dim
        self.returns = make_returns(self.encoder.out_dim)
        self.actions, self.dueling, self.noisy = self.count(action_space), dueling, noisy
        # A dueling head has one output more: the value of the state stands in front of the advantages.
        size = (self.encoder.out_dim, (self.actions + dueling) * self.returns.numbers)
        self.head = NoisyLinear(*size) if noisy else Linear(*size)

    def count(self, action_space: spaces.Space) -> int:
        """Values of one state."""
        return int(action_space.n)

    def values(self, features: Tensor, noise: Tensor | None = None, level: Tensor | None = None) -> Tensor:
        """Values of features [T, B, F], [T, B, n] or [T, B, n, k].

        `noise` on the weights; `level` [T, B, k] of the quantiles, where it is an input.
        """
        head = self.head if noise is None else partial(self.head, noise=noise)
        out = self.returns.formed(precisely(head, self.returns.lifted(features, level)))
        return self._duel(out, -2 if self.returns.many else -1) if self.dueling else out

    def _duel(self, out: Tensor, dim: int) -> Tensor:
        """Value plus advantage less its mean (equation 9), the value standing first along `dim`."""
        value, advantage = out.split((1, out.shape[dim] - 1), dim)
        return value + advantage - advantage.mean(dim, keepdim=True)

    def mean(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """Q of features [T, B, F], [T, B, n]."""
        return self.returns.mean(self.values(features, noise))

    def drawn(self, generator: torch.Generator | None) -> Tensor | None:
        """Noise for the weights; None where they have none."""
        if not self.noisy:
            return None
        return torch.randn(self.head.noise_size, generator=generator, device=self.head.weight.device)

    def forward(self, obs: Any, state: Tensor, reset: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features, state = self.encoder(obs, state, reset)
        return self.mean(features, noise), state

    def best(self, q: Tensor, mask: Tensor | None) -> Tensor:
        """The best allowed action for Q [..., n]; mask [..., n]."""
        return self.allowed(q, mask).argmax(-1)

    def allowed(self, q: Tensor, mask: Tensor | None) -> Tensor:
        """Q [..., n], very low where the mask [..., n] rules an action out."""
        return q if mask is None else q.masked_fill(~mask, RULED_OUT)

    def random(self, drawn: Tensor, mask: Tensor | None) -> Tensor:
        """An action [B] among the allowed ones, by uniform numbers [1, B]."""
        if mask is None:  # clamped: a product may be rounded up to the number itself
            return (drawn[0] * self.actions).long().clamp(max=self.actions - 1)
        return ranked(drawn[0], mask)

    def of(self, values: Tensor, action: Tensor) -> Tensor:
        """Values [..., n] or [..., n, k] of actions [...]."""
        action = action.unsqueeze(-1)
        if not self.returns.many:
            return values.gather(-1, action).squeeze(-1)
        return values.gather(-2, action.unsqueeze(-1).expand(*action.shape, values.shape[-1])).squeeze(-2)

    def joined(self, x: Tensor) -> Tensor:
        """What the choices of an action [T, B, ...] come to together, which is one here."""
        return x

    def spread(self, x: Tensor) -> Tensor:
        """What holds for all choices of an action, beside theirs."""
        return x

    def error(self, x: Tensor) -> Tensor:
        """The error of an action [T, B] by those of its choices."""
        return x


class BranchingQNetwork(QNetwork):
    """Values of the m choices of a MultiDiscrete, which share the value of the state (Tavakoli et al. 2018).

    Q is [T, B, m, n], the choices padded to the largest; the value of an action is the mean over its choices.
    """

    def count(self, action_space: spaces.MultiDiscrete) -> int:
        sizes = torch.as_tensor(action_space.nvec.ravel()).long()
        self.choices, self.largest = len(sizes), int(sizes.max())
        there = torch.arange(self.largest) < sizes[:, None]
        self.register_buffer("there", there, persistent=False)
        self.register_buffer("columns", there.flatten().nonzero().flatten(), persistent=False)
        return there.numel()

    def values(self, features: Tensor, noise: Tensor | None = None, level: Tensor | None = None) -> Tensor:
        values = super().values(features, noise, level)
        return values if self.dueling else values.unflatten(2, (self.choices, self.largest))

    def _duel(self, out: Tensor, dim: int) -> Tensor:
        """Value plus advantage less its mean within each choice (equation 1)."""
        value, advantage = out.split((1, out.shape[dim] - 1), dim)
        advantage = advantage.unflatten(2, (self.choices, self.largest))
        there = self.there.unsqueeze(-1) if self.returns.many else self.there
        total = (advantage * there).sum(3, keepdim=True) / there.sum(1, keepdim=True)
        return value.unsqueeze(2) + advantage - total

    def _allowed(self, mask: Tensor | None) -> Tensor:
        if mask is None:
            return self.there
        flat = torch.zeros(*mask.shape[:-1], self.actions, dtype=torch.bool, device=mask.device)
        return flat.index_copy(-1, self.columns, mask).unflatten(-1, (self.choices, self.largest))

    def allowed(self, q: Tensor, mask: Tensor | None) -> Tensor:
        return q.masked_fill(~self._allowed(mask), RULED_OUT)

    def random(self, drawn: Tensor, mask: Tensor | None) -> Tensor:
        return ranked(drawn.transpose(0, 1), self._allowed(mask).expand(drawn.shape[1], *self.there.shape))

    def joined(self, x: Tensor) -> Tensor:
        return x.mean(2)

    def spread(self, x: Tensor) -> Tensor:
        return x.unsqueeze(2)

    def error(self, x: Tensor) -> Tensor:
        return x.abs().mean(2)


def make_q_network(obs_space: spaces.Space, action_space: spaces.Space, *settings: Any) -> QNetwork:
    """The network for one choice or for several."""
    branching = isinstance(action_space, spaces.MultiDiscrete)
    return (BranchingQNetwork if branching else QNetwork)(obs_space, action_space, *settings)


def ranked(drawn: Tensor, allowed: Tensor) -> Tensor:
    """One of the allowed [..., n] each by a uniform number [...]: all are equally likely."""
    count = allowed.sum(-1)
    rank = torch.minimum((drawn * count).long(), count - 1)
    return (allowed.cumsum(-1) > rank.unsqueeze(-1)).to(torch.uint8).argmax(-1)
