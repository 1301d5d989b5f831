"""Behaviour cloning, and DAgger (Ross et al. 2011): supervised learning of what somebody else did or would do."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.networks import Actor, describe
from agent_gym.agents.off_policy.acting import Acting
from agent_gym.agents.off_policy.agent import OffPolicy
from agent_gym.agents.off_policy.batches import batch_mean
from agent_gym.agents.off_policy.features import obs_features
from agent_gym.agents.offline.heads import policy_head
from agent_gym.agents.policy import Policy, one_step
from agent_gym.agents.settings.bc import BCConfig, DAggerConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.nets.distributions import Categorical, Distribution, Noise
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.return_scale import ReturnStats
from agent_gym.nets.target import TargetNetwork


class BCPolicy(Policy):
    """An encoder and any policy head."""

    network: Actor
    exportable = True

    def __init__(self, obs_space: spaces.Space, action_space: spaces.Space, config: BCConfig) -> None:
        super().__init__(obs_space, action_space, config)
        self.network = Actor(obs_space, config, lambda in_dim: policy_head(config.head, action_space, in_dim))
        self.state_dim = self.network.state_dim
        self.return_stats = ReturnStats()

    def forward(self, obs: Any, state: Tensor, reset: Tensor) -> tuple[Distribution | Tensor, Tensor]:
        """What the head gives for one step, and the next state."""
        return self.network(one_step(self.obs_norm(obs)), state, reset.unsqueeze(0))

    @torch.no_grad()
    def act(self, obs: Any, state: Tensor, reset: Tensor, mask=None, *, explore=False, generator=None):
        output, state = self(obs, state, reset)
        if isinstance(output, Distribution):
            output = output.masked(None if mask is None else mask.unsqueeze(0))
            output = output.sample(generator) if explore else output.mode()
        action = output.squeeze(0)
        return self.network.head.to_env(action), state, {"action": action}

    decides_by_mask = True

    def decide(self, features: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        if self.deterministic:
            return self.network.head.to_env(self.network.head(features).squeeze(0))
        return self.network.head.decide(features, noise, mask)

    def noise(self, features: Tensor) -> Noise:
        return Noise("normal", (self.network.head.size,)) if self.deterministic else self.network.head(features).noise

    @property
    def deterministic(self) -> bool:
        """Whether the head gives the action itself."""
        return self.config.head == "deterministic" and isinstance(self.action_space, spaces.Box)

    @torch.no_grad()
    def inspect(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        output, _ = self(obs, state, reset)
        return describe(self.network.head, output) if isinstance(output, Distribution) else {}


class BC(OffPolicy):
    """Learns the actions of a data set."""

    policy_class = BCPolicy
    policy: BCPolicy
    progress_stat = "loss"

    def __init__(self, config: BCConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        self.network = self.policy.network
        learner = Learner(self.loss, self.network.parameters(), config, capture=self.state_dim == 0)
        self.learners = {"policy": learner}

    def loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """-E[log π(a|s)]; of a deterministic head E[(μ(s) - a)²]."""
        output = self.network.head(obs_features(self.network.encoder, batch))
        if not isinstance(output, Distribution):
            return batch_mean((output - batch["action"]).square().mean(-1), batch, weighted=False), {}
        loss, stats = -batch_mean(output.log_prob(batch["action"]), batch, weighted=False), {}
        if type(output) is Categorical:
            right = (output.logits.argmax(-1) == batch["action"]).float()
            stats = {"accuracy": batch_mean(right, batch, weighted=False)}
        return loss, stats

    def fit(self, batch: dict, learners: dict[str, Learner], targets: dict[str, TargetNetwork]) -> Stats:
        return learners["policy"].update(batch)

    def from_env(self, action: Tensor) -> Tensor:
        return self.network.head.from_env(action)


class Teacher(Protocol):
    """Who says what to do."""

    state: Tensor
    """Its memory [B, S]."""

    def act(self, obs: Any, reset: Tensor) -> Tensor:
        """Its actions for obs [B, ...] as the environment takes them; reset [B], where an episode starts."""


class DAgger(Acting, BC):
    """Acts itself, after a first round of the teacher's, and stores what the teacher would have done."""

    teacher: Teacher
    """Set before training."""
    config: DAggerConfig
    acts_alike = False  # the teacher may be anything
    told: tuple[Tensor, Tensor] | None = None  # the teacher's latest actions, for the environment and as stored

    @property
    def teacher_share(self) -> float:
        """The chance that the teacher acts, of the round that steps are in (Ross et al. 2011, section 3)."""
        return self.config.teacher_decay ** (self.steps // (self.config.train_every * self.env.num_envs))

    def explore(self) -> tuple[Tensor, Tensor, Tensor]:
        action, state, _ = self.policy.act(self.obs, self.state, self.reset, self.env.mask)
        told = self.teacher.act(self.obs, self.reset)
        self.told = told, self.from_env(told)
        drawn = torch.rand(len(told), generator=self.generator, device=self.device) < self.teacher_share
        return torch.where(drawn.view(-1, *[1] * (told.dim() - 1)), told, action), self.told[1], state

    def random_action(self, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The teacher's; before it was asked, one of the same shape."""
        if self.told is None:
            action, _, extras = self.policy.act(self.obs, self.state, self.reset)
            return action, extras["action"]
        return self.told

    def collect(self) -> dict[str, float] | None:
        scalars = super().collect()
        return None if scalars is None else scalars | {"rollout/teacher_share": self.teacher_share}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"teacher": self.teacher.state}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        if self.goes_on:
            self.teacher.state = state["teacher"]
