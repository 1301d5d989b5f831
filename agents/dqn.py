"""Deep Q-learning (Mnih et al. 2015) with double targets, a dueling head, n-step returns, priorities and quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.critic import QNetwork
from agent_gym.agents.features import both, following
from agent_gym.agents.off_policy import OffPolicy, OffPolicyConfig, batch_mean, one_step
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.target import TargetNetwork

TD_LOSSES = {"huber": F.smooth_l1_loss, "mse": F.mse_loss}


@dataclass(frozen=True)
class DQNConfig(OffPolicyConfig):
    """Deep Q-learning."""

    buffer_size: int = 100_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    max_grad_norm: float = 10.0
    double: bool = True
    """The network itself chooses the action that the target network values (van Hasselt et al. 2016)."""
    dueling: bool = True
    """Separate outputs for the state's value and the actions' advantages (Wang et al. 2016)."""
    n_step: int = 3
    quantiles: int = 0
    """Quantiles of the return's distribution for each action (QR-DQN, Dabney et al. 2018); 0: its mean alone."""
    td_loss: Literal["huber", "mse"] = "huber"
    """Loss of the error; huber heeds large errors less, and so tends to the median where states look alike."""
    target_every: int = 500
    """Environment steps between updates of the target network."""
    tau: float = 1.0
    """Share of the way that the target goes then; 1 copies."""
    exploration_fraction: float = 0.2
    """Share of the run in which random actions fall from exploration_initial to exploration_final."""
    exploration_initial: float = 1.0
    """Chance of a random action at the start."""
    exploration_final: float = 0.05
    """Chance of a random action in the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("target_every")
        self.require_not_negative("quantiles")
        for name in ("exploration_fraction", "exploration_initial", "exploration_final"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected a number from 0 to 1")
        if not 0.0 < self.tau <= 1.0:
            raise UserError(f"--tau {self.tau}: expected a number above 0, at most 1")


@dataclass(frozen=True)
class QRDQNConfig(DQNConfig):
    """Deep Q-learning of the return's distribution by quantiles."""

    quantiles: int = 50


def quantile_huber(quantile: Tensor, target: Tensor) -> Tensor:
    """Quantile regression of k estimates [..., k] on j samples [..., j] (Dabney et al. 2018, equation 10), [...].

    Summed over the estimates and averaged over the samples, as in sb3-contrib's QR-DQN.
    """
    k = quantile.shape[-1]
    level = (torch.arange(k, device=quantile.device, dtype=quantile.dtype) + 0.5) / k
    error = target.unsqueeze(-2) - quantile.unsqueeze(-1)  # [..., k, j]
    huber = torch.where(error.abs() > 1.0, error.abs() - 0.5, 0.5 * error.square())
    below = (error.detach() < 0).to(quantile.dtype)
    return ((level.unsqueeze(-1) - below).abs() * huber).sum(-2).mean(-1)


class DQN(OffPolicy):
    """A network of action values and its target."""

    def __init__(self, config: DQNConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        space = env.action_space
        if not isinstance(space, spaces.Discrete):
            raise UserError(f"dqn cannot act in {space} of {env.id}: expected Discrete; ppo, sac and td3 can")
        self.policy = QNetwork(env.obs_space, space, config.encoder_config(), config.dueling, config.quantiles)
        self.model = nn.ModuleDict({"policy": self.policy, "obs_norm": self.obs_norm}).to(self.device)
        self.state_dim = self.policy.state_dim
        optimizer, capture = config.optimizer_config(), self.state_dim == 0
        learner = Learner(self.loss, self.policy.parameters(), optimizer, capture=capture)
        self.target = TargetNetwork(self.policy, learner.parameters)
        self.learners, self.targets = {"q": learner}, {"q": self.target}

    @property
    def epsilon(self) -> float:
        """The chance of a random action now."""
        config = self.config
        done = min(self.progress / config.exploration_fraction, 1.0) if config.exploration_fraction else 1.0
        return config.exploration_initial + done * (config.exploration_final - config.exploration_initial)

    def loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """Loss of the temporal-difference error. Agrees with Stable-Baselines3's DQN and sb3-contrib's QR-DQN."""
        online, target = self.policy, self.target.module
        features, next_features = both(online.encoder, batch)
        action = batch["action"].unsqueeze(-1)
        with torch.no_grad():
            next_values = target.values(following(target.encoder, batch))
            means = online.mean(next_features) if self.config.double else self._mean(next_values)
            next_q = self._of(next_values, means.argmax(-1, keepdim=True))
            reward, discount = batch["reward"], batch["discount"]
            if self.config.quantiles:
                reward, discount = reward.unsqueeze(-1), discount.unsqueeze(-1)
            target_q = reward + discount * next_q
        q = self._of(online.values(features), action)
        if self.config.quantiles:
            loss = batch_mean(quantile_huber(q, target_q), batch)
            q, target_q = q.mean(-1), target_q.mean(-1)
        else:
            loss = batch_mean(TD_LOSSES[self.config.td_loss](q, target_q, reduction="none"), batch)
        q_mean = batch_mean(q.detach(), batch, weighted=False)
        return loss, {"q_loss": loss.detach(), "q_mean": q_mean, "td_error": (q - target_q).detach()}

    def _mean(self, values: Tensor) -> Tensor:
        return values.mean(-1) if self.config.quantiles else values

    def _of(self, values: Tensor, action: Tensor) -> Tensor:
        """Values [T, n] or their quantiles [T, n, k] of actions [T, n, 1]."""
        if not self.config.quantiles:
            return values.gather(-1, action).squeeze(-1)
        return values.gather(-2, action.unsqueeze(-1).expand(*action.shape, values.shape[-1])).squeeze(-2)

    def learn(self, batch: dict) -> Stats:
        stats = self.learners["q"].update(batch)
        if not self.config.prioritized:
            del stats["td_error"]
        return stats

    def collect(self) -> dict[str, float]:
        before = self.steps // self.config.target_every
        scalars = super().collect()
        if self.steps // self.config.target_every > before:
            self.target.follow(self.config.tau)
        return scalars | {"rollout/epsilon": self.epsilon}

    def random_action(self) -> tuple[Tensor, Tensor]:
        shape = (self.env.num_envs,)
        action = torch.randint(self.policy.actions, shape, generator=self.generator, device=self.device)
        return action, action

    def explore(self) -> tuple[Tensor, Tensor, Tensor]:
        action, state = self._draw(self.obs, self.state, self.reset, self.epsilon)
        return action, action, state

    def _q(self, obs: Any, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        q, state = self.policy(one_step(self.obs_norm(obs)), state, reset.unsqueeze(0))
        return q[0], state

    @torch.no_grad()
    def act(self, obs: Any, state: Tensor, reset: Tensor, explore: bool = True):
        """`explore` draws as at the end of training, whichever step the agent is at."""
        action, state = self._draw(obs, state, reset, self.config.exploration_final if explore else 0.0)
        return action, state, {"action": action}

    def _draw(self, obs: Any, state: Tensor, reset: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """Actions that are random with chance epsilon, and the next memory."""
        q, state = self._q(obs, state, reset)
        action = q.argmax(-1)
        if epsilon:
            chance = torch.rand(2, len(action), generator=self.generator, device=self.device)
            anything = (chance[1] * self.policy.actions).long()
            action = torch.where(chance[0] < epsilon, anything, action)
        return action, state

    @torch.no_grad()
    def inspect(self, obs: Any, state: Tensor, reset: Tensor) -> dict[str, Tensor]:
        q, _ = self._q(obs, state, reset)
        return {"value": q.amax(-1), "q": q}
