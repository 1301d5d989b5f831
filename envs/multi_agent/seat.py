"""One agent among others who do not learn: an environment of many agents as one for a single agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from agent_gym.envs.multi_agent.cast import nest
from agent_gym.envs.multi_agent.joint import ACTS, REWARD, TERMINATED, TRUNCATED, JointEnv
from agent_gym.envs.vector import part_of
from agent_gym.ground.errors import UserError

Rival = Callable[[JointEnv, int, np.random.Generator], Any]
"""(environment, number of the agent, generator) -> its action as a row has it."""

RUN_RIVALS: list[Callable[[str], Rival]] = []
"""Who opens run directories, which this room cannot: agent_gym.composing.sources puts a function here."""


def row(joint: JointEnv, agent: int) -> Any:
    """What one agent sees, as a row of agents has it (see `Cast`), without a batch dimension."""
    cast = joint.cast
    parts: dict[str, Any] = {}
    for g, (layout, arrays) in enumerate(zip(cast.layouts, joint.arrays, strict=True)):
        mine = cast.group[agent] == g
        chosen = [array[cast.place[agent]] if mine else np.zeros_like(array[0]) for array in arrays]
        found: Any = chosen[0]
        if layout.leaves[0].path:
            found = {}
            for leaf, array in zip(layout.leaves, chosen, strict=True):
                node = found
                for key in leaf.path[:-1]:
                    node = node.setdefault(str(key), {})
                node[str(leaf.path[-1])] = array
        parts[part_of(g)] = found
    state = joint._state(joint.news) if joint.central_state else None
    return nest(parts, np.int64(cast.group[agent]), state)


def at_random(joint: JointEnv, agent: int, rng: np.random.Generator) -> Any:
    """Any legal action, each as likely; of a Box a uniform one, where it has bounds."""
    space = joint.cast.action_space
    if isinstance(space, spaces.Discrete):
        legal = np.ones(space.n) if joint.legal is None else joint.legal[agent]
        return rng.choice(np.flatnonzero(legal))
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(space.nvec)
    low, high = (np.where(np.isfinite(bound), bound, rng.normal(size=bound.shape)) for bound in (space.low, space.high))
    return rng.uniform(np.minimum(low, high), np.maximum(low, high)).astype(np.float32)


def make_rival(name: str) -> Rival:
    """Who takes the other seats. Raises UserError."""
    if name == "random":
        return at_random
    if isinstance(name, str) and RUN_RIVALS and Path(name).is_dir():
        return RUN_RIVALS[0](name)
    raise UserError(f"unknown opponent {name!r}: expected random, or the directory of a run in the same environment")


class SeatEnv(gymnasium.Env):
    """An agent in one seat and `opponent` in all others. `side`: "random" (drawn for each episode) or an agent's name.

    The reward is what the agent's own decisions brought it; the others move within its step.
    """

    def __init__(self, joint: JointEnv, opponent: str, side: str = "random") -> None:
        """Raises UserError."""
        self.joint, self.rival, self.side = joint, make_rival(opponent), side
        if side not in ("random", *joint.cast.agents):
            raise UserError(f'side {side!r}: --env-kwargs takes "side" random, {", ".join(joint.cast.agents)}')
        self.metadata, self.render_mode = joint.metadata, joint.render_mode
        self.observation_space, self.action_space = joint.cast.obs_space, joint.cast.action_space
        if joint.masked:
            self.action_masks = lambda: self.joint.legal[self.seat] > 0

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        while True:
            count = len(self.joint.cast)
            drawn = int(self.np_random.integers(count))
            self.seat = drawn if self.side == "random" else self.joint.cast.agents.index(self.side)
            self.joint.reset(seed=int(self.np_random.integers(2**31)))
            if not self._others()[1]:  # else it was over before the agent could act
                return row(self.joint, self.seat), {"side": self.joint.cast.agents[self.seat]}

    def step(self, action: Any):
        reward, over, terminated, truncated = self._move(action)
        if not over:
            more, over, terminated, truncated = self._others()
            reward += more
        return row(self.joint, self.seat), reward, terminated, truncated, {}

    def _others(self) -> tuple[float, bool, bool, bool]:
        """Let the others move until the agent is to act, or it is over."""
        reward = 0.0
        while not self.joint.facts[self.seat, ACTS]:
            more, over, terminated, truncated = self._move(None)
            reward += more
            if over:
                return reward, True, terminated, truncated
        return reward, False, False, False

    def _move(self, action: Any) -> tuple[float, bool, bool, bool]:
        """All who are to act do; reward, whether it is over for the agent, and how."""
        joint, cast = self.joint, self.joint.cast
        moves = np.zeros((len(cast), *cast.action_space.shape), joint.action_space.dtype)
        for agent in np.flatnonzero(joint.facts[:, ACTS]).tolist():
            moves[agent] = action if agent == self.seat else self.rival(joint, agent, self.np_random)
        _, _, ended, cut, _ = joint.step(moves)
        facts = joint.facts[self.seat]
        terminated, truncated = bool(facts[TERMINATED]), bool(facts[TRUNCATED])
        if not (terminated or truncated):  # it outlived the others
            terminated, truncated = ended, cut
        return float(facts[REWARD]), terminated or truncated, terminated, truncated

    def render(self) -> Any:
        return self.joint.render()

    def close(self) -> None:
        self.joint.close()
