"""Proximal policy optimisation (Schulman et al. 2017), and A2C as its one-epoch case (Huang et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.buffers.returns import standardize
from agent_gym.agents.groups import Routed, group_of, group_spaces
from agent_gym.agents.networks import ActorCritic, describe
from agent_gym.agents.on_policy import OnPolicy
from agent_gym.agents.policy import DecidesByHead, Policy, one_step
from agent_gym.agents.self_play.league import self_play
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.nets.distributions import Distribution
from agent_gym.nets.encoders.make import has_image
from agent_gym.nets.learner.learner import Stats
from agent_gym.nets.ranks import RANKS
from agent_gym.nets.return_scale import ReturnStats


class Coefficients(nn.Module):
    """The numbers of the loss that may change in a run, or differ between runs that train together, as tensors []."""

    def __init__(self, config: PPOConfig) -> None:
        super().__init__()
        for name in ("clip_coef", "value_coef", "entropy_coef"):
            self.register_buffer(name, torch.tensor(float(getattr(config, name))))
        self.bonus = config.entropy_coef != 0.0
        """Whether the entropy needs a gradient."""


def ppo_loss(network: ActorCritic, batch: dict, state: Tensor, config: PPOConfig, numbers: Coefficients):
    """The clipped surrogate (equation 7) with value loss and entropy bonus (equation 9).

    batch: obs, reset, action, log_prob, value, advantage, returns, each [T, B, ...], and optionally
    valid [T, B], False where a step carried no action, and mask [T, B, n], the allowed actions. state: [B, S] before
    the first step.
    Agrees with Stable-Baselines3's PPO on the same batch. Returns the loss [] and detached stats.
    """

    def real(x: Tensor) -> Tensor:
        return x[batch["valid"]] if "valid" in batch else x

    distribution, value, _ = network(batch["obs"], state, batch["reset"], batch.get("mask"))
    log_ratio = distribution.log_prob(batch["action"]) - batch["log_prob"]
    ratio = log_ratio.exp()
    advantage = batch["advantage"]
    clipped = ratio.clamp(1.0 - numbers.clip_coef, 1.0 + numbers.clip_coef)
    policy_loss = -real(torch.min(advantage * ratio, advantage * clipped)).mean()
    if config.clip_value_coef > 0:
        change = (value - batch["value"]).clamp(-config.clip_value_coef, config.clip_value_coef)
        value = batch["value"] + change
    value_loss = real((value - batch["returns"]).square()).mean()
    with torch.set_grad_enabled(numbers.bonus and torch.is_grad_enabled()):
        entropy = real(distribution.entropy()).mean()
    loss = policy_loss + numbers.value_coef * value_loss - numbers.entropy_coef * entropy
    stats = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy, "log_ratio": real(log_ratio)}
    return loss, {name: value.detach() for name, value in stats.items()}


def ratio_stats(log_ratio: Tensor, clip_coef: Tensor) -> Stats:
    """approx_kl (Schulman's estimator, http://joschu.net/blog/kl-approx.html) and clip_fraction of log ratios."""
    change = log_ratio.expm1()
    return {"approx_kl": (change - log_ratio).mean(), "clip_fraction": (change.abs() > clip_coef).float().mean()}


class PPOPolicy(DecidesByHead, Policy):
    """An action distribution and a value, on one encoder or on one each."""

    network: ActorCritic | Routed

    def __init__(self, obs_space: spaces.Space, action_space: spaces.Space, config: PPOConfig) -> None:
        super().__init__(obs_space, action_space, config)
        shared = config.share_encoder == "yes" or (config.share_encoder == "auto" and has_image(obs_space))
        options = {"shared": shared, "log_std_init": config.log_std_init, "state_dependent": config.sde_every > 0}
        options["parameterised"] = config.parameterised

        def make(space: spaces.Space) -> ActorCritic:
            return ActorCritic(space, action_space, config, **options)

        self.exportable = self.alone = not group_spaces(obs_space)
        """Whether one network is for all."""
        self.network = make(obs_space) if self.alone else Routed(obs_space, make)
        if config.normalize_returns:
            self.return_stats = ReturnStats()  # turns values back into units of reward
        self.state_dim = self.network.state_dim

    def forward(
        self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None
    ) -> tuple[Distribution, Tensor, Tensor]:
        """The distribution over [1, B], the value [B] and the next state of one step."""
        mask = None if mask is None else mask.unsqueeze(0)
        distribution, value, state = self.network(one_step(self.obs_norm(obs)), state, reset.unsqueeze(0), mask)
        return distribution, value.squeeze(0), state

    @torch.no_grad()
    def act(self, obs: Any, state: Tensor, reset: Tensor, mask=None, *, explore=False, generator=None, noise=None):
        """`noise` [B, in_dim, m]: held exploration noise (gSDE) instead of a fresh draw."""
        if self.state_dim:
            distribution, _, state = self(obs, state, reset, mask)
        else:
            mask = None if mask is None else mask.unsqueeze(0)
            distribution = self.network.act(one_step(self.obs_norm(obs)), reset.unsqueeze(0), mask)
        action = (draw(distribution, generator, noise) if explore else distribution.mode()).squeeze(0)
        return self.network.head.to_env(action), state, {"action": action}

    def act_by(self, obs: Any, noise: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Without memory: the actions that `act` would explore with, had it drawn `noise` [B, ...] (see `noise`); for
        the environment, and as the agent has them."""
        reset = torch.zeros(1, len(noise), dtype=torch.bool)
        distribution = self.network.act(one_step(self.obs_norm(obs)), reset, None if mask is None else mask[None])
        action = distribution.sample_from(noise[None]).squeeze(0)
        return self.network.head.to_env(action), action

    @torch.no_grad()
    def act_and_value(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None, generator, noise=None):
        """A drawn action as `act` gives it; in the extras also "log_prob", "value" in units of reward and
        "learned_value", the same as the network has it, each [B]."""
        distribution, value, state = self(obs, state, reset, mask)
        raw = draw(distribution, generator, noise)
        extras = {"action": raw.squeeze(0), "log_prob": distribution.log_prob(raw).squeeze(0)}
        extras |= {"value": self.in_reward(value), "learned_value": value}
        return self.network.head.to_env(extras["action"]), state, extras

    def in_reward(self, value: Tensor) -> Tensor:
        """What the network learns as a value, in units of reward."""
        return self.return_stats.in_reward(value) if self.config.normalize_returns else value

    @torch.no_grad()
    def value(self, obs: Any, state: Tensor, reset: Tensor) -> Tensor:
        """V(obs) as the network has it, [B]."""
        return self(obs, state, reset)[1]

    @torch.no_grad()
    def inspect(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        distribution, value, _ = self(obs, state, reset, mask)
        return {"value": self.in_reward(value), **describe(self.network.head, distribution)}


def draw(distribution: Distribution, generator: torch.Generator | None, noise: Tensor | None) -> Tensor:
    """An action [1, B, ...], by held noise if there is any."""
    return distribution.sample(generator) if noise is None else distribution.sample_with(noise)


class PPO(OnPolicy):
    """Collects T steps of B environments, then improves on them for a few epochs."""

    policy_class = PPOPolicy
    policy: PPOPolicy
    many = reaches = True
    acted = ("value", "log_prob")

    def __init__(self, config: PPOConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        env = self_play(env, config) if config.self_play else env
        super().__init__(config, env, device)
        env.learned(self.policy)
        self.learners = {"policy": self.learner}
        self.trace = config.gae_lambda
        self.held_noise = config.sde_every > 0 and isinstance(env.action_space, spaces.Box)
        self.coefficients = Coefficients(config).to(self.device)
        self.beside = (self.coefficients,)

    def by_itself(self) -> str:
        if self.config.self_play:
            return "many agents are trained run by run"
        taken = self.held_noise or self.config.target_kl > 0
        return "--sde-every and --target-kl make runs take different ways" if taken else ""

    def loss(self, batch: dict, state: Tensor):
        return ppo_loss(self.network, batch, state, self.config, self.coefficients)

    def _explore_at(
        self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """A drawn action, with as much in the extras as cannot be had later."""
        here = (obs, state, reset, mask)
        if self.evaluated:
            return self.policy.act(*here, explore=True, generator=self.generator, noise=noise)
        action, state, extras = self.policy.act_and_value(*here, self.generator, noise)
        extras["value"] = extras.pop("learned_value")  # rewards are scaled before they become advantages
        return action, state, extras

    def _evaluation(self) -> Callable[[dict], dict[str, Tensor]] | None:
        # Without memory, values and log-probabilities can wait for one pass over the whole rollout.
        waits = self.state_dim == 0 and (self.apart or not has_image(self.env.obs_space))
        return self.values_and_log_probs if waits else None

    def values_and_log_probs(self, batch: dict) -> dict[str, Tensor]:
        """`acted` [T, B] of a whole rollout, without memory."""
        distribution, value, _ = self.network(batch["obs"], self.first_state, batch["reset"], batch.get("mask"))
        return {"value": value, "log_prob": distribution.log_prob(batch["action"])}

    def _hold(self, t: int) -> None:
        if self.held_noise and t % self.config.sde_every == 0:
            self.noise = self.network.head.noise(self.env.num_envs, self.generator)

    def prepare(self) -> None:
        super().prepare()
        config = self.config
        left = 1.0 - self.progress if config.clip_schedule == "linear" else 1.0
        self.coefficients.clip_coef.fill_(config.clip_coef * left)

    def prepared(self, minibatch: dict) -> dict:
        if not self.config.normalize_advantage:
            return minibatch
        here = (minibatch.get("valid"), group_of(minibatch["obs"]))
        return minibatch | {"advantage": standardize(minibatch["advantage"], *here)}

    def _epoch(self, batch: dict, stats: list[Stats]) -> bool:
        config = self.config
        for minibatch, state in self._minibatches(batch):
            stats.append(self.learner.update(self.prepared(minibatch), state))
            if config.target_kl > 0 and self._too_far(stats[-1]["log_ratio"]):
                return False
        return True

    def _summary(self, stats: list[Stats]) -> Stats:
        log_ratio = torch.cat([s.pop("log_ratio").flatten() for s in stats])
        return super()._summary(stats) | ratio_stats(log_ratio, self.coefficients.clip_coef)

    def _too_far(self, log_ratio: Tensor) -> bool:
        approx_kl = RANKS.mean_(ratio_stats(log_ratio, self.coefficients.clip_coef)["approx_kl"])
        return approx_kl.item() > 1.5 * self.config.target_kl
