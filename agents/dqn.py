"""Deep Q-learning (Mnih et al. 2015) with double targets, a dueling head, n-step returns, priorities, noisy weights and
distributions of the return."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.off_policy.acting import Acting
from agent_gym.agents.off_policy.batches import batch_mean
from agent_gym.agents.off_policy.features import both_features, next_obs_features
from agent_gym.agents.off_policy.q_policy import QPolicy
from agent_gym.agents.settings.dqn import DQNConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.target import TargetNetwork

ONLINE, CHOICE, TARGET = range(3)  # the passes through networks in an update
PASSES = 3


def how(batch: dict, part: int) -> dict[str, Tensor]:
    """What a network takes in one pass beside features, if anything is drawn for it."""
    return {name: batch[name][part] for name in ("noise", "level") if name in batch}


class DQN(Acting):
    """A network of action values and its target."""

    policy_class = QPolicy
    policy: QPolicy
    action_spaces = (spaces.Discrete, spaces.MultiDiscrete)
    many = True

    def __init__(self, config: DQNConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        self.network = self.policy.network
        learner = Learner(self.loss, self.network.parameters(), config, capture=self.state_dim == 0)
        self.target = TargetNetwork(self.network, learner.parameters)
        self.learners, self.targets = {"q": learner}, {"q": self.target}
        self.chance = torch.zeros((), device=self.device)  # epsilon, where a graph finds it

    @property
    def epsilon(self) -> float:
        """The chance of a random action now."""
        return self.config.epsilon(self.progress)

    def loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """Loss of the temporal-difference error. Agrees with Stable-Baselines3's DQN and sb3-contrib's QR-DQN."""
        online, target, returns = self.network, self.target.module, self.network.returns
        features, next_features = both_features(online.encoder, batch)
        with torch.no_grad():
            next_values = target.values(next_obs_features(target.encoder, batch), **how(batch, TARGET))
            means = returns.mean(next_values)
            if self.config.double:
                means = returns.mean(online.values(next_features, **how(batch, CHOICE)))
            following = online.joined(online.of(next_values, online.best(means, batch.get("next_mask"))))
            given = map(online.spread, (following, batch["reward"], batch["discount"]))
        chosen = online.of(online.values(features, **how(batch, ONLINE)), batch["action"])
        loss, q, target_q = returns.loss(chosen, *given, how(batch, ONLINE).get("level"))
        loss = batch_mean(online.joined(loss), batch)
        stats = {"q_loss": loss.detach(), "q_mean": batch_mean(online.joined(q.detach()), batch, weighted=False)}
        if self.config.conservative:  # log Σ exp Q(s, ·) - Q(s, a) (Kumar et al. 2020, equation 4)
            excess = online.allowed(online.mean(features), batch.get("mask")).logsumexp(-1) - q
            excess = batch_mean(online.joined(excess), batch, weighted=False)
            loss = loss + self.config.conservative * excess
            stats["q_excess"] = excess.detach()
        return loss, stats | {"td_error": online.error((q - target_q).detach())}

    def fit(self, batch: dict, learners: dict[str, Learner], targets: dict[str, TargetNetwork]) -> Stats:
        stats = learners["q"].update(batch)
        if not self.config.prioritized:
            del stats["td_error"]
        return stats

    def by_itself(self) -> str:
        return "--conservative is learned run by run" if self.config.conservative else super().by_itself()

    def drawn(self, batch: dict) -> dict:
        """For each of the loss's passes."""
        found: dict = {}
        random = {"generator": self.generator, "device": self.device}
        if self.config.noisy:
            found["noise"] = torch.randn(PASSES, self.network.head.noise_size, **random)
        if self.config.implicit:
            found["level"] = torch.rand(PASSES, *batch["reward"].shape, self.config.quantiles, **random)
        return found

    def moved(self, before: int, targets: dict[str, TargetNetwork]) -> None:
        if self.steps // self.config.target_every > before // self.config.target_every:
            targets["q"].follow(self.config.tau)

    def exploring(self) -> dict[str, float]:
        return {"rollout/epsilon": self.epsilon}

    def random_action(self, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        drawn, count = {"generator": self.generator, "device": self.device}, self.env.num_envs
        if mask is None and self.network.choices == 1:
            action = torch.randint(self.network.actions, (count,), **drawn)
        else:
            action = self.network.random(torch.rand(self.network.choices, count, **drawn), mask)
        return action, action

    def about_to_act(self) -> None:
        if self.recorded:
            self.chance.fill_(self.epsilon)

    def explore(self) -> tuple[Tensor, Tensor, Tensor]:
        epsilon = self.chance if self.recorded else self.epsilon
        drawn = {"explore": True, "generator": self.generator, "epsilon": epsilon}
        action, state, _ = self.policy.act(self.obs, self.state, self.reset, self.mask_here, **drawn)
        return action, action, state

    def chances(self) -> dict[str, Tensor]:
        found, random = {}, {"generator": self.generator, "device": self.device}
        if self.network.noisy:
            found["noise"] = self.network.drawn(self.generator)
        if chance := self.epsilon:
            shape = (1 + self.network.choices, self.env.num_envs)
            found |= {"drawn": torch.rand(shape, **random), "chance": torch.tensor(chance)}
        return found

    def explored(self, obs: Any, drawn: dict[str, Tensor], mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, _ = self.policy(obs, *self.policy.nothing(obs), drawn.get("noise"))
        action = self.network.best(q, mask)
        if "drawn" in drawn:
            action = self.policy.sometimes(drawn["chance"], drawn["drawn"], mask, action)
        return action, action
