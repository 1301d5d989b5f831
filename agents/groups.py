"""Networks of groups of agents: one each, which the rows of a batch are sent to by the group that they belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.networks import ActorCritic
from agent_gym.agents.off_policy.critic import QNetwork
from agent_gym.envs.vector import GROUP, part_of
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_map
from agent_gym.nets.distributions import Categorical, DiagGaussian, Distribution
from agent_gym.nets.normalisation import ObsNorm


def group_spaces(space: spaces.Space) -> list[spaces.Space]:
    """The spaces of the groups in observations of many agents; [] where there is one group."""
    if not (isinstance(space, spaces.Dict) and GROUP in space.spaces):
        return []
    return [space[part_of(g)] for g in range(int(space[GROUP].n))]


def group_of(obs: Any) -> Tensor | None:
    """The group of each row, in the shape of a reward; None where there is one."""
    return obs.get(GROUP) if isinstance(obs, dict) else None


class Routed(nn.Module):
    """An ActorCritic for each group, used like one."""

    def __init__(self, obs_space: spaces.Space, make: Callable[[spaces.Space], ActorCritic]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(make(space) for space in group_spaces(obs_space))
        self.state_dim = _common("memory", [part.state_dim for part in self.parts])

    @property
    def head(self) -> nn.Module:
        """All have the same kind, for the same actions."""
        return self.parts[0].head

    def _each(self, obs: Any) -> list[tuple[ActorCritic, Any, Tensor]]:
        """Each network with its rows' observations and their places [n]; one row of another where it has none."""
        group, found = obs[GROUP][0], []
        for g, part in enumerate(self.parts):
            rows = (group == g).nonzero().squeeze(1)
            rows = rows if len(rows) else group.new_zeros(1)
            own = tree_map(lambda x, rows=rows: x.index_select(1, rows), obs[part_of(g)])
            found.append((part, own, rows))
        return found

    def act(self, obs: Any, reset: Tensor, mask: Tensor | None = None) -> Distribution:
        found = [
            part.act(own, reset[:, rows], None if mask is None else mask[:, rows])
            for part, own, rows in self._each(obs)
        ]
        return joined(found, self._back(obs))

    def forward(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None):
        found = [
            part(own, state[rows], reset[:, rows], None if mask is None else mask[:, rows])
            for part, own, rows in self._each(obs)
        ]
        distributions, values, states = zip(*found, strict=True)
        back = self._back(obs)
        value = torch.cat(values, 1).index_select(1, back)
        return joined(distributions, back), value, torch.cat(states).index_select(0, back)

    def _back(self, obs: Any) -> Tensor:
        """Where each row lies when those of `_each` stand one behind the other."""
        group, size = obs[GROUP][0], len(self.parts)
        counts = torch.bincount(group, minlength=size)
        first = counts.clamp(min=1).cumsum(0) - counts.clamp(min=1)  # of each group
        within = (group.unsqueeze(1) == torch.arange(size, device=group.device)).long().cumsum(0) - 1
        return first[group] + within.gather(1, group.unsqueeze(1)).squeeze(1)


def joined(parts: Any, back: Tensor) -> Distribution:
    """Distributions over [T, n] each as one over [T, B], in the order `back` [B]."""
    first = parts[0]
    if isinstance(first, Categorical):
        return type(first)(torch.cat([part.logits for part in parts], 1).index_select(1, back))
    if type(first) is not DiagGaussian:
        raise UserError("--sde-every is for one group of agents: leave it out")
    mean = torch.cat([part.mean for part in parts], 1).index_select(1, back)
    log_std = torch.cat([part.log_std.expand_as(part.mean) for part in parts], 1).index_select(1, back)
    return DiagGaussian(mean, log_std)


def _common(what: str, sizes: list[int]) -> int:
    if len(set(sizes)) > 1:
        raise UserError(
            f"the networks of the groups have a {what} of {sizes} numbers: take an encoder that gives one size"
        )
    return sizes[0]


class RoutedQ(nn.Module):
    """A QNetwork for each group, used like one."""

    def __init__(self, obs_space: spaces.Space, make: Callable[[spaces.Space], QNetwork]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(make(space) for space in group_spaces(obs_space))
        self.encoder = RoutedEncoder([part.encoder for part in self.parts])
        self.state_dim, self.actions = self.encoder.state_dim, self.parts[0].actions

    def __getattr__(self, name: str) -> Any:
        """What does not depend on the group is asked of the first: how actions are chosen, drawn and valued."""
        shared = ("best", "allowed", "random", "of", "joined", "spread", "error", "choices", "returns", "drawn")
        return getattr(self.parts[0], name) if name in shared else super().__getattr__(name)

    def _chosen(self, features: Tensor, ask: Callable[[QNetwork, Tensor], Tensor]) -> Tensor:
        group, features = features[..., -1], features[..., :-1]
        found = ask(self.parts[0], features)
        for g, part in enumerate(self.parts[1:], 1):
            mine = (group == g).view(*group.shape, *[1] * (found.dim() - group.dim()))
            found = torch.where(mine, ask(part, features), found)
        return found

    def values(self, features: Tensor) -> Tensor:
        return self._chosen(features, QNetwork.values)

    def mean(self, features: Tensor) -> Tensor:
        return self._chosen(features, QNetwork.mean)

    def forward(self, obs: Any, state: Tensor, reset: Tensor, noise: None = None) -> tuple[Tensor, Tensor]:
        features, state = self.encoder(obs, state, reset)
        return self.mean(features), state


class RoutedEncoder(nn.Module):
    """The groups' encoders; features [T, B, F + 1] end with the group."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.out_dim = _common("width", [part.out_dim for part in parts]) + 1
        self.state_dim = _common("memory", [part.state_dim for part in parts])

    def forward(self, obs: Any, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        group = obs[GROUP]
        found = [part(obs[part_of(g)], state, reset) for g, part in enumerate(self.parts)]
        features, after = found[0]
        for g, (own, own_state) in enumerate(found[1:], 1):
            features = torch.where((group == g).unsqueeze(-1), own, features)
            after = torch.where((group[0] == g).unsqueeze(-1), own_state, after)
        return torch.cat((features, group.unsqueeze(-1).to(features.dtype)), -1), after


class RoutedNorm(nn.Module):
    """An ObsNorm for each group, used like one."""

    def __init__(self, obs_space: spaces.Space, **options: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList(ObsNorm(space, **options) for space in group_spaces(obs_space))

    def _own(self, obs: Any, g: int) -> Any:
        """The rows of one group, [n, ...]."""
        mine = obs[GROUP] == g
        return tree_map(lambda x: x[mine], obs[part_of(g)])

    def start(self, obs: Any) -> None:
        for g, part in enumerate(self.parts):
            part.start(self._own(obs, g))

    def update(self, obs: Any) -> None:
        for g, part in enumerate(self.parts):
            part.update(self._own(obs, g))

    def single(self, obs: Any) -> Any:
        return obs | {part_of(g): part.single(obs[part_of(g)]) for g, part in enumerate(self.parts)}

    def forward(self, obs: Any) -> Any:
        return obs | {part_of(g): part(obs[part_of(g)]) for g, part in enumerate(self.parts)}
