"""Soft actor-critic with automatic temperature (Haarnoja et al. 2018), its discrete form (Christodoulou 2019), and CQL.

Conservative Q-learning (Kumar et al. 2020) is SAC with one more term in the loss of its critics; TQC (Kuznetsov et al.
2020) is SAC whose critics learn quantiles, the largest of which are left out of the target; CrossQ (Bhatt et al. 2024)
is SAC without target networks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.networks import describe
from agent_gym.agents.off_policy.actor_critic import ActorAndCritic, ActorCriticAgent
from agent_gym.agents.off_policy.batches import batch_mean
from agent_gym.agents.off_policy.critic import Critic
from agent_gym.agents.off_policy.features import next_obs_features, obs_features
from agent_gym.agents.off_policy.soft_values import (
    ACTOR,
    CRITICS,
    PASSES,
    TARGETS,
    how,
    overestimate,
    soft_value,
    truncated,
)
from agent_gym.agents.policy import DecidesByHead
from agent_gym.agents.settings.sac import TRUNKS, SACConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.nets.distributions import Categorical, SquashedGaussian
from agent_gym.nets.encoders.make import has_image
from agent_gym.nets.heads import DiscreteHead, PolicyHead, SquashedGaussianHead
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.losses import quantile_huber
from agent_gym.nets.mixture import Mixture, MixtureHead
from agent_gym.nets.target import TargetNetwork
from agent_gym.nets.trunks.batch_renorm import BatchStatistics

DISCRETE_ENTROPY = 0.5  # of log n, unless --target-entropy says otherwise


class SACPolicy(DecidesByHead, ActorAndCritic):
    """A stochastic actor and a pair of critics evaluated as one."""

    num_critics = 2

    def make_critics(self) -> Critic:
        config = self.config
        options = {"quantiles": config.quantiles, "trunk": TRUNKS[config.critic][1]}
        return Critic(self.obs_space, self.action_space, config.of_critics(), self.num_critics, **options)

    def make_head(self, in_dim: int) -> PolicyHead:
        kinds = {spaces.Discrete: DiscreteHead, spaces.Dict: MixtureHead}
        return kinds.get(type(self.action_space), SquashedGaussianHead)(self.action_space, in_dim)

    def choose(self, output: SquashedGaussian | Categorical, explore: bool, generator: torch.Generator | None):
        return output.sample(generator) if explore else output.mode()

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


class Temperature(nn.Module):
    """The weight of the entropy by its logarithm, learned or not."""

    def __init__(self, learned: bool) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.zeros(()), requires_grad=learned)


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
        self._check_critics(env)
        self.target_entropy = config.target_entropy or aim
        self.temperature = Temperature(config.alpha == 0.0).to(self.device)
        self.beside = (self.temperature,)
        self._begin_alpha()
        capture = self.state_dim == 0
        loss = self.joint_loss if config.critic == "crossq" else self.critic_loss
        critic = Learner(loss, self.critic.parameters(), config, capture=capture)
        actor = Learner(self.actor_loss, [*self.actor.parameters(), self.log_alpha], config, capture=capture)
        self.learners = {"critic": critic, "actor": actor}
        self.statistics = {"critic": BatchStatistics(self.critic), "actor": BatchStatistics(self.actor)}
        if config.critic != "crossq":
            self.target = TargetNetwork(self.critic, critic.parameters)
            self.targets = {"critic": self.target}
        self.resets = 0

    @property
    def log_alpha(self) -> nn.Parameter:
        """Logarithm of the weight of the entropy, []."""
        return self.temperature.log_alpha

    def _check_critics(self, env: VectorEnv) -> None:
        config = self.config
        if config.quantiles and not isinstance(env.action_space, spaces.Box):
            raise UserError(f"--quantiles is for Box actions, and {env.id} has {env.action_space}: leave it out")
        if config.critic == "crossq" and (has_image(env.obs_space) or not isinstance(env.action_space, spaces.Box)):
            odd = f"images, {env.obs_space}" if has_image(env.obs_space) else str(env.action_space)
            raise UserError(f"--critic crossq is for vectors and Box actions, and {env.id} has {odd}")

    def by_itself(self) -> str:
        config = self.config
        if config.critic != "plain" or config.reset_every or config.conservative:
            return "--critic, --reset-every and --conservative make updates that are each run's own"
        return super().by_itself()

    def _begin_alpha(self) -> None:
        self.log_alpha.data.fill_(math.log(self.config.alpha or self.config.initial_alpha))

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
            value, _ = soft_value(
                policy, target, next_features, self.log_alpha.exp(), batch.get("next_noise"), **how(batch, TARGETS)
            )
            target_q = batch["reward"] + batch["discount"] * value
        q = self.critic.of_action(features, batch["action"], **how(batch, CRITICS))
        loss, stats = self._regressed(q, target_q, batch)
        if self.config.conservative:
            excess = batch_mean(overestimate(q, self.critic, features, batch), batch, weighted=False)
            loss = loss + self.config.conservative * excess.sum()
            stats["q_excess"] = excess.detach().mean()
        return loss, stats

    def _regressed(self, q: Tensor, target_q: Tensor, batch: dict) -> tuple[Tensor, Stats]:
        loss = 0.5 * batch_mean((q - target_q).square(), batch).sum()
        q = q.detach()
        stats = {"q_loss": loss.detach(), "q_mean": batch_mean(q, batch, weighted=False).mean()}
        return loss, stats | {"td_error": q - target_q}

    def joint_loss(self, batch: dict) -> tuple[Tensor, Stats]:
        """`critic_loss` without targets: one pass values s, a and s', a' (Bhatt et al. 2024).

        Batch renormalisation sees both together; the actor's is by its running statistics here. Agrees with
        sb3-contrib's CrossQ.
        """
        with torch.no_grad():
            policy = self.actor.head(next_obs_features(self.actor.encoder, batch))
            next_action, log_prob = policy.rsample_with_log_prob(noise=batch["next_noise"])
        encoder = self.critic.encoder
        features = torch.cat((obs_features(encoder, batch), next_obs_features(encoder, batch)), dim=1)
        with self.statistics["critic"].gathered() as moments:
            both = self.critic(features, torch.cat((batch["action"], next_action), dim=1))
        q, next_q = both.chunk(2, dim=-1)
        with torch.no_grad():
            value = next_q.amin(0) - self.log_alpha.exp() * log_prob
            target_q = batch["reward"] + batch["discount"] * value
        loss, stats = self._regressed(q, target_q, batch)
        return loss, stats | moments

    def _quantile_loss(
        self, batch: dict, policy: SquashedGaussian, next_features: Tensor, features: Tensor
    ) -> tuple[Tensor, Stats]:
        """Quantile regression on the truncated mixture of the critics' quantiles (Kuznetsov et al. 2020, equation 14).

        A mean over critics, estimates and samples, as in sb3-contrib's TQC.
        """
        with torch.no_grad():
            action, log_prob = policy.rsample_with_log_prob(noise=batch["next_noise"])
            atoms = truncated(
                self.target.module.atoms(next_features, action, **how(batch, TARGETS)), self.config.drop_atoms
            )
            soft = atoms - (self.log_alpha.exp() * log_prob).unsqueeze(-1)
            target_q = batch["reward"].unsqueeze(-1) + batch["discount"].unsqueeze(-1) * soft
        q = self.critic.atoms(features, batch["action"], **how(batch, CRITICS))
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
        with self.statistics["actor"].gathered() as moments:
            policy = self.actor.head(obs_features(self.actor.encoder, batch, actor_memory)).masked(batch.get("mask"))
        with torch.no_grad():
            features = obs_features(self.critic.encoder, batch, critic_memory)
        value, log_prob = soft_value(policy, self.critic, features, alpha, batch.get("noise"), **how(batch, ACTOR))
        policy_loss = -batch_mean(value, batch, weighted=False)
        mean_log_prob = batch_mean(log_prob.detach(), batch, weighted=False)
        loss = policy_loss - self.log_alpha * (mean_log_prob + self.aim(batch))
        stats = {"policy_loss": policy_loss.detach(), "entropy": -mean_log_prob, "alpha": alpha}
        return loss, stats | moments

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

    @property
    def rhythm(self) -> int:
        return int(self.updates % self.config.policy_delay == 0)

    def fit(self, batch: dict, learners: dict[str, Learner], targets: dict[str, TargetNetwork]) -> Stats:
        stats = self.fit_critic(batch, learners)
        self.statistics["critic"].absorb(stats)
        if self.rhythm:
            stats |= learners["actor"].update(batch)
            self.statistics["actor"].absorb(stats)
        for target in targets.values():
            target.follow(self.config.tau)
        return stats

    def drawn(self, batch: dict) -> dict:
        found: dict = {}
        if not self.discrete:
            shape = (2, *batch["action"].shape[:-1], self.critic.numbers)
            noise = torch.randn(shape, generator=self.generator, device=self.device)
            found = {"noise": noise[0], "next_noise": noise[1]}
            if self.config.conservative:
                found |= self.others(batch)
        if self.config.critic == "droq":
            trunk, rows = self.critic.heads.hidden, batch["reward"].numel()
            found["kept"] = trunk.draw(self.config.critic_dropout, PASSES, rows, self.generator)
        return found

    def update(self) -> Stats | None:
        stats = super().update()
        if stats is not None and self.config.reset_every and self.updates // self.config.reset_every > self.resets:
            self.resets = self.updates // self.config.reset_every
            self._start_anew()
        return stats

    def _start_anew(self) -> None:
        """First weights of their own for all networks; what is known of observations and rewards stays."""
        before = torch.get_rng_state()
        seed = np.random.SeedSequence((self.config.seed, self.resets)).generate_state(1)[0]
        torch.default_generator.manual_seed(int(seed))  # torch.manual_seed would change those of GPUs too
        fresh = self.make_policy()
        torch.set_rng_state(before)
        for mine, other in ((self.actor, fresh.network), (self.critic, fresh.critic)):
            mine.load_state_dict(other.state_dict())
        if not self.config.alpha:
            self._begin_alpha()
        for learner in self.learners.values():
            learner.restart()
        self.start_from_weights()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"log_alpha": self.log_alpha.detach(), "resets": self.resets}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.log_alpha.data.copy_(state["log_alpha"])
        self.resets = max(int(state.get("resets", 0)), 0)
