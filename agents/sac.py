"""Soft actor-critic with automatic temperature (Haarnoja et al. 2018), its discrete form (Christodoulou 2019), and CQL.

Conservative Q-learning (Kumar et al. 2020) is SAC with one more term in the loss of its critics; TQC (Kuznetsov et al.
2020) is SAC whose critics learn quantiles, the largest of which are left out of the target.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.networks import describe
from agent_gym.agents.off_policy.actor_critic import ActorAndCritic, ActorCriticAgent
from agent_gym.agents.off_policy.agent import batch_mean
from agent_gym.agents.off_policy.critic import Critic
from agent_gym.agents.off_policy.features import next_obs_features, obs_features
from agent_gym.agents.settings.sac import SACConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.nets.distributions import Categorical, Noise, SquashedGaussian
from agent_gym.nets.heads import DiscreteHead, PolicyHead, SquashedGaussianHead
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.losses import quantile_huber
from agent_gym.nets.mixture import Mixture, MixtureHead
from agent_gym.nets.target import TargetNetwork

DISCRETE_ENTROPY = 0.5  # of log n, unless --target-entropy says otherwise


def soft_value(
    policy: SquashedGaussian | Categorical, critic: Critic, features: Tensor, alpha: Tensor, noise: Tensor | None
) -> tuple[Tensor, Tensor]:
    """E[min Q(s, a) - alpha log π(a|s)] (equation 3) and E[log π(a|s)], each [T, n].

    Continuous: one action drawn by `noise` [T, n, m]. Discrete: the expectation over all actions.
    """
    if isinstance(policy, Mixture):
        numbers, log_prob = policy.numbers.rsample_with_log_prob(noise=noise)
        log_probs = policy.joint.log_probs
        probs = log_probs.exp()
        value = (probs * (critic(features, numbers).amin(0) - alpha * log_probs)).sum(-1) - alpha * log_prob
        return value, (probs * log_probs).sum(-1) + log_prob
    if isinstance(policy, Categorical):
        log_probs = policy.log_probs
        probs = log_probs.exp()
        value = (probs * (critic(features).amin(0) - alpha * log_probs)).sum(-1)
        return value, (probs * log_probs).sum(-1)
    action, log_prob = policy.rsample_with_log_prob(noise=noise)
    return critic.together(critic(features, action)) - alpha * log_prob, log_prob


def truncated(atoms: Tensor, drop: int) -> Tensor:
    """Quantiles [num, T, n, k] of all critics in one order, without the num * `drop` largest, [T, n, num * (k - drop)].

    Kuznetsov et al. 2020, equations 10 to 12.
    """
    num, k = len(atoms), atoms.shape[-1]
    together = atoms.movedim(0, -2).flatten(-2)
    return together.sort(dim=-1).values[..., : num * (k - drop)]


def overestimate(q: Tensor, critic: Critic, features: Tensor, batch: dict) -> Tensor:
    """log Σ exp Q(s, ·) - Q(s, a) of every critic, [num, T, n] (Kumar et al. 2020, equation 4); q as `of_action` gives.

    Continuous actions: the sum as the paper's appendix F estimates it, from as many actions drawn evenly as from the
    policy, "drawn" [2N, T, n, m], each over its density, "density" [2N, T, n] (log).
    """
    if critic.discrete:
        return critic(features).logsumexp(-1) - q
    drawn, density = batch["drawn"], batch["density"]
    values = critic(features.repeat(len(drawn), 1, 1), drawn.flatten(0, 1)).unflatten(1, drawn.shape[:2])
    return (values - density).logsumexp(1) - math.log(len(drawn)) - q


class SACPolicy(ActorAndCritic):
    """A stochastic actor and a pair of critics evaluated as one."""

    num_critics = 2

    @property
    def quantiles(self) -> int:
        return self.config.quantiles

    def make_head(self, in_dim: int) -> PolicyHead:
        kinds = {spaces.Discrete: DiscreteHead, spaces.Dict: MixtureHead}
        return kinds.get(type(self.action_space), SquashedGaussianHead)(self.action_space, in_dim)

    def choose(self, output: SquashedGaussian | Categorical, explore: bool, generator: torch.Generator | None):
        return output.sample(generator) if explore else output.mode()

    decides_by_mask = True

    def decide(self, features: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return self.network.head.decide(features, noise, mask)

    def noise(self, features: Tensor) -> Noise:
        return self.network.head(features).noise

    @torch.no_grad()
    def inspect(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        output, _ = self(obs, state, reset, mask)
        if self.discrete:
            q = self.values(obs, state, reset, None)
            return {"value": (output.probs[0] * q).sum(-1), "q": q}
        if isinstance(output, Mixture):
            q = self.values(obs, state, reset, output.numbers.mode())
            return {"value": (output.joint.probs[0] * q).sum(-1)}
        return {"value": self.values(obs, state, reset, output.mode()), **describe(self.network.head, output)}


class SAC(ActorCriticAgent):
    """An actor, a pair of critics and a temperature."""

    policy_class = SACPolicy
    action_spaces = (spaces.Box, spaces.Discrete, spaces.Dict)

    def __init__(self, config: SACConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        aim = DISCRETE_ENTROPY * math.log(env.action_space.n) if self.discrete else -float(self.critic.numbers)
        if self.critic.combinations is not None:
            aim += DISCRETE_ENTROPY * math.log(self.critic.combinations.count)
            if config.conservative:
                raise UserError(f"--conservative is for Boxes and for Discrete, and {env.id} has {env.action_space}")
        if config.quantiles and not isinstance(env.action_space, spaces.Box):
            raise UserError(f"--quantiles is for Box actions, and {env.id} has {env.action_space}: leave it out")
        self.target_entropy = config.target_entropy or aim
        self.log_alpha = nn.Parameter(torch.tensor(math.log(config.alpha or config.initial_alpha), device=self.device))
        self.log_alpha.requires_grad_(config.alpha == 0.0)
        capture = self.state_dim == 0
        critic = Learner(self.critic_loss, self.critic.parameters(), config, capture=capture)
        actor = Learner(self.actor_loss, [*self.actor.parameters(), self.log_alpha], config, capture=capture)
        self.learners = {"critic": critic, "actor": actor}
        self.target = TargetNetwork(self.critic, critic.parameters)
        self.targets = {"critic": self.target}

    def critic_loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """Half the squared soft Bellman error of every critic (equations 5 and 7). Agrees with Stable-Baselines3's."""
        actor_memory, critic_memory = self.memories(batch)
        with torch.no_grad():
            policy = self.actor.head(next_obs_features(self.actor.encoder, batch, actor_memory))
            policy = policy.masked(batch.get("next_mask"))
            target = self.target.module
            next_features = next_obs_features(target.encoder, batch, critic_memory)
        features = obs_features(self.critic.encoder, batch, critic_memory)
        if self.config.quantiles:
            return self._quantile_loss(batch, policy, next_features, features)
        with torch.no_grad():
            value, _ = soft_value(policy, target, next_features, self.log_alpha.exp(), batch.get("next_noise"))
            target_q = batch["reward"] + batch["discount"] * value
        q = self.critic.of_action(features, batch["action"])
        q_loss = loss = 0.5 * batch_mean((q - target_q).square(), batch).sum()
        stats = {"q_mean": batch_mean(q.detach(), batch, weighted=False).mean(), "td_error": (q - target_q).detach()}
        if self.config.conservative:
            excess = batch_mean(overestimate(q, self.critic, features, batch), batch, weighted=False)
            loss = loss + self.config.conservative * excess.sum()
            stats["q_excess"] = excess.detach().mean()
        return loss, {"q_loss": q_loss.detach(), **stats}

    def _quantile_loss(
        self, batch: dict, policy: SquashedGaussian, next_features: Tensor, features: Tensor
    ) -> tuple[Tensor, Stats]:
        """Quantile regression on the truncated mixture of the critics' quantiles (Kuznetsov et al. 2020, equation 14).

        A mean over critics, estimates and samples, as in sb3-contrib's TQC.
        """
        with torch.no_grad():
            action, log_prob = policy.rsample_with_log_prob(noise=batch["next_noise"])
            atoms = truncated(self.target.module.atoms(next_features, action), self.config.drop_atoms)
            soft = atoms - (self.log_alpha.exp() * log_prob).unsqueeze(-1)
            target_q = batch["reward"].unsqueeze(-1) + batch["discount"].unsqueeze(-1) * soft
        q = self.critic.atoms(features, batch["action"])
        loss = batch_mean(quantile_huber(q, target_q.unsqueeze(0)) / q.shape[-1], batch).mean()
        q = q.detach().mean(-1)
        stats = {"q_loss": loss.detach(), "q_mean": batch_mean(q, batch, weighted=False).mean()}
        return loss, stats | {"td_error": q - target_q.mean(-1)}

    def actor_loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """E[alpha log π - min Q] (equation 9), and the temperature's (Haarnoja et al. 2018b, equation 18).

        For TQC Q is the mean of all quantiles (Kuznetsov et al. 2020, equation 15).
        """
        actor_memory, critic_memory = self.memories(batch)
        alpha = self.log_alpha.detach().exp()
        policy = self.actor.head(obs_features(self.actor.encoder, batch, actor_memory)).masked(batch.get("mask"))
        with torch.no_grad():
            features = obs_features(self.critic.encoder, batch, critic_memory)
        value, log_prob = soft_value(policy, self.critic, features, alpha, batch.get("noise"))
        policy_loss = -batch_mean(value, batch, weighted=False)
        mean_log_prob = batch_mean(log_prob.detach(), batch, weighted=False)
        loss = policy_loss - self.log_alpha * (mean_log_prob + self.aim(batch))
        return loss, {"policy_loss": policy_loss.detach(), "entropy": -mean_log_prob, "alpha": alpha}

    @torch.no_grad()
    def others(self, batch: dict) -> dict:
        """Actions that the batch did not take, for `overestimate`: half drawn evenly, half by the policy."""
        shape = (self.config.conservative_actions, *batch["action"].shape)
        evenly = 2.0 * torch.rand(shape, generator=self.generator, device=self.device) - 1.0
        policy = self.actor.head(obs_features(self.actor.encoder, batch, self.memories(batch)[0]))
        noise = torch.randn(shape, generator=self.generator, device=self.device)
        action, density = policy.rsample_with_log_prob(noise=noise)
        even_density = torch.full_like(density, -self.size * math.log(2.0))
        return {"drawn": torch.cat((evenly, action)), "density": torch.cat((even_density, density))}

    def aim(self, batch: dict) -> float | Tensor:
        """The entropy to keep; of choices among fewer actions than there are, as much less as log n is."""
        if "mask" not in batch or self.config.target_entropy:
            return self.target_entropy
        mask, combinations = batch["mask"], self.critic.combinations
        allowed = mask if combinations is None else mask[..., combinations.columns].all(-1)
        mean = batch_mean(allowed.sum(-1).clamp(min=1).log(), batch, weighted=False)
        return DISCRETE_ENTROPY * mean - self.critic.numbers

    def learn(self, batch: dict) -> Stats:
        if not self.discrete:
            shape = (2, *batch["action"].shape[:-1], self.critic.numbers)
            noise = torch.randn(shape, generator=self.generator, device=self.device)
            batch = batch | {"noise": noise[0], "next_noise": noise[1]}
            if self.config.conservative:
                batch |= self.others(batch)
        stats = self.learn_critic(batch)
        stats |= self.learners["actor"].update(batch)
        self.target.follow(self.config.tau)
        return stats

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"log_alpha": self.log_alpha.detach()}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.log_alpha.data.copy_(state["log_alpha"])
