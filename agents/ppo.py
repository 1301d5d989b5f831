"""Proximal policy optimisation (Schulman et al. 2017), and A2C as its one-epoch case (Huang et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.agent import Agent
from agent_gym.agents.buffers.returns import gae, standardize
from agent_gym.agents.buffers.rollout import Rollout, minibatches
from agent_gym.agents.config import AgentConfig
from agent_gym.agents.networks import ActorCritic, describe
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_map
from agent_gym.nets.distributions import Distribution
from agent_gym.nets.encoders.make import has_image, is_image
from agent_gym.nets.learner.learner import Learner, OptimizerConfig, Stats
from agent_gym.nets.normalisation import ObsNorm, ReturnScale


@dataclass(frozen=True)
class PPOConfig(AgentConfig):
    """Proximal policy optimisation."""

    num_steps: int = 128
    """Steps of each environment in a rollout."""
    num_epochs: int = 10
    """Passes over each rollout."""
    num_minibatches: int = 4
    """Parts of a rollout; one optimizer step each."""
    learning_rate: float = 3e-4
    """Step size at the start."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How the learning rate falls over the run."""
    optimizer: Literal["adam", "adamw", "rmsprop", "momentum", "sgd"] = "adam"
    """Update rule."""
    eps: float = 1e-5
    """Added to the optimizer's denominator."""
    max_grad_norm: float = 0.5
    """Largest global gradient norm; 0: no clipping."""
    gamma: float = 0.99
    """Discount per step."""
    gae_lambda: float = 0.95
    """Weight of longer advantage estimates, 0 to 1."""
    clip_coef: float = 0.2
    """The probability ratio is clipped to 1 ± this."""
    clip_schedule: Literal["constant", "linear"] = "constant"
    """How clip_coef falls over the run."""
    clip_value_coef: float = 0.0
    """Clip the change of the value to ± this; 0: no clipping."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus."""
    target_kl: float = 0.0
    """End the epochs once approx_kl exceeds 1.5 times this; 0: never."""
    normalize_advantage: bool = True
    """Give each minibatch's advantages mean 0 and standard deviation 1."""
    normalize_obs: bool = False
    """Scale observations by their running mean and standard deviation."""
    normalize_returns: bool = False
    """Scale rewards by the running standard deviation of the discounted return."""
    log_std_init: float = 0.0
    """Log of the initial standard deviation of continuous actions, in units of half the action range."""
    sde_every: int = 0
    """Steps for which continuous exploration noise is held and made a function of the state (gSDE); 0: fresh noise."""
    share_encoder: Literal["auto", "yes", "no"] = "auto"
    """One encoder for policy and value; auto: yes for images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("num_steps", "num_epochs", "num_minibatches", "learning_rate", "eps", "clip_coef")
        self.require_not_negative("max_grad_norm", "clip_value_coef", "value_coef", "entropy_coef", "target_kl")
        self.require_not_negative("sde_every")
        for name in ("gamma", "gae_lambda"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected a number from 0 to 1")


@dataclass(frozen=True)
class A2CConfig(PPOConfig):
    """Advantage actor-critic (Mnih et al. 2016)."""

    num_steps: int = 5
    num_epochs: int = 1
    num_minibatches: int = 1
    learning_rate: float = 7e-4
    optimizer: Literal["adam", "adamw", "rmsprop", "momentum", "sgd"] = "rmsprop"
    gae_lambda: float = 1.0
    normalize_advantage: bool = False


def ppo_loss(policy: ActorCritic, batch: dict, state: Tensor, config: PPOConfig, clip_coef: Tensor):
    """The clipped surrogate (equation 7) with value loss and entropy bonus (equation 9).

    batch: obs, reset, action, log_prob, value, advantage, returns, each [T, B, ...], and optionally
    valid [T, B], False where a step carried no action. state: [B, S] before the first step.
    Agrees with Stable-Baselines3's PPO on the same batch. Returns the loss [] and detached stats.
    """

    def real(x: Tensor) -> Tensor:
        return x[batch["valid"]] if "valid" in batch else x

    distribution, value, _ = policy(batch["obs"], state, batch["reset"])
    log_ratio = distribution.log_prob(batch["action"]) - batch["log_prob"]
    ratio = log_ratio.exp()
    advantage = batch["advantage"]
    clipped = ratio.clamp(1.0 - clip_coef, 1.0 + clip_coef)
    policy_loss = -real(torch.min(advantage * ratio, advantage * clipped)).mean()
    if config.clip_value_coef > 0:
        change = (value - batch["value"]).clamp(-config.clip_value_coef, config.clip_value_coef)
        value = batch["value"] + change
    value_loss = real((value - batch["returns"]).square()).mean()
    with torch.set_grad_enabled(config.entropy_coef != 0.0 and torch.is_grad_enabled()):
        entropy = real(distribution.entropy()).mean()
    loss = policy_loss + config.value_coef * value_loss - config.entropy_coef * entropy
    stats = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy, "log_ratio": real(log_ratio)}
    return loss, {name: value.detach() for name, value in stats.items()}


def ratio_stats(log_ratio: Tensor, clip_coef: Tensor) -> Stats:
    """approx_kl (Schulman's estimator, http://joschu.net/blog/kl-approx.html) and clip_fraction of log ratios."""
    change = log_ratio.expm1()
    return {"approx_kl": (change - log_ratio).mean(), "clip_fraction": (change.abs() > clip_coef).float().mean()}


class PPO(Agent):
    """Collects T steps of B environments, then improves on them for a few epochs."""

    def __init__(self, config: PPOConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        shared = config.share_encoder == "yes" or (config.share_encoder == "auto" and is_image(env.obs_space))
        self.policy = ActorCritic(
            env.obs_space,
            env.action_space,
            config.encoder_config(),
            shared=shared,
            log_std_init=config.log_std_init,
            state_dependent=config.sde_every > 0,
        )
        self.obs_norm = ObsNorm(env.obs_space) if config.normalize_obs else nn.Identity()
        self.return_scale = ReturnScale(env.num_envs, config.gamma)
        self.model = nn.ModuleDict({"policy": self.policy, "obs_norm": self.obs_norm}).to(self.device)
        if config.normalize_returns:
            self.model["return_stats"] = self.return_scale.stats  # turns values back into units of reward
        self.return_scale.to(self.device)
        self.state_dim = self.policy.state_dim
        self.learner = Learner(
            self.loss,
            self.policy.parameters(),
            OptimizerConfig(
                optimizer=config.optimizer,
                learning_rate=config.learning_rate,
                schedule=config.schedule,
                max_grad_norm=config.max_grad_norm,
                eps=config.eps,
            ),
            capture=self.state_dim == 0,  # resets inside sequences change what a recurrent loss does
        )
        self.learners = {"policy": self.learner}
        # Without memory, values and log-probabilities can wait for one pass over the whole rollout.
        self.evaluates_later = self.state_dim == 0 and not has_image(env.obs_space)
        self.held_noise = config.sde_every > 0 and isinstance(env.action_space, spaces.Box)
        self.rollout = Rollout(config.num_steps, env.num_envs, self.device)
        self.clip_coef = torch.tensor(config.clip_coef, device=self.device)

    def loss(self, batch: dict, state: Tensor):
        return ppo_loss(self.policy, batch, state, self.config, self.clip_coef)

    def _forward(self, obs: Any, state: Tensor, reset: Tensor):
        obs = tree_map(lambda x: x.unsqueeze(0), self.obs_norm(obs))
        distribution, value, state = self.policy(obs, state, reset.unsqueeze(0))
        return distribution, value.squeeze(0), state

    @torch.no_grad()
    def act(self, obs: Any, state: Tensor, reset: Tensor, explore: bool = True, noise: Tensor | None = None):
        distribution, value, state = self._forward(obs, state, reset)
        raw = self._draw(distribution, noise) if explore else distribution.mode()
        extras = {"action": raw.squeeze(0), "log_prob": distribution.log_prob(raw).squeeze(0), "value": value}
        return self.policy.head.to_env(extras["action"]), state, extras

    def _draw(self, distribution: Distribution, noise: Tensor | None) -> Tensor:
        return distribution.sample(self.generator) if noise is None else distribution.sample_with(noise)

    def _explore(self, noise: Tensor | None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """`act` on the current observations, with as much in the extras as cannot be had later."""
        if not self.evaluates_later:
            return self.act(self.obs, self.state, self.reset, noise=noise)
        obs = tree_map(lambda x: x.unsqueeze(0), self.obs_norm(self.obs))
        action = self._draw(self.policy.act(obs, self.reset.unsqueeze(0)), noise).squeeze(0)
        return self.policy.head.to_env(action), self.state, {"action": action}

    @torch.no_grad()
    def value(self, obs: Any, state: Tensor, reset: Tensor) -> Tensor:
        """V(obs), [B]."""
        return self._forward(obs, state, reset)[1]

    @torch.no_grad()
    def inspect(self, obs: Any, state: Tensor, reset: Tensor) -> dict[str, Tensor]:
        distribution, value, _ = self._forward(obs, state, reset)
        return {"value": value / self.return_scale.stats.scale, **describe(self.policy.head, distribution)}

    def collect(self) -> dict[str, float]:
        self.first_state = self.state.clone()  # a normal tensor: the loss differentiates through what follows from it
        with torch.inference_mode():
            self._fill_rollout()
        done = self.rollout["terminated"] | self.rollout["truncated"]
        valid = self.rollout.fields.get("valid")
        self.steps += done.numel() if valid is None else int(valid.sum())
        episodes = self.episodes.update(self.rollout["reward"], done, valid)
        if valid is not None and not valid.any():  # nothing to learn from: an environment that keeps failing ends this
            return self.collect()
        return self.record(episodes)

    def _fill_rollout(self) -> None:
        never = torch.zeros_like(self.reset)
        noise = None
        for t in range(self.config.num_steps):
            if self.held_noise and t % self.config.sde_every == 0:
                noise = self.policy.head.noise(self.env.num_envs, self.generator)
            action, state, extras = self._explore(noise)
            step = self.env.step(action)
            final_value = step.reward  # stands in where nothing is truncated and nobody reads it
            if step.final_obs is not step.obs and step.truncated.any():
                final_value = self.value(step.final_obs, state, never)
            fields = {"obs": self.obs, "reset": self.reset, **extras, "final_value": final_value}
            fields |= {"reward": step.reward, "terminated": step.terminated, "truncated": step.truncated}
            self.rollout.add(t, **fields, **({} if step.valid is None else {"valid": step.valid}))
            self.obs, self.state = step.obs, state
            self.reset = step.terminated | step.truncated
            if step.valid is not None:
                self.reset |= ~step.valid

    def update(self) -> Stats:
        config = self.config
        self.learner.set_progress(self.progress)
        self.clip_coef.fill_(config.clip_coef * (1.0 - self.progress if config.clip_schedule == "linear" else 1.0))
        batch = self._targets()
        stats: list[Stats] = []
        for _ in range(config.num_epochs):
            for minibatch, state in minibatches(batch, self.first_state, config.num_minibatches, self.generator):
                if config.normalize_advantage:
                    minibatch["advantage"] = standardize(minibatch["advantage"], minibatch.get("valid"))
                stats.append(self.learner.update(minibatch, state))
                if config.target_kl > 0 and self._too_far(stats[-1]["log_ratio"]):
                    break
            else:
                continue
            break
        self.learner.check()
        if config.normalize_obs:
            self.obs_norm.update(self.rollout["obs"])
        log_ratio = torch.cat([s.pop("log_ratio").flatten() for s in stats])
        means = {name: torch.stack([s[name] for s in stats]).mean() for name in stats[0]}
        means |= ratio_stats(log_ratio, self.clip_coef)
        residual = batch["returns"] - batch["value"]
        means["explained_variance"] = 1.0 - residual.var() / batch["returns"].var()
        means["learning_rate"] = torch.tensor(self.learner.learning_rate)
        return means

    def _too_far(self, log_ratio: Tensor) -> bool:
        return ratio_stats(log_ratio, self.clip_coef)["approx_kl"].item() > 1.5 * self.config.target_kl

    @torch.no_grad()
    def _targets(self) -> dict:
        """The rollout [T, B] with normalised observations, advantage and returns; without memory only valid steps."""
        rollout, config = self.rollout, self.config
        reward = rollout["reward"]
        if config.normalize_returns:
            self.return_scale.update(reward, rollout["terminated"] | rollout["truncated"])
            reward = self.return_scale.scale(reward)
        batch = {"obs": self.obs_norm(rollout["obs"]), "reset": rollout["reset"], "action": rollout["action"]}
        if self.evaluates_later:
            distribution, batch["value"], _ = self.policy(batch["obs"], self.first_state, batch["reset"])
            batch["log_prob"] = distribution.log_prob(batch["action"])
        else:
            batch |= {"value": rollout["value"], "log_prob": rollout["log_prob"]}
        last_value = self.value(self.obs, self.state, self.reset)
        valid = rollout.fields.get("valid")
        ends = rollout["terminated"], rollout["truncated"], rollout["final_value"]
        targets = gae(reward, batch["value"], *ends, last_value, config.gamma, config.gae_lambda, valid)
        batch["advantage"], batch["returns"] = targets
        if valid is None:
            return batch
        if self.state_dim:  # sequences stay whole, and the loss leaves out their gaps
            return batch | {"valid": valid}
        return tree_map(lambda x: x[valid].unsqueeze(0), batch)

    def state_dict(self) -> dict:
        own = {"learner": self.learner.state_dict(), "return_scale": self.return_scale.state_dict()}
        return super().state_dict() | own

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.learner.load_state_dict(state["learner"])
        self.return_scale.load_state_dict(state["return_scale"])
