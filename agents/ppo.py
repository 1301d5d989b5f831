"""Proximal policy optimisation (Schulman et al. 2017), and A2C as its one-epoch case (Huang et al. 2022)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.agent import Agent
from agent_gym.agents.buffers.returns import gae, standardize
from agent_gym.agents.buffers.rollout import Rollout, minibatches
from agent_gym.agents.buffers.turns import decisions, held, starts
from agent_gym.agents.groups import Routed, group_of, group_spaces
from agent_gym.agents.networks import ActorCritic, describe
from agent_gym.agents.policy import Policy, one_step
from agent_gym.agents.self_play.league import self_play
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.envs.vector import Step, VectorEnv
from agent_gym.ground.tree import tree_leaves, tree_map
from agent_gym.nets.distributions import Distribution, Noise
from agent_gym.nets.encoders.make import has_image
from agent_gym.nets.learner.cuda_graphs import Recorded, apart, records
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.normalisation import ReturnScale, ReturnStats


def ppo_loss(network: ActorCritic, batch: dict, state: Tensor, config: PPOConfig, clip_coef: Tensor):
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


class PPOPolicy(Policy):
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

    decides_by_mask = True

    def decide(self, features: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return self.network.head.decide(features, noise, mask)

    def noise(self, features: Tensor) -> Noise:
        return self.network.head(features).noise

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


EXTRAS = ("action", "log_prob", "value")  # what acting adds to a rollout
LONGEST = 256  # steps of a rollout that become one graph
LONG_UPDATE = 1.0  # seconds: from there on an update can be given up and begun again


class PPO(Agent):
    """Collects T steps of B environments, then improves on them for a few epochs."""

    policy_class = PPOPolicy
    policy: PPOPolicy
    many = reaches = True

    def __init__(self, config: PPOConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        env = self_play(env, config) if config.self_play else env
        super().__init__(config, env, device)
        env.learned(self.policy)
        self.network, self.obs_norm = self.policy.network, self.policy.obs_norm
        stats = self.policy.return_stats if config.normalize_returns else None
        self.return_scale = ReturnScale(env.num_envs, config.gamma, stats).to(self.device)
        self.on_gpu = records(self.device) and env.members == 1  # who waits and in which group changes the graph
        # Which rows are of which group, and on a CPU resets inside sequences, change what a loss does.
        capture = self.policy.alone and (self.state_dim == 0 or self.on_gpu)
        self.learner = Learner(self.loss, self.network.parameters(), config, capture=capture)
        self.learners = {"policy": self.learner}
        # Without memory, values and log-probabilities can wait for one pass over the whole rollout.
        self.apart = self.on_gpu and apart(env.device, self.device)  # the environments are elsewhere
        self.evaluates_later = self.state_dim == 0 and (self.apart or not has_image(env.obs_space))
        self.held_noise = config.sde_every > 0 and isinstance(env.action_space, spaces.Box)
        self.rollout = Rollout(config.num_steps, env.num_envs, self.device)
        self.filled = 0  # steps of it; more than 0 between calls after an interruption alone
        self.noise: Tensor | None = None
        self.update_seconds = 0.0
        self.clip_coef = torch.tensor(config.clip_coef, device=self.device)
        if self.on_gpu:
            self._record()

    def _record(self) -> None:
        """On a GPU, act by graphs: one for a step, or one for a whole rollout of environments that live there too."""
        env, device = self.env, self.device
        how = {"record": self.config.capture == "auto" and self.policy.alone}
        if self.apart or env.tensors() is None or self.config.num_steps > LONGEST:
            how |= {"generators": [self.generator], "borrowed": True}
            self.recorded = {"acting": Recorded("acting", self._explore_at, device, lambda: (), **how)}
        else:
            how |= {"generators": [self.generator, *env.generators]}
            self.recorded = {"rollout": Recorded("a rollout", self._whole_rollout, device, self._moved, **how)}
            self.standing: dict = {}

    def loss(self, batch: dict, state: Tensor):
        return ppo_loss(self.network, batch, state, self.config, self.clip_coef)

    def _explore_at(
        self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """A drawn action, with as much in the extras as cannot be had later."""
        here = (obs, state, reset, mask)
        if self.evaluates_later:
            return self.policy.act(*here, explore=True, generator=self.generator, noise=noise)
        action, state, extras = self.policy.act_and_value(*here, self.generator, noise)
        extras["value"] = extras.pop("learned_value")  # rewards are scaled before they become advantages
        return action, state, extras

    def begin(self) -> None:
        super().begin()
        self.obs_norm.start(self.here(self.obs))
        self.return_scale.begin()

    def collect(self) -> dict[str, float] | None:
        if self.filled == 0:  # a normal tensor: the loss differentiates through what follows from it
            self.first_state = self.state.clone()
        with torch.inference_mode():
            self._fill_rollout()
        if self.filled < self.config.num_steps:
            return None
        self.before = (self.steps, self.window, self.marks, self.episodes.running)
        done = self.rollout["terminated"] | self.rollout["truncated"]
        valid = self.rollout.fields.get("valid")
        self.steps += (done.numel() if valid is None else int(valid.sum())) // self.env.members
        episodes = self.episodes.update(self.rollout["reward"], done, valid, self.rollout.fields.get("acts"))
        if valid is not None and not valid.any():  # nothing to learn from: an environment that keeps failing ends this
            self.filled = 0
            return self.collect()
        return self.episode_scalars(episodes)

    def _fill_rollout(self) -> None:
        if "rollout" in self.recorded and self.filled == 0:
            if not self.interrupted():
                self._stand()
                steps = self.env.steps + self.config.num_steps
                self.recorded["rollout"]()
                self.env.steps, self.filled, self.noise = steps, self.config.num_steps, None
            return
        explore = self.recorded.get("acting", self._explore_at)
        for t in range(self.filled, self.config.num_steps):
            if self.interrupted():
                return
            self._advance(t, explore)
            self.filled = t + 1

    def _advance(self, t: int, explore: Callable[..., tuple[Tensor, Tensor, dict[str, Tensor]]]) -> None:
        """Step t of the rollout."""
        if self.held_noise and t % self.config.sde_every == 0:
            self.noise = self.network.head.noise(self.env.num_envs, self.generator)
        mask, acts = self.env.mask, self.env.acts
        action, state, extras = explore(self.obs, self.state, self.reset, mask, self.noise)
        step = self.env.step(action)
        state = held(None if acts is None else self.here(acts), state, self.state)
        fields = {"obs": self.obs, "reset": self.reset, **extras, **self._final(step, state)}
        fields |= {"reward": step.reward, "terminated": step.terminated, "truncated": step.truncated}
        optional = {"valid": step.valid, "mask": mask, "acts": acts}
        self.rollout.add(t, **fields, **{name: part for name, part in optional.items() if part is not None})
        self.obs, self.state = step.obs, state
        ended = step.terminated | step.truncated
        if step.info:
            self.infos.add(step.info, ended)
        self.reset = starts(acts, ended, self.reset)
        if step.valid is not None:
            self.reset |= ~step.valid

    def _final(self, step: Step, state: Tensor) -> dict[str, Any]:
        """The value of the true successor, read where it was truncated, or what it can be had from later."""
        there = self.on_gpu and not self.apart  # asking a GPU which ones were truncated would stall it
        if there and self.evaluates_later:
            return {"final_obs": step.final_obs}
        if step.final_obs is not step.obs and (there or step.truncated.any()):
            value = self.policy.value(self.here(step.final_obs), state, self.here(torch.zeros_like(self.reset)))
            return {"final_value": value.to(step.reward.device)}
        return {"final_value": step.reward}  # stands in where nothing is truncated and nobody reads it

    def _stand(self) -> None:
        """Put the tensors that a rollout starts from where its graph finds them."""
        moving = {"obs": self.obs, "state": self.state, "reset": self.reset, "env": self.env.tensors()}
        with torch.inference_mode(False):
            self.standing = self.standing or tree_map(torch.empty_like, moving)
        for place, leaf in zip(tree_leaves(self.standing), tree_leaves(moving), strict=True):
            if place is not leaf:
                place.copy_(leaf)
        self._begin_there()

    def _begin_there(self) -> None:
        self.obs, self.state, self.reset = (self.standing[name] for name in ("obs", "state", "reset"))
        self.env.put(self.standing["env"])

    def _whole_rollout(self) -> None:
        """A rollout on tensors alone, from `standing` to `standing`."""
        self._begin_there()
        for t in range(self.config.num_steps):
            self._advance(t, self._explore_at)
        self._stand()

    def _moved(self) -> list[Tensor]:
        """What a rollout changes in place."""
        return [*tree_leaves(self.standing), *tree_leaves(self.rollout.fields), *self.env.changed()]

    def update(self) -> Stats | None:
        began, config = time.perf_counter(), self.config
        undo = self._undo() if self.update_seconds > LONG_UPDATE else None
        self.learner.set_progress(self.progress)
        self.clip_coef.fill_(config.clip_coef * (1.0 - self.progress if config.clip_schedule == "linear" else 1.0))
        batch = self._targets()
        stats: list[Stats] = []
        for _ in range(config.num_epochs):
            if undo is not None and self.interrupted():
                undo()
                return None
            for minibatch, state in minibatches(batch, self.first_state, config.num_minibatches, self.generator):
                if config.normalize_advantage:
                    here = (minibatch.get("valid"), group_of(minibatch["obs"]))
                    minibatch["advantage"] = standardize(minibatch["advantage"], *here)
                stats.append(self.learner.update(minibatch, state))
                if config.target_kl > 0 and self._too_far(stats[-1]["log_ratio"]):
                    break
            else:
                continue
            break
        self.learner.check()
        self.env.learned(self.policy)
        acts = self.gathered.get("acts")
        self.obs_norm.update(tree_map(lambda x: x if acts is None else x[acts].unsqueeze(0), self.gathered["obs"]))
        log_ratio = torch.cat([s.pop("log_ratio").flatten() for s in stats])
        means = {name: torch.stack([s[name] for s in stats]).mean() for name in stats[0]}
        means |= ratio_stats(log_ratio, self.clip_coef)
        if batch["returns"].numel() > 1:
            residual = batch["returns"] - batch["value"]
            means["explained_variance"] = 1.0 - residual.var() / batch["returns"].var()
        means["learning_rate"] = torch.tensor(self.learner.learning_rate)
        self.filled, self.update_seconds = 0, time.perf_counter() - began
        return means

    def _undo(self) -> Callable[[], None]:
        """What takes back an update that is not finished, and the counting of the rollout before it."""
        parts = (self.model, self.learner, self.return_scale)
        states, drawn, counts = (
            copy.deepcopy([part.state_dict() for part in parts]),
            self.generator.get_state(),
            self.before,
        )

        def undo() -> None:
            for part, state in zip(parts, states, strict=True):
                part.load_state_dict(state)
            self.generator.set_state(drawn)
            self.steps, self.window, self.marks, self.episodes.running = counts

        return undo

    def _too_far(self, log_ratio: Tensor) -> bool:
        return ratio_stats(log_ratio, self.clip_coef)["approx_kl"].item() > 1.5 * self.config.target_kl

    @torch.no_grad()
    def _targets(self) -> dict:
        """The rollout [T, B] with normalised observations, advantage and returns; without memory only valid steps."""
        config = self.config
        self.gathered = rollout = {name: self.here(field) for name, field in self.rollout.fields.items()}
        obs = self.here(self.obs)
        last_value = self.policy.value(obs, self.state, self.here(self.reset))
        if "acts" in rollout:
            now = {"obs": obs} | ({"value": last_value} if "value" in rollout else {})
            rollout = decisions(rollout, self.here(self.env.acts), now)
        reward = config.learned_reward(rollout["reward"])
        if config.normalize_returns:
            self.return_scale.update(reward, rollout["terminated"] | rollout["truncated"])
            reward = self.return_scale.transform(reward, rollout["terminated"])
        batch = {"obs": self.obs_norm(rollout["obs"]), "reset": rollout["reset"], "action": rollout["action"]}
        if "mask" in rollout:
            batch["mask"] = rollout["mask"]
        if self.evaluates_later:
            here = (batch["obs"], self.first_state, batch["reset"], batch.get("mask"))
            distribution, batch["value"], _ = self.network(*here)
            batch["log_prob"] = distribution.log_prob(batch["action"])
        else:
            batch |= {"value": rollout["value"], "log_prob": rollout["log_prob"]}
        valid = rollout.get("valid")
        valid = None if valid is None or valid.all() else valid
        if "final_obs" in rollout:
            final_value = self.network.value(self.obs_norm(rollout["final_obs"]), rollout["reset"])
        else:
            final_value = rollout["final_value"]
        ends = rollout["terminated"], rollout["truncated"], final_value
        targets = gae(reward, batch["value"], *ends, last_value, config.gamma, config.gae_lambda, valid)
        batch["advantage"], batch["returns"] = targets
        if valid is None:
            return batch
        if self.state_dim:  # sequences stay whole, and the loss leaves out their gaps
            return batch | {"valid": valid}
        return tree_map(lambda x: x[valid].unsqueeze(0), batch)

    def state_dict(self) -> dict:
        rollout = {}
        if self.filled:
            rows = {name: tree_map(lambda x: x[: self.filled], part) for name, part in self.rollout.fields.items()}
            rollout = {"rows": rows, "first_state": self.first_state, "noise": self.noise}
        own = {"learner": self.learner.state_dict(), "return_scale": self.return_scale.state_dict(), "rollout": rollout}
        return super().state_dict() | own

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.learner.load_state_dict(state["learner"])
        self.return_scale.load_state_dict(state["return_scale"])
        self.filled = 0
        if state["rollout"] and self.goes_on:
            noise, rows = state["rollout"]["noise"], state["rollout"]["rows"]
            self.first_state = self.here(state["rollout"]["first_state"])
            self.noise = None if noise is None else self.here(noise)
            there = self.on_gpu and not self.apart
            if ("final_obs" in rows, "log_prob" in rows) != (there and self.evaluates_later, not self.evaluates_later):
                return  # begun on another kind of device
            rows = {name: self.here(part) if there or name in EXTRAS else part for name, part in rows.items()}
            self.filled = len(rows["reward"])
            for t in range(self.filled):
                self.rollout.add(t, **{name: tree_map(lambda x, t=t: x[t], part) for name, part in rows.items()})
