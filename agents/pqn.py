"""Parallelised Q-learning (Gallici et al. 2025): Q(λ) on rollouts of many environments, without replay or target.

Layer normalisation takes the place of both: it keeps learned values bounded where they bootstrap from themselves.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.off_policy.critic import QNetwork
from agent_gym.agents.off_policy.q_policy import QPolicy
from agent_gym.agents.on_policy import OnPolicy
from agent_gym.agents.settings.pqn import PQNConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.nets.learner.learner import Stats


def pqn_loss(network: QNetwork, batch: dict, state: Tensor) -> tuple[Tensor, Stats]:
    """Half the squared error of Q(s, a) to the Q(λ) target (algorithm 1).

    batch: obs, reset, action and returns (the target), each [T, B, ...], and optionally valid [T, B], False where a
    step carried no action. state: [B, S] before the first step. Returns the loss [] and detached stats.
    """
    features, _ = network.encoder(batch["obs"], state, batch["reset"])
    q = network.of(network.values(features), batch["action"])
    error = q - batch["returns"]
    if "valid" in batch:
        q, error = q[batch["valid"]], error[batch["valid"]]
    loss = 0.5 * error.square().mean()
    return loss, {"q_loss": loss.detach(), "q_mean": q.detach().mean()}


class PQN(OnPolicy):
    """A network of action values that learns from what it has just done.

    The targets are those of generalised advantage estimation with max Q as the value: returns = advantage + max Q obeys
    the recursion of Q(λ), R = r + γ (λ R' + (1 - λ) max Q(s', ·)).
    """

    policy_class = QPolicy
    policy: QPolicy
    action_spaces = (spaces.Discrete,)
    acted = ("value",)

    def __init__(self, config: PQNConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        self.learners = {"q": self.learner}
        self.trace = config.q_lambda
        self.chance = torch.zeros((), device=self.device)  # epsilon, where a graph finds it

    def loss(self, batch: dict, state: Tensor) -> tuple[Tensor, Stats]:
        return pqn_loss(self.network, batch, state)

    def _explore_at(
        self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        return self.policy.act_and_value(obs, state, reset, mask, self.generator, self.chance)

    def _value(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None) -> Tensor:
        return self.policy.value(obs, state, reset, None if mask is None else self.here(mask))

    def collect(self) -> dict[str, float] | None:
        epsilon = self.config.epsilon(self.progress)
        self.chance.fill_(epsilon)
        scalars = super().collect()
        return None if scalars is None else scalars | {"rollout/epsilon": epsilon}
