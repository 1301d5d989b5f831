"""What acts, apart from what learns."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.groups import RoutedNorm, group_spaces
from agent_gym.agents.settings.base import AgentConfig
from agent_gym.ground.tree import Tree, tree_leaves, tree_map
from agent_gym.nets.distributions import Noise
from agent_gym.nets.normalisation import ObsNorm


def one_step(obs: Tree) -> Tree:
    """obs [B, ...] as a sequence of one step, [1, B, ...]."""
    return tree_map(lambda x: x.unsqueeze(0), obs)


class Policy(nn.Module):
    """Networks, observation statistics and memory: everything that acting needs, and nothing that training needs.

    Built from the canonical spaces of one environment and the settings alone; its state_dict is what best.pt holds.
    A subclass makes `network` (and other networks that acting or watching asks) and sets `state_dim`.
    """

    network: nn.Module
    state_dim: int = 0
    """Numbers of memory for each environment."""

    def __init__(self, obs_space: spaces.Space, action_space: spaces.Space, config: AgentConfig) -> None:
        super().__init__()
        self.obs_space, self.action_space, self.config = obs_space, action_space, config
        self.obs_norm: nn.Module = nn.Identity()
        if hasattr(config, "normalize_obs"):  # the networks are of this library
            norm = RoutedNorm if group_spaces(obs_space) else ObsNorm
            self.obs_norm = norm(obs_space, always=config.normalize_obs, cells=config.cells)

    @abstractmethod
    def act(
        self,
        obs: Any,
        state: Tensor,
        reset: Tensor,
        mask: Tensor | None = None,
        *,
        explore: bool = False,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Actions for obs [B, ...]; state [B, state_dim]; reset [B] bool, True where an episode starts.

        `mask` [B, n] bool: the allowed ones of n discrete actions; None: all. `explore` draws as at the end of
        training, with `generator`. Returns the action as the environment takes it [B, ...], the next state and extras
        [B]: "action" is the agent's own form of it.
        """

    exportable = False
    """Whether it can leave as a graph: it has what export.acting.ExportablePolicy asks."""
    decides_by_mask = False
    """Whether the `decide` of an exportable policy takes a mask [B, n]."""

    def inspect(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """What a spectator sees beside the picture, [B, ...]: "value" in units of reward and the policy's own numbers.

        Takes what `act` takes and changes nothing. Of distributions see agents.networks.describe; "q" [B, n] are
        values of discrete actions. A policy without such numbers gives none.
        """
        return {}

    def networks(self) -> nn.Module:
        """All networks as one module that takes what an encoder takes; for looking at the layers."""
        return self.network

    def initial_state(self, num_envs: int) -> Tensor:
        """The memory before the first observation, [num_envs, state_dim]."""
        return torch.zeros(num_envs, self.state_dim, device=self.device)

    def nothing(self, obs: Tree) -> tuple[Tensor, Tensor]:
        """State [B, 0] and reset [B] beside obs [B, ...] for a policy without memory."""
        count = len(next(iter(tree_leaves(obs))))
        return torch.zeros(count, 0, device=self.device), torch.zeros(count, dtype=torch.bool, device=self.device)

    @property
    def device(self) -> torch.device:
        """Where it lives."""
        return next(self.parameters()).device


class DecidesByHead:
    """What export.acting.ExportablePolicy asks, of a policy with a head that draws: before `Policy` in its bases."""

    network: nn.Module
    decides_by_mask = True

    def decide(self, features: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return self.network.head.decide(features, noise, mask)

    def noise(self, features: Tensor) -> Noise:
        return self.network.head(features).noise
