"""Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018), with DDPG and TD3+BC as cases of it."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.off_policy.actor_critic import ActorAndCritic, ActorCriticAgent
from agent_gym.agents.off_policy.batches import batch_mean
from agent_gym.agents.off_policy.features import next_obs_features, obs_features
from agent_gym.agents.settings.td3 import TD3Config
from agent_gym.envs.vector import VectorEnv
from agent_gym.nets.distributions import Noise
from agent_gym.nets.heads import DeterministicHead
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.target import TargetNetwork


class TD3Policy(ActorAndCritic):
    """A deterministic actor and critics evaluated as one."""

    @property
    def num_critics(self) -> int:
        return self.config.critics

    def make_head(self, in_dim: int) -> DeterministicHead:
        return DeterministicHead(self.action_space, in_dim)

    def choose(self, output: Tensor, explore: bool, generator: torch.Generator | None) -> Tensor:
        if not explore:
            return output
        return self.chosen(output, torch.randn(output.shape, generator=generator, device=output.device))

    def chosen(self, output: Tensor, noise: Tensor) -> Tensor:
        return (output + self.config.exploration_noise * noise).clamp(-1.0, 1.0)

    def decide(self, features: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        action = self.network.head(features)
        if noise is not None:
            action = self.chosen(action, noise)
        return self.network.head.to_env(action.squeeze(0))

    def noise(self, features: Tensor) -> Noise:
        return Noise("normal", (self.size,))

    @torch.no_grad()
    def inspect(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        action, _ = self(obs, state, reset)
        return {"value": self.values(obs, state, reset, action)}


class TD3(ActorCriticAgent):
    """A deterministic actor and a pair of critics, with targets of both."""

    policy_class = TD3Policy
    action_spaces = (spaces.Box,)

    def __init__(self, config: TD3Config, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        capture = self.state_dim == 0
        critic = Learner(self.critic_loss, self.critic.parameters(), config, capture=capture)
        actor = Learner(self.actor_loss, self.actor.parameters(), config, capture=capture)
        self.learners = {"critic": critic, "actor": actor}
        self.target_critic = TargetNetwork(self.critic, critic.parameters)
        self.target_actor = TargetNetwork(self.actor, actor.parameters)
        self.targets = {"critic": self.target_critic, "policy": self.target_actor}

    def critic_loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """Squared error of every critic to the smallest target value of a smoothed action (algorithm 1).

        Agrees with Stable-Baselines3's. `batch` holds the clipped "noise" [T, n, m].
        """
        actor_memory, critic_memory = self.memories(batch)
        actor, critic = self.target_actor.module, self.target_critic.module
        with torch.no_grad():
            action = actor.head(next_obs_features(actor.encoder, batch, actor_memory))
            action = (action + batch["noise"]).clamp(-1.0, 1.0)
            value = critic(next_obs_features(critic.encoder, batch, critic_memory), action).amin(0)
            target_q = batch["reward"] + batch["discount"] * value
        q = self.critic.of_action(obs_features(self.critic.encoder, batch, critic_memory), batch["action"])
        loss = batch_mean((q - target_q).square(), batch).sum()
        q_mean = batch_mean(q.detach(), batch, weighted=False).mean()
        return loss, {"q_loss": loss.detach(), "q_mean": q_mean, "td_error": (q - target_q).detach()}

    def actor_loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """-E[Q1(s, μ(s))] (algorithm 1); for TD3+BC -λ E[Q1] + E[(μ(s) - a)²], λ = α / E|Q1| (equations 3 and 5)."""
        actor_memory, critic_memory = self.memories(batch)
        action = self.actor.head(obs_features(self.actor.encoder, batch, actor_memory))
        with torch.no_grad():
            features = obs_features(self.critic.encoder, batch, critic_memory)
        q = self.critic(features, action, first=1)[0]
        loss = -batch_mean(q, batch, weighted=False)
        if not self.config.bc_alpha:
            return loss, {"policy_loss": loss.detach()}
        distance = batch_mean((action - batch["action"]).square().mean(-1), batch, weighted=False)
        weight = self.config.bc_alpha / batch_mean(q.detach().abs(), batch, weighted=False)
        loss = weight * loss + distance
        return loss, {"policy_loss": loss.detach(), "bc_distance": distance.detach()}

    @property
    def rhythm(self) -> int:
        return int(self.updates % self.config.policy_delay == 0)

    def drawn(self, batch: dict) -> dict:
        config = self.config
        noise = torch.randn(batch["action"].shape, generator=self.generator, device=self.device)
        return {"noise": noise.mul_(config.target_noise).clamp_(-config.target_noise_clip, config.target_noise_clip)}

    def fit(self, batch: dict, learners: dict[str, Learner], targets: dict[str, TargetNetwork]) -> Stats:
        stats = self.fit_critic(batch, learners)
        if self.rhythm:
            stats |= learners["actor"].update(batch)
            for target in targets.values():
                target.follow(self.config.tau)
        return stats
