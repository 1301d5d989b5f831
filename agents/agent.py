"""What every agent has: a policy, environments, a generator, counters, and a state that can be saved."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.buffers.infos import InfoMeans
from agent_gym.agents.buffers.returns import Episodes, EpisodeStats
from agent_gym.agents.policy import Policy
from agent_gym.agents.settings.base import AgentConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.chance import global_state, seed_globals, set_global_state
from agent_gym.ground.course import Course
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import Tree, tree_map
from agent_gym.nets.learner.cuda_graphs import Recorded
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.ranks import RANKS

WINDOW = 100
RATE_STEPS = 1000  # of which a mean reward is taken while no episode ends


def warn_of_new_episodes(env: VectorEnv) -> None:
    """Say that the running episodes are lost."""
    print(
        f"warning: {env.id} did not take the same way again from the same seeds and actions: it draws from what no "
        "seed sets, or its program has changed. New episodes begin; the run goes on, but no longer bit for bit",
        file=sys.stderr,
    )


def drawn_seed(*parts: int) -> int:
    """One seed that these numbers determine."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


class Agent(ABC):
    """What learns: a policy, the environments it learns from, and a state that can be saved.

    The loop calls `collect` and `update` in turn. Scoring and watching take `policy` alone.
    """

    policy_class: type[Policy]
    """Built as policy_class(obs_space, action_space, config)."""
    policy: Policy
    action_spaces: tuple[type[spaces.Space], ...] = (spaces.Space,)
    """Kinds of actions that it can choose."""
    learners: dict[str, Learner] = {}
    """What learns, by name."""
    beside: tuple[nn.Module, ...] = ()
    """What its losses read that is not of the policy."""
    recorded: dict[str, Recorded] = {}
    """What is replayed as a graph on a GPU, by name."""
    reaches = False
    """Whether it takes steps of environments that live on another device than its networks."""
    assesses = False
    """Whether `assess` measures its strength, in other units than returns."""
    many = False
    """Whether it learns several agents of one environment."""
    headline = "rollout/episode_return"
    """Tag of the scalar that the progress bar shows."""
    goes_on = True
    """Whether the episodes of the checkpoint go on, after `load_state_dict`."""
    history: Any = None
    """What grows too large to be saved whole each time; see storage/segments.py."""

    def __init__(self, config: AgentConfig, env: VectorEnv, device: torch.device | str) -> None:
        """Raises UserError for actions that it cannot choose."""
        if not isinstance(env.action_space, self.action_spaces):
            name = type(config).__name__.removesuffix("Config").lower()
            kinds = " or ".join(kind.__name__ for kind in self.action_spaces)
            raise UserError(f"{name} cannot act in {env.action_space} of {env.id}: expected {kinds}")
        self.config = config
        self.env = env
        self.device = torch.device(device)
        self.steps = 0
        self.total_steps = config.total_steps
        self.course = Course(config.total_steps)
        self.interrupted: Callable[[], bool] = lambda: False
        self.notes: list[str] = []
        self.window = torch.zeros(2, 0, dtype=torch.float64)  # returns and lengths of the latest episodes
        self.means_of: Tensor | None = None  # the window that `means` describes
        self.episodes = EpisodeStats(env.num_envs, env.device)
        self.marks = {"longest": 0.0, "reward": 0.0, "steps": 0.0, "rate": math.nan, "outside": 0.0}
        self.outside = 0  # observations outside their space that are in that mark
        self.infos = InfoMeans(config.log_info)
        own = config.seed if RANKS.rank == 0 else drawn_seed(*RANKS.seed(config.seed))
        self.generator = torch.Generator(self.device).manual_seed(own)
        seed_globals(own)
        self.policy = self.make_policy()
        if env.members > 1 and not self.many:
            raise UserError(
                f"{type(self).__name__.lower()} learns one agent and {env.id} has {env.members}: ppo, a2c, dqn and "
                'qrdqn learn many; --env-kwargs \'{"opponent": "random"}\' has the others play at random'
            )

    def here(self, tree: Tree) -> Tree:
        """Tensors on the device of the networks: environments may live on another one."""
        return tree_map(lambda x: x.to(self.device, non_blocking=True), tree)

    def make_policy(self) -> Policy:
        """The policy with its first weights."""
        return self.policy_class(self.env.obs_space, self.env.action_space, self.config).to(self.device)

    def by_itself(self) -> str:
        """Why its settings make runs that differ in their seeds take different ways, step by step; "": they do not."""
        return ""

    @property
    def model(self) -> Policy:
        """What best.pt holds; training/loop.py."""
        return self.policy

    @property
    def state_dim(self) -> int:
        """Numbers of memory for each environment."""
        return self.policy.state_dim

    def start_from_weights(self) -> None:  # noqa: B027  most have no copies of their weights
        """After the policy's first weights have been replaced by others: bring copies of them along."""

    def watch_layers(self) -> None:
        """Log the gradient norm and the share of dead units of each layer. Raises UserError where none is its own."""
        if not self.learners:
            raise UserError("--log-layers is for networks of this library: leave it out")
        for recorded in self.recorded.values():
            recorded.record = False
        for learner in self.learners.values():
            learner.watch_layers(self.policy.networks())

    @abstractmethod
    def collect(self) -> dict[str, float] | None:
        """Gather experience and advance `steps`; returns the scalars of the latest episodes, None if interrupted."""

    @abstractmethod
    def update(self) -> Stats | None:
        """Learn from it; returns scalars, None if interrupted."""

    def begin(self) -> None:
        """Start an episode in every environment, from a seed that the run's seed and the step determine."""
        self._start_episodes()

    def _start_episodes(self) -> None:
        self.obs = self.env.reset(drawn_seed(*RANKS.seed(self.config.seed, self.steps)))
        self.state = self.policy.initial_state(self.env.num_envs)
        self.reset = torch.ones(self.env.num_envs, dtype=torch.bool, device=self.env.device)
        self.episodes.clear()
        self.marks = self.marks | {"reward": 0.0, "steps": 0.0}

    def begin_again(self) -> None:
        """After somebody else has played in its environments: new episodes, as after `begin`."""
        self.begin()

    def settle(self) -> None:
        """At a checkpoint, in resumed and unbroken runs alike: no running episode ends for it."""
        self.env.settle()

    def episode_scalars(self, episodes: Episodes) -> dict[str, float]:
        """Mean return and length of the latest 100 episodes, under their tags. Raises EnvFailure."""
        self.env.check()
        restarts = {}
        if self.config.on_env_error == "restart":
            restarts = {"rollout/env_restarts": float(self.env.recovery.restarts)}
        if self.env.outside > self.outside:
            self.marks = self.marks | {"outside": self.marks["outside"] + self.env.outside - self.outside}
            self.outside = self.env.outside
        if self.marks["outside"]:
            restarts["rollout/obs_outside"] = self.marks["outside"]
        self._count(episodes)
        if self.means_of is not self.window:
            self.means_of = self.window
            names = ("rollout/episode_return", "rollout/episode_length")
            self.means = dict(zip(names, self.window.mean(dim=1).tolist(), strict=True)) if self.window.numel() else {}
        return restarts | (self.means or self._reward_rate()) | self.infos.read(self.steps) | self.env.scalars()

    def _count(self, episodes: Episodes) -> None:
        if len(episodes.episode_return):
            longest = max(self.marks["longest"], float(episodes.episode_length.max()))
            self.marks = self.marks | {"longest": longest}
            self.window = torch.cat((self.window, torch.stack(episodes).cpu()), dim=1)[:, -WINDOW:]

    def _reward_rate(self) -> dict[str, float]:
        """While no episode has ended: the mean reward of a step, over the latest 1,000 or more."""
        if self.episodes.waiting:
            return {} if math.isnan(self.marks["rate"]) else {"rollout/reward_per_step": self.marks["rate"]}
        reward, steps = self.running().sum(dim=1).tolist()
        if steps - self.marks["steps"] >= RATE_STEPS:
            rate = (reward - self.marks["reward"]) / (steps - self.marks["steps"])
            self.marks = self.marks | {"reward": reward, "steps": steps, "rate": rate}
        return {} if math.isnan(self.marks["rate"]) else {"rollout/reward_per_step": self.marks["rate"]}

    def running(self) -> Tensor:
        """Returns and lengths [2, B] of the episodes under way."""
        return self.episodes.running

    def facts(self) -> dict[str, float]:
        """What a player wants to know beside the model: the longest episode of the training."""
        return {"longest_episode": self.marks["longest"]}

    @property
    def episode_length(self) -> float:
        """What to expect of an episode: the mean of the latest ones, or how long those under way already are."""
        return float(self.window[1].mean()) if self.window.numel() else float(self.running()[1].max())

    def assess(self) -> tuple[float, dict[str, float]] | None:
        """The agent's own measure of its strength, higher is better, and scalars under full tags; it picks best.pt.

        None: the return of episodes does.
        """
        return None

    @property
    def progress(self) -> float:
        """The share of the run that is done, 0 to 1."""
        return self.course(self.steps)

    def state_dict(self) -> dict:
        """Everything a run needs to go on, as tensors and plain data."""
        self._count(self.episodes.flush())
        return {
            "model": self.policy.state_dict(),
            "steps": self.steps,
            "generator": self.generator.get_state(),
            "window": self.window,
            "episodes": self.episodes.running,
            "env": self.env.state_dict(),
            "infos": self.infos.state_dict(),
            "env_restarts": self.env.recovery.restarts,
            "marks": self.marks,
            "chance": global_state(),
            "course": self.course.state_dict(),
            "obs": self.obs,
            "state": self.state,
            "reset": self.reset,
        }

    def take_over(self, state: dict) -> None:
        """Counters and schedules of a saved state."""
        line = self.course.load_state_dict(state["course"], self.steps, self.config.schedule_over)
        if line and self.config.scheduled:
            self.notes.append(line)

    def load_state_dict(self, state: dict) -> None:
        self.policy.load_state_dict(state["model"])
        self.steps = state["steps"]
        self.generator.set_state(state["generator"].cpu())
        self.window = state["window"].cpu()
        self.infos.load_state_dict(state["infos"])
        self.env.recovery.restarts = max(int(state["env_restarts"]), 0)
        self.take_over(state)
        self._start_episodes()
        self.marks = {name: float(state["marks"][name]) for name in self.marks}
        self.goes_on = state["env"] is not None and self.env.load_state_dict(state["env"])
        self.outside = self.env.outside
        if self.goes_on:
            there = self.env.device
            self.episodes.running, self.reset = state["episodes"].to(there), state["reset"].to(there)
            self.obs, self.state = tree_map(lambda x: x.to(there), state["obs"]), state["state"].to(self.device)
        elif state["env"] is not None:
            warn_of_new_episodes(self.env)
            self._start_episodes()
        else:
            self.marks = self.marks | {"reward": 0.0, "steps": 0.0}
        set_global_state(state["chance"])
