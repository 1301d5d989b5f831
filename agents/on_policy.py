"""What agents that learn from rollouts share: collecting T steps of B environments, and a few epochs over them."""

from __future__ import annotations

import copy
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from agent_gym.agents.agent import Agent
from agent_gym.agents.buffers.returns import gae
from agent_gym.agents.buffers.rollout import Rollout, minibatches
from agent_gym.agents.buffers.turns import decisions, held, starts
from agent_gym.agents.settings.on_policy import OnPolicyConfig
from agent_gym.agents.whole_rollout import WholeRollout
from agent_gym.envs.vector import Step, TensorEnv, VectorEnv
from agent_gym.ground.errors import Interrupted
from agent_gym.ground.tree import tree_map
from agent_gym.nets.learner.cuda_graphs import Recorded, apart, records
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.ranks import RANKS
from agent_gym.nets.return_scale import ReturnScale

EXTRAS = ("action", "log_prob", "value")  # what acting adds to a rollout
LONGEST = 256  # steps of a rollout that become one graph
LONG_UPDATE = 1.0  # seconds: from there on an update can be given up and begun again


class OnPolicy(Agent):
    """Collects a rollout, then improves on it for `num_epochs`.

    A subclass gives `loss` and `_explore_at`. Its policy has `alone`, `return_stats` and `value(obs, state, reset)`.
    """

    trace: float
    """λ: the weight of longer returns, 0 to 1."""
    acted: tuple[str, ...]
    """What `_explore_at` leaves in its extras beside the action, "value" first, unless `evaluated` does."""

    def __init__(self, config: OnPolicyConfig, env: VectorEnv, device: torch.device | str) -> None:
        super().__init__(config, env, device)
        self.network, self.obs_norm = self.policy.network, self.policy.obs_norm
        stats = self.policy.return_stats if config.normalize_returns else None
        self.return_scale = ReturnScale(env.num_envs, config.gamma, stats).to(self.device)
        self.on_gpu = records(self.device) and env.members == 1  # who waits and in which group changes the graph
        # Which rows are of which group, and on a CPU resets inside sequences, change what a loss does.
        capture = self.policy.alone and (self.state_dim == 0 or self.on_gpu)
        self.learner = Learner(self.loss, self.network.parameters(), config, capture=capture)
        self.apart = self.on_gpu and apart(env.device, self.device)  # the environments are elsewhere
        self.evaluated = self._evaluation()
        self.rollout = Rollout(config.num_steps, env.num_envs, self.device)
        self.filled = 0  # steps of it; more than 0 between calls after an interruption alone
        self.noise: Tensor | None = None  # what is held for some steps
        self.whole: WholeRollout | None = None
        self.update_seconds = math.inf  # of the one before; of the first nothing is known
        self.undo: Callable[[], None] | None = None  # gives the update in progress up
        if self.on_gpu:
            self._record()

    @abstractmethod
    def loss(self, batch: dict, state: Tensor) -> tuple[Tensor, Stats]:
        """Of a minibatch [T, n, ...] and the state [n, S] before its first step."""

    @abstractmethod
    def _explore_at(
        self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The environment's action, the next memory, and "action" as the agent has it with as much as cannot be had
        later (`acted`)."""

    def _evaluation(self) -> Callable[[dict], dict[str, Tensor]] | None:
        """What gives `acted` [T, B] in one pass over a whole rollout, without memory; None: acting gives it."""
        return None

    def _hold(self, t: int) -> None:
        """Before step t of a rollout: draw `noise` where it is time to."""

    def _value(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None) -> Tensor:
        """The value [B] of observations in which the actions of `mask` [B, n] are allowed."""
        return self.policy.value(obs, state, reset)

    def _record(self) -> None:
        """On a GPU, act by graphs: one for a step, or one for a whole rollout of environments that live there too."""
        env, device = self.env, self.device
        record = self.config.capture == "auto" and self.policy.alone
        there = isinstance(env, TensorEnv) and env.tensors() is not None and not self.apart
        if there and self.config.num_steps <= LONGEST:
            self.whole = WholeRollout(self, env, record)
            self.recorded = {"rollout": self.whole.recorded}
        else:
            how = {"generators": [self.generator], "record": record, "borrowed": True}
            self.recorded = {"acting": Recorded("acting", self._explore_at, device, lambda: (), **how)}

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
        self.steps += RANKS.total((done.numel() if valid is None else int(valid.sum())) // self.env.members)
        episodes = self.episodes.update(self.rollout["reward"], done, valid, self.rollout.fields.get("acts"))
        if valid is not None and not valid.any():  # nothing to learn from: an environment that keeps failing ends this
            self.filled = 0
            return self.collect()
        return self.episode_scalars(episodes)

    def _fill_rollout(self) -> None:
        if self.whole is not None and self.filled == 0:
            if not self.interrupted():
                self.whole.collect()
                self.filled, self.noise = self.config.num_steps, None
            return
        explore = self.recorded.get("acting", self._explore_at)
        for t in range(self.filled, self.config.num_steps):
            if self.interrupted():
                return
            self.advance(t, explore)
            self.filled = t + 1

    def advance(self, t: int, explore: Callable[..., tuple[Tensor, Tensor, dict[str, Tensor]]]) -> None:
        """Step t of the rollout."""
        self._hold(t)
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
        if there and self.evaluated:
            return {"final_obs": step.final_obs}
        if step.final_obs is not step.obs and (there or step.truncated.any()):
            never = self.here(torch.zeros_like(self.reset))
            value = self._value(self.here(step.final_obs), state, never, step.final_mask)
            return {"final_value": value.to(step.reward.device)}
        return {"final_value": step.reward}  # stands in where nothing is truncated and nobody reads it

    def update(self) -> Stats | None:
        began = time.perf_counter()
        self.undo = self._undo() if self.update_seconds > LONG_UPDATE else None
        self.prepare()
        batch = self._targets()
        stats: list[Stats] = []
        try:
            for _ in range(self.config.num_epochs):
                if not self._epoch(batch, stats):
                    break
        except Interrupted:
            self.undo()
            return None
        self.undo = None
        self.learner.check()
        self.env.learned(self.policy)
        acts = self.gathered.get("acts")
        self.obs_norm.update(tree_map(lambda x: x if acts is None else x[acts].unsqueeze(0), self.gathered["obs"]))
        means = self._summary(stats)
        if batch["returns"].numel() > 1:
            residual = batch["returns"] - batch["value"]
            means["explained_variance"] = 1.0 - residual.var() / batch["returns"].var()
        means["learning_rate"] = torch.tensor(self.learner.learning_rate)
        self.filled, self.update_seconds = 0, time.perf_counter() - began
        return means

    def prepare(self) -> None:
        """Before the updates on a rollout: what depends on how far the run is."""
        self.learner.set_progress(self.progress)

    def prepared(self, minibatch: dict) -> dict:
        """What the loss is given of a minibatch."""
        return minibatch

    def _epoch(self, batch: dict, stats: list[Stats]) -> bool:
        """One pass over the rollout, whose stats are added to `stats`; False: no further one."""
        for minibatch, state in self._minibatches(batch):
            stats.append(self.learner.update(self.prepared(minibatch), state))
        return True

    def _minibatches(self, batch: dict) -> Iterator[tuple[dict, Tensor]]:
        """Those of one pass over the rollout. Raises Interrupted where the update is to be given up."""
        for part in minibatches(batch, self.first_state, self.config.num_minibatches, self.generator):
            if self.undo is not None and self.interrupted():
                raise Interrupted
            yield part

    def _summary(self, stats: list[Stats]) -> Stats:
        """What is logged of the updates on one rollout."""
        return {name: torch.stack([s[name] for s in stats]).mean() for name in stats[0]}

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

    @torch.no_grad()
    def _targets(self) -> dict:
        """The rollout [T, B] with normalised observations, advantage and returns; without memory only valid steps."""
        config = self.config
        self.gathered = rollout = {name: self.here(field) for name, field in self.rollout.fields.items()}
        obs = self.here(self.obs)
        last_value = self._value(obs, self.state, self.here(self.reset), self.env.mask)
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
        batch |= self.evaluated(batch) if self.evaluated else {name: rollout[name] for name in self.acted}
        valid = rollout.get("valid")
        valid = None if valid is None or valid.all() else valid
        if "final_obs" in rollout:
            final_value = self.network.value(self.obs_norm(rollout["final_obs"]), rollout["reset"])
        else:
            final_value = rollout["final_value"]
        ends = rollout["terminated"], rollout["truncated"], final_value
        targets = gae(reward, batch["value"], *ends, last_value, config.gamma, self.trace, valid)
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
            if ("final_obs" in rows, self.acted[0] in rows) != (
                there and self.evaluated is not None,
                self.evaluated is None,
            ):
                return  # begun on another kind of device
            rows = {name: self.here(part) if there or name in EXTRAS else part for name, part in rows.items()}
            self.filled = len(rows["reward"])
            for t in range(self.filled):
                self.rollout.add(t, **{name: tree_map(lambda x, t=t: x[t], part) for name, part in rows.items()})
