"""What agents that learn from a replay buffer share: its contents, and how many updates are due."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from agent_gym.agents.agent import Agent
from agent_gym.agents.buffers.replay import Replay
from agent_gym.agents.off_policy.batches import AT_ONCE, Batches, priorities
from agent_gym.agents.offline.experience import Experience, replay_of
from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_map
from agent_gym.nets.learner.cuda_graphs import Recorded, records
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.ranks import RANKS
from agent_gym.nets.return_scale import ReturnScale
from agent_gym.nets.target import TargetNetwork

ROUND = 64  # steps between two looks around while a data set is read


def require(config: OffPolicyConfig) -> None:
    """Raise UserError where an agent lacks what it learns from."""
    for name in config.required:
        if not getattr(config, name):
            kind = {"data": "minari:ID or a path", "teacher": "RUN or module:function"}[name]
            agent = type(config).__name__.removesuffix("Config").lower()
            raise UserError(f"{agent} learns from --{name}: add --{name} {kind}")


def of_this_rank(config: OffPolicyConfig) -> OffPolicyConfig:
    """With this rank's part of each minibatch and of the buffer. Raises UserError where they cannot be shared out."""
    if RANKS.size == 1:
        return config
    batch_size = RANKS.share(config.batch_size, "--batch-size")
    return replace(config, batch_size=batch_size, buffer_size=max(config.buffer_size // RANKS.size, 1))


class OffPolicy(Agent):
    """Makes `utd` updates for every step since `learning_starts`, on a data set or on what it has seen itself.

    This much needs no environment: steps go on over a data set. Those that act are in acting.py. A subclass gives its
    networks and `fit`.
    """

    learners: dict[str, Learner]
    targets: dict[str, TargetNetwork]
    reaches = True
    progress_stat = "q_loss"
    """What the progress bar shows of learning from a data set."""

    def __init__(self, config: OffPolicyConfig, env: VectorEnv, device: torch.device | str) -> None:
        config = of_this_rank(config)
        super().__init__(config, env, device)
        require(config)
        self.sets: dict[str, Replay] = {}
        self.digests: dict[str, str] = {}
        self.learning_starts = 0 if config.data else config.learning_starts
        self.updates = 0
        self.collected = 0  # steps of each environment since the last round of updates
        self.stats: dict[str, list[Tensor]] = {}  # of a round that was interrupted
        self.learners, self.targets = {}, {}
        self.rate = 0.0, torch.zeros(())  # of the first learner, as a statistic too
        self.obs_norm = self.policy.obs_norm
        only_odd, stats = config.normalize_returns != "yes", self.policy.return_stats
        self.return_scale = ReturnScale(1 if config.data else env.num_envs, config.gamma, stats, only_odd=only_odd).to(
            self.device
        )
        self.batches = Batches(config, self.state_dim > 0, self.generator)
        self.beta = torch.zeros((), device=self.device)  # of the priorities, for graphs
        self.on_gpu = records(self.device)
        if self.on_gpu and env.members > 1:
            raise UserError(
                f"{env.id} has {env.members} agents, and a replay buffer on the GPU takes one alone: --device cpu"
            )
        if self.on_gpu:
            how = {"generators": [self.generator], "record": self._graphs()}
            self.recorded = {"learning": Recorded("an update", self._learn_once, self.device, self._changed, **how)}

    @property
    def replay(self) -> Replay:
        """What it learns from."""
        return self.sets["data"]

    def _graphs(self) -> bool:
        """Whether what repeats on a GPU is replayed as graphs."""
        return self.config.capture == "auto" and self.config.her == "no" and RANKS.size == 1

    def take(self, role: str, experience: Experience) -> None:
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
        self.measure()
        self.return_scale.begin()
        self.obs_norm.start(self.here(self.obs))
        self._begin_replay()

    def _begin_replay(self) -> Any:
        """The first observations as they are stored."""
        obs = self.obs_norm.single(self.here(self.obs))
        if not self.on_gpu:  # where it is done in one go with the rest
            self.obs = obs
        return obs

    def measure(self) -> None:
        """Let rewards be read on the scale that `return_scale` has found."""
        for replay in (self.replay, *self.sets.values()):
            replay.transform = self.return_scale.transform if self.return_scale.changes else None

    def _changed(self) -> list[Tensor]:
        """What an update changes in place."""
        changed = [tensor for learner in self.learners.values() for tensor in learner.changed()]
        for target in self.targets.values():
            changed += [target.vector, *target.module.buffers()]
        return [*changed, *self.policy.buffers(), *self.replay.changed()]

    def learn(self, batch: dict) -> Stats:
        """One update; what `fit` returns."""
        return self.fit(batch | self.drawn(batch), self.learners, self.targets)

    def drawn(self, batch: dict) -> dict:
        """What the losses take that is drawn anew for each update."""
        return {}

    @abstractmethod
    def fit(self, batch: dict, learners: dict[str, Learner], targets: dict[str, TargetNetwork]) -> Stats:
        """One update of these; the stats may hold "td_error" [T, n], which sets priorities and is not logged.

        On a GPU a graph of it is replayed: what it does may depend on `rhythm` alone, and what it changes are tensors
        of `learners`, `targets` and the policy's buffers.
        """

    def moved(self, before: int, targets: dict[str, TargetNetwork]) -> None:
        """Called after steps have been taken, from step `before` on: let targets follow that go by steps."""

    @property
    def rhythm(self) -> int:
        """What kind of update is the next one, where `learn` is not always the same."""
        return 0

    def collect(self) -> dict[str, float] | None:
        """The data set has all the experience there is: steps go on without an environment."""
        if not self.collected:  # else a round of updates goes on
            self.collected = self.config.train_every
            self.steps += max(min(ROUND, self.total_steps - self.steps), 1)
        return {}

    def due(self) -> int:
        """Updates to make now: a function of the step alone, so that their ratio holds for any number of environments
        and any resume."""
        return int(self.config.utd * max(self.steps - self.learning_starts, 0) + 1e-6) - self.updates

    def update(self) -> Stats | None:
        due = self.due()
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
        rate = next(iter(self.learners.values())).learning_rate
        if self.rate[0] != rate:  # a tensor takes as long as a layer
            self.rate = rate, torch.tensor(rate)
        return means | {"learning_rate": self.rate[1]}

    def _updates(self, count: int) -> Iterator[Stats]:
        """`count` updates, one after the other."""
        if self.on_gpu:
            for replay in (self.replay, *self.sets.values()):
                replay.tell_drawable()
            if self.config.prioritized:
                self.beta.fill_(self._priority_beta())
            if "demonstrations" not in self.sets:
                for _ in range(count):
                    self.updates += 1
                    yield self._learn_there()
                return
        shown = self.sets.get("demonstrations")
        for slot, batch in self.batches.draw(self.replay, shown, count, self._priority_beta()):
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
        return self._learn_from(*self.batches.one(self.replay, self.config.batch_size, self.beta))

    def _learn_from(self, slot: Tensor, batch: dict) -> Stats:
        self._normalize(batch)
        news = self.learn(batch)
        if "td_error" in news:
            priority = priorities(news.pop("td_error"), batch, self.config.priority_alpha)
            self.replay.set_priority(slot, priority)
        return news

    def _priority_beta(self) -> float:
        return self.config.priority_beta + (1.0 - self.config.priority_beta) * self.progress

    def _normalize(self, batch: dict) -> None:
        for part in (batch, batch.get("burn_in", {})):
            part |= {name: self.obs_norm(part[name]) for name in ("obs", "next_obs") if name in part}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "updates": self.updates,
            "collected": self.collected,
            "stats": {name: torch.stack(values) for name, values in self.stats.items()},
            "learners": {name: learner.state_dict() for name, learner in self.learners.items()},
            "targets": {name: target.vector for name, target in self.targets.items()},
            "replay": self.replay.state_dict(),
            "return_scale": self.return_scale.state_dict(),
            "digests": dict(self.digests),
        }

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
        if self.updates and not self.replay.size:  # what it had seen stayed behind: no updates until there is as much
            self.updates = int(self.config.utd * (self.steps + self.config.learning_starts - self.learning_starts))
        self.return_scale.load_state_dict(state["return_scale"])
        self.measure()  # for the transform
