"""Implicit Q-learning (Kostrikov et al. 2022): values of a set's own actions alone, and the best of them copied."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.networks import describe
from agent_gym.agents.off_policy.actor_critic import ActorAndCritic, ActorCriticAgent
from agent_gym.agents.off_policy.batches import batch_mean
from agent_gym.agents.off_policy.features import next_obs_features, obs_features
from agent_gym.agents.offline.heads import policy_head
from agent_gym.agents.policy import DecidesByHead
from agent_gym.agents.settings.iql import IQLConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.nets.distributions import Distribution
from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.heads import PolicyHead, ValueHead
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.target import TargetNetwork


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """|τ - 1(u < 0)| u² (equation 4), elementwise: underestimates cost τ, overestimates 1 - τ."""
    return torch.where(difference < 0, 1.0 - expectile, expectile) * difference.square()


class Value(nn.Module):
    """V(s) on an encoder of its own; its memory, if it has one, starts empty with each sequence."""

    def __init__(self, obs_space: spaces.Space, config: IQLConfig) -> None:
        super().__init__()
        self.encoder = make_encoder(obs_space, config)
        self.head = ValueHead(self.encoder.out_dim)

    def empty(self, batch: dict) -> Tensor | None:
        """The memory before a batch of sequences; None without memory."""
        return batch["state"].new_zeros(len(batch["state"]), self.encoder.state_dim) if "state" in batch else None

    def of_obs(self, batch: dict) -> Tensor:
        """Values [T, n] of the observations acted on."""
        return self.head(obs_features(self.encoder, batch, self.empty(batch)))

    def of_next_obs(self, batch: dict) -> Tensor:
        """Values [T, n] of the observations that the returns end with."""
        return self.head(next_obs_features(self.encoder, batch, self.empty(batch)))


class IQLPolicy(DecidesByHead, ActorAndCritic):
    """A stochastic actor, a pair of critics and a value."""

    num_critics = 2

    def __init__(self, obs_space: spaces.Space, action_space: spaces.Space, config: IQLConfig) -> None:
        super().__init__(obs_space, action_space, config)
        self.value_network = Value(obs_space, config)

    def make_head(self, in_dim: int) -> PolicyHead:
        return policy_head(self.config.head, self.action_space, in_dim)

    def choose(self, output: Distribution, explore: bool, generator: torch.Generator | None) -> Tensor:
        return output.sample(generator) if explore else output.mode()

    @torch.no_grad()
    def inspect(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        output, _ = self(obs, state, reset)
        if self.discrete:
            q = self.values(obs, state, reset, None)
            return {"value": (output.probs[0] * q).sum(-1), "q": q}
        return {"value": self.values(obs, state, reset, output.mode()), **describe(self.network.head, output)}


class IQL(ActorCriticAgent):
    """An actor, a pair of critics and a value, none of which asks for an action that the set does not hold."""

    policy_class = IQLPolicy
    policy: IQLPolicy
    action_spaces = (spaces.Box, spaces.Discrete)
    config: IQLConfig

    def __init__(self, config: IQLConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        self.value = self.policy.value_network
        capture = self.state_dim == 0
        critic = Learner(self.critic_loss, self.critic.parameters(), config, capture=capture)
        value = Learner(self.value_loss, self.value.parameters(), config, capture=capture)
        actor = Learner(self.actor_loss, self.actor.parameters(), config, capture=capture)
        self.learners = {"critic": critic, "value": value, "actor": actor}
        self.target = TargetNetwork(self.critic, critic.parameters)
        self.targets = {"critic": self.target}

    @torch.no_grad()
    def target_q(self, batch: dict) -> Tensor:
        """The smaller target critic's value of the batch's own actions, [T, n]."""
        critic = self.target.module
        features = obs_features(critic.encoder, batch, self.memories(batch)[1])
        return critic.of_action(features, batch["action"]).amin(0)

    def value_loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """E[L₂^τ(Q̂(s, a) - V(s))] (equation 5)."""
        value = self.value.of_obs(batch)
        loss = batch_mean(expectile_loss(self.target_q(batch) - value, self.config.expectile), batch, weighted=False)
        return loss, {"value_loss": loss.detach(), "value_mean": batch_mean(value.detach(), batch, weighted=False)}

    def critic_loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """E[(r + γ V(s') - Q(s, a))²] of every critic (equation 6)."""
        with torch.no_grad():
            target_q = batch["reward"] + batch["discount"] * self.value.of_next_obs(batch)
        features = obs_features(self.critic.encoder, batch, self.memories(batch)[1])
        q = self.critic.of_action(features, batch["action"])
        loss = batch_mean((q - target_q).square(), batch).sum()
        q_mean = batch_mean(q.detach(), batch, weighted=False).mean()
        return loss, {"q_loss": loss.detach(), "q_mean": q_mean, "td_error": (q - target_q).detach()}

    def actor_loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """-E[exp(β (Q̂(s, a) - V(s))) log π(a|s)] (equation 7), the weight limited as in the authors' code."""
        with torch.no_grad():
            advantage = self.target_q(batch) - self.value.of_obs(batch)
            weight = (self.config.temperature * advantage).exp().clamp(max=self.config.largest_weight)
        policy = self.actor.head(obs_features(self.actor.encoder, batch, self.memories(batch)[0]))
        loss = -batch_mean(weight * policy.log_prob(batch["action"]), batch, weighted=False)
        return loss, {"policy_loss": loss.detach(), "weight": batch_mean(weight, batch, weighted=False)}

    def fit(self, batch: dict, learners: dict[str, Learner], targets: dict[str, TargetNetwork]) -> Stats:
        stats = {}
        for name in ("value", "actor"):
            news = learners[name].update(batch)
            stats |= {key: news[key] for key in news if key not in ("loss", "grad_norm")}
        stats |= self.fit_critic(batch, learners)
        targets["critic"].follow(self.config.tau)
        return stats
