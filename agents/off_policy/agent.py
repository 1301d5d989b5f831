"""What agents that learn from a replay buffer share: flags, collecting, and how many updates are due."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from agent_gym.agents.agent import Agent
from agent_gym.agents.buffers.hindsight import HindsightReplay
from agent_gym.agents.buffers.history import ReplayHistory
from agent_gym.agents.buffers.replay import Replay
from agent_gym.agents.buffers.turns import OpenDecisions, held, starts
from agent_gym.agents.offline.experience import Experience, replay_of
from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.envs.vector import Step, VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_map
from agent_gym.nets.learner.cuda_graphs import Recorded, records
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.normalisation import ReturnScale
from agent_gym.nets.target import TargetNetwork

AT_ONCE = 8  # minibatches drawn together
TOGETHER = 64  # steps of each environment whose rewards are measured together
SELDOM = 8  # steps from which one observation is measured, once learning has begun
ROUND = 64  # steps between two looks around while a data set is read
LARGEST_SHARE = 0.9  # of a sequence's priority: the largest error, the rest their mean (Kapturowski et al. 2019)


def require(config: OffPolicyConfig) -> None:
    """Raise UserError where an agent lacks what it learns from."""
    for name in config.required:
        if not getattr(config, name):
            kind = {"data": "minari:ID or a path", "teacher": "RUN or module:function"}[name]
            agent = type(config).__name__.removesuffix("Config").lower()
            raise UserError(f"{agent} learns from --{name}: add --{name} {kind}")


def batch_mean(x: Tensor, batch: dict, weighted: bool = True) -> Tensor:
    """Mean of x [..., T, n] over the steps of the batch that carried an action, by importance weight if it has any."""
    if weighted and "weight" in batch:
        x = x * batch["weight"]
    if "valid" in batch:
        return (x * batch["valid"]).sum((-2, -1)) / batch["valid"].sum()
    return x.mean((-2, -1))


def beside(batch: dict, other: dict) -> dict:
    """Two batches as one: [T, n + m, ...], memories [n + m, S]."""
    return {
        name: tree_map(lambda a, b, dim=int(name != "state"): torch.cat((a, b), dim), part, other[name])
        for name, part in batch.items()
    }


class OffPolicy(Agent):
    """Acts, remembers, and makes `utd` updates for every environment step since `learning_starts`.

    A subclass gives its networks, `explore`, `random_action` and `learn`.
    """

    learners: dict[str, Learner]
    targets: dict[str, TargetNetwork]
    reaches = True
    acts_alike = True
    """`explore` does the same with tensors alone each time, so that a graph can replay it."""
    progress_stat = "q_loss"
    """What the progress bar shows of learning from a data set."""

    def __init__(self, config: OffPolicyConfig, env: VectorEnv, device: torch.device | str) -> None:
        super().__init__(config, env, device)
        require(config)
        self.sets: dict[str, Replay] = {}
        self.digests: dict[str, str] = {}
        self.learning_starts = 0 if config.data else config.learning_starts
        if config.her != "no" and env.relabel is None:
            raise UserError(
                f"--her {config.her}: {env.id} ({env.backend}) does not say what another goal would have brought: "
                "expected observations with achieved_goal and desired_goal, a method compute_reward, and --backend "
                "native, sync or async"
            )
        self.updates = 0
        self.collected = 0  # steps of each environment since the last round of updates
        self.stats: dict[str, list[Tensor]] = {}  # of a round that was interrupted
        self.learners, self.targets = {}, {}
        self.obs_norm = self.policy.obs_norm
        only_odd, stats = config.normalize_returns != "yes", self.policy.return_stats
        self.return_scale = ReturnScale(1 if config.data else env.num_envs, config.gamma, stats, only_odd=only_odd).to(
            self.device
        )
        self.waiting = OpenDecisions(env.num_envs, self.device)
        self.unmeasured: list[tuple[Tensor, Tensor]] = []  # rewards and ends [T, B] that it has not taken in
        self.beta = torch.zeros((), device=self.device)  # of the priorities, for graphs
        self.on_gpu = records(self.device)
        if self.on_gpu and env.members > 1:
            raise UserError(
                f"{env.id} has {env.members} agents, and a replay buffer on the GPU takes one alone: --device cpu"
            )
        if self.on_gpu:
            auto, drawing = config.capture == "auto" and config.her == "no", [self.generator]
            how = {"record": auto and self.acts_alike, "borrowed": not self.state_dim}
            acting = Recorded("acting", self._explore_at, self.device, lambda: (), drawing, **how)
            learning = Recorded("an update", self._learn_once, self.device, self._changed, drawing, record=auto)
            self.recorded = {"acting": acting, "learning": learning}

    @cached_property
    def replay(self) -> Replay:
        """Made when training begins: who only plays needs no room for it. Raises UserError."""
        config = self.config
        if "data" in self.sets:
            return self.sets["data"]
        if self.state_dim:
            needed = self.env.num_envs * (config.burn_in + config.sequence_length + config.n_step + 1)
            if config.learning_starts < needed:
                raise UserError(
                    f"--learning-starts {config.learning_starts} is less than one sequence of every environment "
                    f"(--burn-in and --sequence-length): expected at least {needed}"
                )
            if config.buffer_size < needed:
                raise UserError(
                    f"--buffer-size {config.buffer_size} holds less than one sequence of every environment "
                    f"(--burn-in and --sequence-length): expected at least {needed}"
                )
        sizes = (config.buffer_size, self.env.num_envs, self.env.obs_space, self.random_action()[1], self.device)
        options = {"n_step": config.n_step, "gamma": config.gamma, "frame_stack": self.env.frame_stack}
        options |= {"state_dim": self.state_dim, "prioritized": config.prioritized}
        if config.her == "no":
            replay = Replay(*sizes, record=config.capture == "auto", **options)
        else:
            options |= {"rule": self._relabel, "strategy": config.her, "share": config.her_share}
            replay = HindsightReplay(*sizes, record=False, **options)
        if self.on_gpu:
            replay.single = self.obs_norm.single
        return replay

    def _relabel(self, achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
        """What VectorEnv.relabel says, the reward as it is learned from."""
        reward, over = self.env.relabel(achieved, desired)
        return self.config.learned_reward(reward), over

    @property
    def mask_here(self) -> Tensor | None:
        """The actions allowed now, where the policy is."""
        mask = self.env.mask
        return None if mask is None else self.here(mask)

    @cached_property
    def history(self) -> ReplayHistory | None:
        return None if self.config.data else ReplayHistory(self.replay)

    def take(self, role: str, experience: Experience) -> None:
        """Raises UserError where the set has no room in memory."""
        obs, norm = [episode.obs for episode in experience.episodes], self.obs_norm
        norm.start(tree_map(lambda x: x[:1].to(self.device), obs[0]))
        options = {"n_step": self.config.n_step, "gamma": self.config.gamma, "state_dim": self.state_dim}
        if role == "data":
            options["prioritized"] = self.config.prioritized
        replay = replay_of(experience, self.env.obs_space, self.stored, self.device, **options)
        self.sets[role], self.digests[role] = replay, experience.digest
        if role == "data":
            self.headline = f"train/{self.progress_stat}"
            norm.update(tree_map(lambda *parts: torch.cat(parts).to(self.device), *obs))
            if self.config.normalize_returns != "no":
                done = [torch.arange(episode.steps) == episode.steps - 1 for episode in experience.episodes]
                reward = torch.cat([episode.reward for episode in experience.episodes])
                self.return_scale.update(*(x.unsqueeze(1).to(self.device) for x in (reward, torch.cat(done))))

    def stored(self, obs: Any, action: Tensor) -> tuple[Any, Tensor]:
        """Recorded observations [T, ...] and the environment's actions [T, ...] as the buffer holds them."""
        return self.obs_norm.single(self.here(obs)), self.from_env(self.here(action))

    def from_env(self, action: Tensor) -> Tensor:
        """The environment's actions [T, ...] as the agent has them."""
        return action

    def start_from_weights(self) -> None:
        for target in self.targets.values():
            target.follow(1.0)

    def begin(self) -> None:
        super().begin()
        self._measure()
        self.return_scale.begin()
        self.obs_norm.start(self.here(self.obs))
        self._begin_replay()

    def _begin_replay(self) -> None:
        obs = self.obs_norm.single(self.here(self.obs))
        if not self.on_gpu:  # where it is done in one go with the rest
            self.obs = obs
        if not self.config.data:
            self.replay.begin(obs, self.env.mask)

    def _explore_at(self, obs: Any, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kept = self.obs, self.state, self.reset
        self.obs, self.state, self.reset = obs, state, reset
        try:
            return self.explore()
        finally:
            self.obs, self.state, self.reset = kept

    def _changed(self) -> list[Tensor]:
        """What an update changes in place."""
        changed = [tensor for learner in self.learners.values() for tensor in learner.changed()]
        for target in self.targets.values():
            changed += [target.vector, *target.module.buffers()]
        return [*changed, *self.policy.buffers(), *self.replay.changed()]

    @abstractmethod
    def explore(self) -> tuple[Tensor, Tensor, Tensor]:
        """For the current observations: the environment's action, the action to store, the next memory."""

    @abstractmethod
    def random_action(self) -> tuple[Tensor, Tensor]:
        """The environment's action and the action to store, drawn without looking."""

    @abstractmethod
    def learn(self, batch: dict) -> Stats:
        """One update; the stats may hold "td_error" [T, n], which sets priorities and is not logged.

        On a GPU a graph of it is replayed: what it does may depend on `rhythm` alone, and what it changes are tensors
        of `learners`, `targets` and the policy's buffers.
        """

    @property
    def rhythm(self) -> int:
        """What kind of update is the next one, where `learn` is not always the same."""
        return 0

    def about_to_act(self) -> None:
        """Called before each step: put where graphs find it what acting depends on."""

    def collect(self) -> dict[str, float] | None:
        return self._read_on() if self.config.data else self._act_on()

    def _read_on(self) -> dict[str, float]:
        """The data set has all the experience there is: steps go on without an environment."""
        if not self.collected:  # else a round of updates goes on
            self.collected = self.config.train_every
            self.steps += max(min(ROUND, self.total_steps - self.steps), 1)
        return {}

    def _act_on(self) -> dict[str, float] | None:
        rewards, learned, dones, valids, acted = [], [], [], [], []
        with torch.inference_mode():
            while self.collected < self.config.train_every and not (rewards and self.interrupted()):
                self.collected += 1
                self.about_to_act()
                acts = self.env.acts
                if self.on_gpu and self.env.mask is None:  # a graph would go on with the mask that it was made with
                    action, stored, state = self.recorded["acting"](self.obs, self.state, self.reset)
                else:
                    action, stored, state = self.explore()
                if self.steps < self.learning_starts:
                    action, stored = self.random_action()
                step = self._single(self.env.step(action))
                reward = self.config.learned_reward(step.reward)
                before, found = self.state if self.state_dim else None, step._replace(reward=reward)
                if acts is None:
                    self.replay.add(stored, found, before)
                else:
                    self.waiting.add(self.replay, stored, found, before, acts, self.env.acts)
                if self.config.normalize_obs or self.steps < self.learning_starts or self._sometimes():
                    self.obs_norm.update(self.here(step.final_obs))
                done = step.terminated | step.truncated
                if step.info:
                    self.infos.add(step.info, done)
                rewards.append(step.reward)
                learned.append(reward)
                dones.append(done)
                acted += [] if acts is None else [acts]
                self.obs, self.state, self.reset = (
                    step.obs,
                    held(acts, state, self.state),
                    starts(acts, done, self.reset),
                )
                if step.valid is None:
                    self.steps += self.env.num_envs // self.env.members
                else:
                    valids.append(step.valid)
                    self.reset = self.reset | ~step.valid
                    self.steps += int(step.valid.sum()) // self.env.members
        if not rewards:  # a round of updates goes on
            return self.episode_scalars(self.episodes.none())
        valid = torch.stack(valids) if valids else None
        reward, done = (part[0].unsqueeze(0) if len(part) == 1 else torch.stack(part) for part in (rewards, dones))
        if self.config.normalize_returns != "no":
            self.unmeasured.append((torch.stack(learned), done))
            enough = sum(len(part) for part, _ in self.unmeasured) >= TOGETHER
            starting = self.updates == 0 and self.steps >= self.learning_starts
            if (enough or starting) and self.collected == self.config.train_every:
                self._measure()
        finished = self.episodes.update(reward, done, valid, torch.stack(acted) if acted else None)
        scalars = self.episode_scalars(finished)
        return scalars if self.collected == self.config.train_every else None

    def _sometimes(self) -> bool:
        """In one of SELDOM steps."""
        return self.steps // self.env.num_envs % SELDOM == 0

    def _measure(self) -> None:
        """Let `return_scale` take in what has been collected since the last time."""
        if self.unmeasured:
            self.return_scale.update(*(self.here(torch.cat(parts)) for parts in zip(*self.unmeasured, strict=True)))
            self.unmeasured = []
        for replay in (self.replay, *self.sets.values()):
            replay.transform = self.return_scale.transform if self.return_scale.changes else None

    def _single(self, step: Step) -> Step:
        """The step with observations as they are stored; on a GPU the buffer sees to it."""
        if self.on_gpu:
            return step
        obs = final_obs = self.obs_norm.single(step.obs)
        if step.final_obs is not step.obs:
            final_obs = self.obs_norm.single(step.final_obs)
        return step._replace(obs=obs, final_obs=final_obs)

    def update(self) -> Stats | None:
        config = self.config
        # A function of the step alone, so that the ratio holds for any number of environments and any resume.
        due = int(config.utd * max(self.steps - self.learning_starts, 0) + 1e-6) - self.updates
        if due <= 0:
            self.collected = 0
            return {}
        for learner in self.learners.values():
            learner.set_progress(self.progress)
        stats = self.stats
        for k, news in enumerate(self._updates(due)):
            for name, value in news.items():
                stats.setdefault(name, []).append(value)
            if k + 1 < due and (k + 1) % AT_ONCE == 0 and self.interrupted():  # not within batches drawn together
                return None
        for learner in self.learners.values():
            learner.check()
        self.collected, self.stats = 0, {}
        means = {name: values[0] if len(values) == 1 else torch.stack(values).mean() for name, values in stats.items()}
        return means | {"learning_rate": torch.tensor(next(iter(self.learners.values())).learning_rate)}

    def _updates(self, count: int) -> Iterator[Stats]:
        """`count` updates, one after the other."""
        if self.on_gpu:
            for replay in (self.replay, *self.sets.values()):
                replay.tell_drawable()
            if self.config.prioritized:
                self.beta.fill_(self._priority_beta)
            if "demonstrations" not in self.sets:
                for _ in range(count):
                    self.updates += 1
                    yield self._learn_there()
                return
        for slot, batch in self._batches(count):
            self.updates += 1
            yield self._learn_from(slot, batch)

    def _learn_there(self) -> Stats:
        """An update on a GPU."""
        if self.replay.has_gaps:
            return self._learn_once()
        transformed = self.replay.transform is not None
        ways = (self.rhythm, transformed, self.return_scale.ways, self.obs_norm.ways)
        return self.recorded["learning"](variant=ways)

    def _learn_once(self) -> Stats:
        """A batch drawn and learned from."""
        return self._learn_from(*self._batch(self.replay, self.config.batch_size, self.beta))

    def _learn_from(self, slot: Tensor, batch: dict) -> Stats:
        self._normalize(batch)
        news = self.learn(batch)
        if "td_error" in news:
            self._prioritize(slot, batch, news.pop("td_error"))
        return news

    @property
    def _priority_beta(self) -> float:
        return self.config.priority_beta + (1.0 - self.config.priority_beta) * self.progress

    def _batch(self, replay: Replay, n: int, beta: float | Tensor) -> tuple[Tensor, dict]:
        slot, weight = replay.draw(n, self.generator, beta)
        if self.state_dim:
            batch = replay.sequences(slot, self.config.burn_in, self.config.sequence_length)
        else:
            batch = replay.transitions(slot, self.generator)
        return slot, batch if weight is None else batch | {"weight": weight.expand_as(batch["reward"])}

    def _batches(self, count: int) -> Iterator[tuple[Tensor, dict]]:
        """`count` batches and the slots they come from, demonstrations included."""
        config, share = self.config, 0
        if "demonstrations" in self.sets:
            share = round(config.demonstration_share * config.batch_size)
        if share == config.batch_size:
            yield from self._drawn(self.sets["demonstrations"], share, count)
            return
        batches = self._drawn(self.replay, config.batch_size - share, count)
        if not share:
            yield from batches
            return
        for (slot, mine), (_, shown) in zip(
            batches, self._drawn(self.sets["demonstrations"], share, count), strict=True
        ):
            yield slot, beside(mine, shown)

    def _drawn(self, replay: Replay, n: int, count: int) -> Iterator[tuple[Tensor, dict]]:
        """`count` batches of `n` and the slots they come from; several uniform ones are drawn at once."""
        config = self.config
        if not (self.state_dim or config.prioritized):
            for first in range(0, count, AT_ONCE):
                slot, _ = replay.draw(n * min(AT_ONCE, count - first), self.generator)
                together = replay.transitions(slot, self.generator)
                if len(slot) == n:
                    yield slot, together
                    continue
                parts = tree_map(lambda x: x.split(n, dim=1), together)
                for k, slots in enumerate(slot.split(n)):
                    yield slots, tree_map(lambda part, k=k: part[k], parts)
            return
        for _ in range(count):
            yield self._batch(replay, n, self._priority_beta)

    def _normalize(self, batch: dict) -> None:
        for part in (batch, batch.get("burn_in", {})):
            part |= {name: self.obs_norm(part[name]) for name in ("obs", "next_obs") if name in part}

    def _prioritize(self, slot: Tensor, batch: dict, td_error: Tensor) -> None:
        error = td_error.abs()
        if "valid" in batch:
            error = error * batch["valid"]
            mean = error.sum(0) / batch["valid"].sum(0).clamp(min=1)
            error = LARGEST_SHARE * error.amax(0) + (1.0 - LARGEST_SHARE) * mean
        self.replay.set_priority(slot, (error.flatten() + 1e-6) ** self.config.priority_alpha)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "updates": self.updates,
            "collected": self.collected,
            "stats": {name: torch.stack(values) for name, values in self.stats.items()},
            "learners": {name: learner.state_dict() for name, learner in self.learners.items()},
            "targets": {name: target.vector for name, target in self.targets.items()},
            "replay": self.replay.state_dict(),
            "return_scale": self.return_scale.state_dict(),
            "unmeasured": self._unmeasured(),
            "waiting": self.waiting.state_dict(),
            "digests": dict(self.digests),
        }

    def _unmeasured(self) -> list[Tensor]:
        """Rewards and ends [T, B], T perhaps 0."""
        nothing = self.reset.new_zeros(0, self.env.num_envs)
        parts = [(nothing.float(), nothing), *self.unmeasured]
        return [torch.cat(part) for part in zip(*parts, strict=True)]

    def load_state_dict(self, state: dict) -> None:
        for role, digest in self.digests.items():
            if state["digests"][role] != digest:
                raise UserError(
                    f"--{role} {getattr(self.config, role)} has changed since the run began: bring the set back as it "
                    "was, or begin a new run"
                )
        super().load_state_dict(state)
        self.updates, self.collected = state["updates"], min(max(state["collected"], 0), self.config.train_every)
        self.stats = {name: list(self.here(values).flatten()) for name, values in state["stats"].items()}
        for name, learner in self.learners.items():
            learner.load_state_dict(state["learners"][name])
        for name, target in self.targets.items():
            target.vector.copy_(state["targets"][name])
        self.replay.load_state_dict(state["replay"])
        self.return_scale.load_state_dict(state["return_scale"])
        if "waiting" in state:  # runs of one agent had none
            self.waiting.load_state_dict(state["waiting"])
        self.unmeasured = []
        self._measure()  # for the transform
        there = self.env.device
        self.unmeasured = [tuple(x.to(there) for x in state["unmeasured"])] if len(state["unmeasured"][0]) else []
        if not self.goes_on and not self.config.data:
            self._begin_replay()
