"""What all agents trained as one program have in common: their rows, what they agree on, and who cannot take part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.agent import Agent
from agent_gym.envs.vector import EnvFailure, Step, Told
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import Tree, tree_map
from agent_gym.nets.encoders.make import has_image
from agent_gym.nets.learner.learner import NonFiniteError, Stats
from agent_gym.nets.learner.stacked import Stack, StackedLearner, StackedTarget
from agent_gym.nets.normalisation import PeakNorm, VectorNorm

OWN = ("seed", "run_dir", "run_name", "parent_run")  # settings of each run


class Envs(Protocol):
    """The environments of all members as S x B rows (envs.stacked)."""

    mask: Tensor | None

    def take_up(self) -> None: ...

    def hand_back(self) -> None: ...

    def step(self, action: Tensor) -> Step: ...


def alone(agent: Any) -> str:
    """Why runs of such an agent cannot be stacked, whatever it learns from; "": they can."""
    config, env = agent.config, agent.env
    if reason := agent.by_itself():
        return reason
    if agent.device.type != "cpu" or config.precision != "float32" or config.compile:
        return "graphs of a GPU, --compile and --precision belong to one run"
    if agent.state_dim or has_image(env.obs_space) or ":" in config.encoder or config.dropout:
        return "memories, images, dropout and encoders of one's own are trained run by run"
    if any(isinstance(module, PeakNorm) for module in agent.policy.modules()):
        return "pictures of whole numbers are stretched run by run"
    if not getattr(agent.policy, "alone", True) or env.members > 1 or env.acts is not None:
        return "many agents are trained run by run"
    if config.log_layers or config.on_env_error != "stop" or config.profile != "no":
        return "--log-layers, --on-env-error restart and --profile look at one run"
    if env.backend not in ("native", "gymnasium"):
        return f"environments of backend {env.backend} have processes of their own"
    return "its actions are drawn in several parts" if isinstance(env.action_space, spaces.Dict) else ""


def unlike(agents: Sequence[Agent], numbers: Sequence[str]) -> str:
    """Why agents are too different to be stacked: in more than `numbers` and what each run has its own; "": not."""
    first, *others = (asdict(agent.config) for agent in agents)
    for name, value in first.items():
        if name in OWN or all(other[name] == value for other in others):
            continue
        if name not in numbers:
            return f"their settings of {name} differ"
        if name.startswith("exploration") and not all(each["exploration_final"] for each in (first, *others)):
            return "exploration ends for some of them"
    return ""


class Members(ABC):
    """S agents with S x B environments in step with each other: `collect` and `update` do what theirs would.

    Every agent keeps its own generators, statistics, counters and optimizers, and its state is whole between calls:
    between them it can be saved, scored and looked at as if it were trained alone.
    """

    numbers: tuple[str, ...]
    """Settings in which the agents may differ."""

    def __init__(self, agents: Sequence[Agent], envs: Envs) -> None:
        self.agents, self.envs = agents, envs
        self.first, self.config = agents[0], agents[0].config
        self.size, self.each = len(agents), self.first.env.num_envs
        targets = [list(getattr(agent, "targets", {}).values()) for agent in agents]
        modules = [
            [agent.policy, *agent.beside, *(target.module for target in own)]
            for agent, own in zip(agents, targets, strict=True)
        ]
        self.stack = Stack(modules, [list(agent.learners.values()) for agent in agents], targets)
        self.learners = {
            name: StackedLearner(self.stack, [agent.learners[name] for agent in agents], learner.loss_fn)
            for name, learner in self.first.learners.items()
        }
        self.targets = {
            name: StackedTarget(self.stack, target) for name, target in getattr(self.first, "targets", {}).items()
        }
        norm = self.first.policy.obs_norm
        self.normalised = self.stack.mapped(lambda obs: norm(obs), [norm])
        each = zip(*(agent.policy.obs_norm.modules() for agent in agents), strict=True)
        self.norms = [norms for norms in each if isinstance(norms[0], VectorNorm)]
        measure = self.stack.mapped(lambda obs: (norm.update(obs), torch.zeros(()))[1], [norm])
        self.take_in: Callable[[Tree], Any] = torch.no_grad()(measure)
        self.agree()

    @staticmethod
    @abstractmethod
    def refusal(agent: Any) -> str:
        """Why runs of such an agent cannot be stacked; "": they can."""

    @abstractmethod
    def collect(self) -> list[dict[str, float]]:
        """What each agent's `collect` returns."""

    @abstractmethod
    def update(self) -> list[Stats]:
        """What each agent's `update` returns. Raises NonFiniteError that names the seed."""

    def mine(self, s: int) -> slice:
        """The rows of member s."""
        return slice(s * self.each, (s + 1) * self.each)

    def apart(self, tree: Tree) -> Tree:
        """[S x B, ...] as [S, B, ...]."""
        return tree_map(lambda x: x.unflatten(0, (self.size, self.each)), tree)

    def joined(self) -> tuple[Tree, Tensor]:
        """The observations of all and which of them start an episode, [S x B, ...]."""
        parts = [agent.obs for agent in self.agents]
        return tree_map(lambda *x: torch.cat(x), *parts), torch.cat([agent.reset for agent in self.agents])

    def hand_out(self, obs: Tree, reset: Tensor) -> None:
        """Give each agent its own."""
        for s, agent in enumerate(self.agents):
            rows = self.mine(s)
            agent.obs, agent.reset = tree_map(lambda x, rows=rows: x[rows], obs), reset[rows]

    def tell(self, step: Step, ended: Tensor) -> None:
        """Let each agent take in what environments tell."""
        if step.info:
            for s, agent in enumerate(self.agents):
                rows = self.mine(s)
                agent.infos.add(Told(step.info.names, step.info.table[rows]), ended[rows])

    def measure(self, obs: Tree) -> None:
        """Let the statistics of each agent take in observations [S, ...] of its own."""
        if self.norms:
            self.take_in(obs)
            self.agree()

    def agree(self) -> None:
        """What is decided outside of tensors is decided for all: an observation is looked at if it is for one."""
        for norms in self.norms:
            idle = not bool(self.stack.rows(norms[0].wide).any())
            for norm in norms:
                norm.idle = idle

    def ways(self) -> tuple[bool, ...]:
        """What else than tensors decides about how observations are looked at."""
        return tuple(norms[0].idle for norms in self.norms)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Failures within it name the seeds that they may be of."""
        try:
            yield
        except EnvFailure as error:
            seeds = ", ".join(str(agent.config.seed) for agent in self.agents)
            raise UserError(f"one of the seeds {seeds}: {error}") from error
        except NonFiniteError as error:
            seed = self.agents[error.member].config.seed
            raise NonFiniteError(
                f"seed {seed}: {error}: its last good checkpoint is kept; a lower --learning-rate, --max-grad-norm "
                "0.5 or normalised observations and rewards usually mend it"
            ) from error
