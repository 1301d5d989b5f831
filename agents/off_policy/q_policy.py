"""The policy of agents of action values: the best action, or now and then another."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.groups import RoutedQ, group_spaces
from agent_gym.agents.off_policy.critic import QNetwork, make_q_network
from agent_gym.agents.policy import Policy, one_step
from agent_gym.agents.settings.base import AgentConfig
from agent_gym.ground.errors import UserError
from agent_gym.nets.distributions import Noise
from agent_gym.nets.return_scale import ReturnStats
from agent_gym.nets.values import make_values


class QPolicy(Policy):
    """The best of the actions by a network of their values.

    Of the settings it reads those of values (`agents.settings.values`) and `epsilon(1.0)`, the chance of a random
    action in the end, beside what every policy does.
    """

    network: QNetwork | RoutedQ

    def __init__(self, obs_space: spaces.Space, action_space: spaces.Space, config: AgentConfig) -> None:
        super().__init__(obs_space, action_space, config)

        def make(space: spaces.Space) -> QNetwork:
            return make_q_network(
                space, action_space, config, config.dueling, partial(make_values, config), config.noisy
            )

        self.exportable = self.alone = not group_spaces(obs_space)
        """Whether one network is for all."""
        if not self.alone and (config.noisy or config.implicit):
            raise UserError(f"--{'noisy' if config.noisy else 'implicit'} is for one kind of agents: leave it out")
        if not isinstance(action_space, spaces.Discrete) and (config.implicit or config.atoms):
            raise UserError(
                f"--{'implicit' if config.implicit else 'atoms'} is for Discrete actions, not for {action_space}: "
                "leave it out"
            )
        self.network = make(obs_space) if self.alone else RoutedQ(obs_space, make)
        self.state_dim = self.network.state_dim
        self.return_stats = ReturnStats()

    def forward(self, obs: Any, state: Tensor, reset: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Q [B, n], of several choices [B, m, n], and the next state of one step."""
        q, state = self.network(one_step(self.obs_norm(obs)), state, reset.unsqueeze(0), noise)
        return q[0], state

    @torch.no_grad()
    def act(self, obs: Any, state: Tensor, reset: Tensor, mask=None, *, explore=False, generator=None, epsilon=None):
        """`epsilon` [] or a number: the chance of a random action where `explore`; None: that of the training's end."""
        q, state = self(obs, state, reset, self.network.drawn(generator) if explore else None)
        action = self.network.best(q, mask)
        chance = self.config.epsilon(1.0) if epsilon is None else epsilon
        if explore and (isinstance(chance, Tensor) or chance):
            shape = (1 + self.network.choices, len(action))
            drawn = torch.rand(shape, generator=generator, device=action.device)
            if isinstance(chance, Tensor) or bool((drawn[0] < chance).any()):  # most often nobody does on a CPU
                action = self.sometimes(chance, drawn, mask, action)
        return action, state, {"action": action}

    def sometimes(self, chance: float | Tensor, drawn: Tensor, mask: Tensor | None, action: Tensor) -> Tensor:
        """The action [B, ...], or with this chance another, by uniform numbers [1 + choices, B]."""
        random = drawn[0] < chance
        return torch.where(random.view(-1, *[1] * (action.dim() - 1)), self.network.random(drawn[1:], mask), action)

    decides_by_mask = True

    def decide(self, features: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        action = self.network.best(self.network.mean(features)[0], mask)
        if noise is not None:
            action = self.sometimes(self.config.epsilon(1.0), noise.transpose(0, 1), mask, action)
        return action

    def noise(self, features: Tensor) -> Noise:
        return Noise("uniform", (1 + self.network.choices,))

    @torch.no_grad()
    def inspect(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        q = self.return_stats.in_reward(self(obs, state, reset)[0])
        best = q.gather(-1, self.network.best(q, mask).unsqueeze(-1)).squeeze(-1)
        return {"value": self.network.joined(best.unsqueeze(0)).squeeze(0), "q": q}

    @torch.no_grad()
    def act_and_value(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None, generator, epsilon):
        """`act` with exploration; in the extras also "value" [B], the largest Q as the network has it."""
        q, state = self(obs, state, reset)
        value, action = self.network.allowed(q, mask).max(-1)
        drawn = torch.rand(2, len(action), generator=generator, device=action.device)
        action = self.sometimes(epsilon, drawn, mask, action)
        return action, state, {"action": action, "value": value}

    @torch.no_grad()
    def value(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> Tensor:
        """max Q(obs, ·) over the allowed actions as the network has it, [B]."""
        return self.network.allowed(self(obs, state, reset)[0], mask).amax(-1)
