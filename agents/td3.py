"""Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018), and DDPG (Lillicrap et al. 2016) in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.actor_critic import ActorCriticAgent
from agent_gym.agents.features import following, now
from agent_gym.agents.off_policy import OffPolicyConfig, batch_mean
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.nets.heads import DeterministicHead
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.target import TargetNetwork


@dataclass(frozen=True)
class TD3Config(OffPolicyConfig):
    """Twin delayed DDPG."""

    env: str = "Pendulum-v1"
    learning_rate: float = 1e-3
    tau: float = 0.005
    """Share of the way that targets go towards the networks with each update of the actor."""
    critics: int = 2
    """Critics whose smallest value is the target."""
    exploration_noise: float = 0.1
    """Standard deviation of the noise on actions, in units of half their range."""
    policy_delay: int = 2
    """Updates of the critics for each of the actor and the targets."""
    target_noise: float = 0.2
    """Standard deviation of the noise on the target's actions, in units of half their range."""
    target_noise_clip: float = 0.5
    """Largest such noise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("critics", "policy_delay")
        self.require_not_negative("exploration_noise", "target_noise", "target_noise_clip")
        if not 0.0 < self.tau <= 1.0:
            raise UserError(f"--tau {self.tau}: expected a number above 0, at most 1")


@dataclass(frozen=True)
class DDPGConfig(TD3Config):
    """Deep deterministic policy gradient: TD3 without its three additions."""

    critics: int = 1
    policy_delay: int = 1
    target_noise: float = 0.0


class TD3(ActorCriticAgent):
    """A deterministic actor and a pair of critics evaluated as one, with targets of both."""

    def __init__(self, config: TD3Config, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        space = env.action_space
        if not isinstance(space, spaces.Box):
            raise UserError(f"td3 and ddpg cannot act in {space} of {env.id}: expected Box; ppo, dqn and sac can")
        self.build(lambda in_dim: DeterministicHead(space, in_dim), config.critics)
        optimizer, capture = config.optimizer_config(), self.state_dim == 0
        critic = Learner(self.critic_loss, self.critic.parameters(), optimizer, capture=capture)
        actor = Learner(self.actor_loss, self.policy.parameters(), optimizer, capture=capture)
        self.learners = {"critic": critic, "actor": actor}
        self.target_critic = TargetNetwork(self.critic, critic.parameters)
        self.target_policy = TargetNetwork(self.policy, actor.parameters)
        self.targets = {"critic": self.target_critic, "policy": self.target_policy}

    def critic_loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """Squared error of every critic to the smallest target value of a smoothed action (algorithm 1).

        Agrees with Stable-Baselines3's. `batch` holds the clipped "noise" [T, n, m].
        """
        actor_memory, critic_memory = self.memories(batch)
        policy, critic = self.target_policy.module, self.target_critic.module
        with torch.no_grad():
            action = policy.head(following(policy.encoder, batch, actor_memory))
            action = (action + batch["noise"]).clamp(-1.0, 1.0)
            value = critic(following(critic.encoder, batch, critic_memory), action).amin(0)
            target_q = batch["reward"] + batch["discount"] * value
        q = self.critic.of_action(now(self.critic.encoder, batch, critic_memory), batch["action"])
        loss = batch_mean((q - target_q).square(), batch).sum()
        q_mean = batch_mean(q.detach(), batch, weighted=False).mean()
        return loss, {"q_loss": loss.detach(), "q_mean": q_mean, "td_error": (q - target_q).detach()}

    def actor_loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """-E[Q1(s, μ(s))] (algorithm 1)."""
        actor_memory, critic_memory = self.memories(batch)
        action = self.policy.head(now(self.policy.encoder, batch, actor_memory))
        with torch.no_grad():
            features = now(self.critic.encoder, batch, critic_memory)
        loss = -batch_mean(self.critic(features, action, first=1)[0], batch, weighted=False)
        return loss, {"policy_loss": loss.detach()}

    def learn(self, batch: dict) -> Stats:
        config = self.config
        noise = torch.randn(batch["action"].shape, generator=self.generator, device=self.device)
        noise = noise.mul_(config.target_noise).clamp_(-config.target_noise_clip, config.target_noise_clip)
        stats = self.learn_critic(batch | {"noise": noise})
        if self.updates % config.policy_delay == 0:
            stats |= self.learners["actor"].update(batch)
            for target in self.targets.values():
                target.follow(config.tau)
        return stats

    def choose(self, output: Tensor, explore: bool) -> Tensor:
        if not explore:
            return output
        noise = torch.randn(output.shape, generator=self.generator, device=self.device)
        return (output + self.config.exploration_noise * noise).clamp_(-1.0, 1.0)

    @torch.no_grad()
    def inspect(self, obs: Any, state: Tensor, reset: Tensor) -> dict[str, Tensor]:
        action, _ = self._policy(obs, state, reset)
        return {"value": self.values(obs, state, reset, action)}
