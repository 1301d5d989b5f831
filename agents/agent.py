"""What every agent has: a policy, environments, a generator, counters, and a state that can be saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.buffers.returns import Episodes, EpisodeStats
from agent_gym.agents.policy import Policy
from agent_gym.agents.settings.base import AgentConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.nets.learner.learner import Learner, Stats

WINDOW = 100


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
    headline = "rollout/episode_return"
    """Tag of the scalar that the progress bar shows."""
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
        self.window = torch.zeros(2, 0, dtype=torch.float64)  # returns and lengths of the latest episodes
        self.means_of: Tensor | None = None  # the window that `means` describes
        self.episodes = EpisodeStats(env.num_envs, self.device)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.policy = self.make_policy()

    def make_policy(self) -> Policy:
        """The policy with its first weights."""
        return self.policy_class(self.env.obs_space, self.env.action_space, self.config).to(self.device)

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
        for learner in self.learners.values():
            learner.watch_layers(self.policy.networks())

    @abstractmethod
    def collect(self) -> dict[str, float]:
        """Gather experience and advance `steps`; returns the scalars of the latest episodes."""

    @abstractmethod
    def update(self) -> Stats:
        """Learn from it; returns scalars."""

    def begin(self) -> None:
        """Start an episode in every environment, from a seed that the run's seed and the step determine."""
        self._start_episodes()

    def _start_episodes(self) -> None:
        self.obs = self.env.reset(int(np.random.SeedSequence((self.config.seed, self.steps)).generate_state(1)[0]))
        self.state = self.policy.initial_state(self.env.num_envs)
        self.reset = torch.ones(self.env.num_envs, dtype=torch.bool, device=self.device)
        self.episodes.clear()

    def begin_again(self) -> None:
        """After somebody else has played in its environments: new episodes, as after `begin`."""
        self.begin()

    def restart(self) -> None:
        """At a checkpoint: environments whose state cannot be saved begin anew, in resumed and unbroken runs alike."""
        if self.env.state_dict() is None:
            self.begin()

    def episode_scalars(self, episodes: Episodes) -> dict[str, float]:
        """Mean return and length of the latest 100 episodes, under their tags. Raises EnvFailure."""
        self.env.check()
        restarts = {}
        if self.config.on_env_error == "restart":
            restarts = {"rollout/env_restarts": float(self.env.recovery.restarts)}
        if len(episodes.episode_return):
            self.window = torch.cat((self.window, torch.stack(episodes).cpu()), dim=1)[:, -WINDOW:]
        if self.means_of is not self.window:
            self.means_of = self.window
            names = ("rollout/episode_return", "rollout/episode_length")
            self.means = dict(zip(names, self.window.mean(dim=1).tolist(), strict=True)) if self.window.numel() else {}
        return restarts | self.means

    def assess(self) -> tuple[float, dict[str, float]] | None:
        """The agent's own measure of its strength, higher is better, and scalars under full tags; it picks best.pt.

        None: the return of episodes does.
        """
        return None

    @property
    def progress(self) -> float:
        """The share of the run that is done, 0 to 1."""
        return min(self.steps / self.total_steps, 1.0)

    def state_dict(self) -> dict:
        """Everything a run needs to go on, as tensors and plain data."""
        return {
            "model": self.policy.state_dict(),
            "steps": self.steps,
            "generator": self.generator.get_state(),
            "window": self.window,
            "episodes": self.episodes.running,
            "env": self.env.state_dict(),
            "env_restarts": self.env.recovery.restarts,
            "obs": self.obs,
            "state": self.state,
            "reset": self.reset,
        }

    def load_state_dict(self, state: dict) -> None:
        self.policy.load_state_dict(state["model"])
        self.steps = state["steps"]
        self.generator.set_state(state["generator"].cpu())
        self.window = state["window"].cpu()
        self.env.recovery.restarts = max(int(state["env_restarts"]), 0)
        self._start_episodes()
        if state["env"] is not None:
            self.env.load_state_dict(state["env"])
            self.episodes.running = state["episodes"]
            self.obs, self.state, self.reset = state["obs"], state["state"], state["reset"]
