"""All agents together as one `gymnasium.Env`: what they see, and what became of each, in arrays of fixed shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from agent_gym.envs.multi_agent.cast import Cast
from agent_gym.ground.errors import UserError

REWARD, TERMINATED, TRUNCATED, ACTS = range(4)  # columns of FACTS
FACTS, LEGAL, GLOBAL = "facts", "legal", "global"  # parts of the joint observation beside those of the groups


def leaf_key(group: int, leaf: int) -> str:
    return f"{group}.{leaf}"


class News(NamedTuple):
    """What an agent learns."""

    obs: Any
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class Parallel:
    """All agents act at once."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def begin(self, seed: int | None) -> dict[str, News]:
        obs, infos = self.env.reset(seed=seed)
        return {agent: News(obs[agent], 0.0, False, False, infos.get(agent, {})) for agent in self.env.agents}

    def move(self, actions: dict[str, Any]) -> dict[str, News]:
        obs, rewards, terminated, truncated, infos = self.env.step(actions)
        return {
            agent: News(
                obs.get(agent),
                rewards.get(agent, 0.0),
                bool(terminated.get(agent, False)),
                bool(truncated.get(agent, False)),
                infos.get(agent, {}),
            )
            for agent in dict.fromkeys((*obs, *rewards))
        }

    @property
    def acting(self) -> list[str]:
        return list(self.env.agents)


class InTurn:
    """One agent acts at a time (AEC); who has ended takes its leave by a step without an action."""

    def __init__(self, env: Any) -> None:
        self.env, self.acting = env, []

    def begin(self, seed: int | None) -> dict[str, News]:
        self.env.reset(seed=seed)
        return self._next()

    def move(self, actions: dict[str, Any]) -> dict[str, News]:
        self.env.step(actions[self.acting[0]])
        return self._next()

    def _next(self) -> dict[str, News]:
        """Go on to the next agent that can act; what it learns, and those who end on the way."""
        news, self.acting = {}, []
        while self.env.agents:
            agent = self.env.agent_selection
            news[agent] = News(*self.env.last())
            if not (news[agent].terminated or news[agent].truncated):
                self.acting = [agent]
                break
            self.env.step(None)
        return news


class JointEnv(gymnasium.Env):
    """An environment of PettingZoo's kind, parallel or AEC. Its reward is the sum of its agents' rewards.

    observation: "facts" [N, 4] of each agent (reward, terminated, truncated: of this step; acts: is to act now);
    "legal" [N, n], where some actions are ruled out at times; "global" [S], on request; and for each group one array
    [members, *shape] for each leaf. Who waits or has ended shows what it saw last.
    """

    def __init__(
        self, env: Any, env_id: str, share: str = "auto", agent_id: bool = False, central_state: bool = False
    ) -> None:
        """Raises UserError."""
        self.env, self.central_state = env, central_state
        self.driver = InTurn(env) if hasattr(env, "agent_iter") else Parallel(env)
        self.metadata = {"render_fps": 30, **getattr(env, "metadata", {})}
        self.render_mode = getattr(env, "render_mode", None)
        obs_spaces, action_spaces = spaces_of_agents(env, env_id)
        self.obs_spaces = obs_spaces
        news = self.driver.begin(0)  # masks are told beside the first observations, or never
        size = self._state(news).size if central_state else 0
        self.cast = Cast(env_id, obs_spaces, action_spaces, share, agent_id, size)
        told = any("action_mask" in each.info for each in news.values())
        self.masked = self.cast.discrete and (told or any(self.cast.in_obs.values()) or self.cast.uneven)
        self.observation_space, self.action_space = self._space(), self.cast.joint_action_space
        self._clear()

    def _space(self) -> spaces.Dict:
        count = len(self.cast)
        parts: dict[str, spaces.Space] = {FACTS: spaces.Box(-np.inf, np.inf, (count, 4), np.float32)}
        if self.masked:
            parts[LEGAL] = spaces.Box(0.0, 1.0, (count, int(self.cast.action_space.n)), np.float32)
        if self.central_state:
            parts[GLOBAL] = spaces.Box(-np.inf, np.inf, (self.cast.state_size,), np.float32)
        for g, (layout, members) in enumerate(zip(self.cast.layouts, self.cast.members, strict=True)):
            parts |= {leaf_key(g, k): batch_space(leaf.space, len(members)) for k, leaf in enumerate(layout.leaves)}
        return spaces.Dict(parts)

    def _clear(self) -> None:
        self.arrays, self.facts = self.cast.arrays(), np.zeros((len(self.cast), 4), np.float32)
        self.legal = np.ones(self.observation_space[LEGAL].shape, np.float32) if self.masked else None
        self.news: dict[str, News] = {}

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self._clear()
        return self._take(self.driver.begin(seed)), {}

    def step(self, action: np.ndarray):
        cast = self.cast
        rows = np.asarray(action).reshape(len(cast), *cast.action_space.shape)
        moves = {cast.agents[i]: cast.own_action(i, rows[i]) for i in np.flatnonzero(self.facts[:, ACTS])}
        obs = self._take(self.driver.move(moves))
        over, cut = not self.driver.acting, bool(self.facts[:, TRUNCATED].any())
        return obs, float(self.facts[:, REWARD].sum()), over and not cut, over and cut, {}

    def _take(self, news: dict[str, News]) -> dict[str, np.ndarray]:
        """The joint observation after what the agents have learned."""
        cast, acting = self.cast, self.driver.acting
        self.facts[:] = 0.0
        if self.masked:
            self.legal[:] = 1.0
        for agent, each in news.items():
            i = cast.agents.index(agent)
            if each.obs is not None:
                cast.layouts[cast.group[i]].put(self.arrays[cast.group[i]], cast.place[i], cast.observed(i, each.obs))
            self.facts[i, :ACTS] = each.reward, each.terminated, each.truncated
            if agent in acting:
                self.facts[i, ACTS] = 1.0
                self._rule(i, each)
        self.news = {**self.news, **news}
        parts = {FACTS: self.facts.copy()}
        if self.masked:
            parts[LEGAL] = self.legal.copy()
        if self.central_state:
            parts[GLOBAL] = self._state(self.news)
        for g, group in enumerate(self.arrays):
            parts |= {leaf_key(g, k): array.copy() for k, array in enumerate(group)}
        return parts

    def _rule(self, agent: int, news: News) -> None:
        """Note what an agent may do now."""
        mask = self.cast.mask(agent, news.obs, news.info) if self.cast.discrete else None
        if mask is not None and not self.masked:
            raise ValueError(
                f"an action_mask stands beside an observation of {self.cast.agents[agent]}, and none stood beside the "
                "first one: give it at reset too"
            )
        if self.masked:
            count = int(self.cast.actions[agent].n)
            self.legal[agent, :count] = 1.0 if mask is None else mask
            self.legal[agent, count:] = 0.0

    def _state(self, news: Mapping[str, News]) -> np.ndarray:
        """The environment's own global state, or all agents' observations side by side, float32 [S]."""
        if getattr(self.env, "state_space", None) is not None:
            return np.asarray(self.env.state(), np.float32).ravel()
        parts = []
        for agent, space in self.obs_spaces.items():
            known = agent in news and news[agent].obs is not None
            size = spaces.flatdim(space)
            parts.append(spaces.flatten(space, news[agent].obs) if known else np.zeros(size))
        return np.concatenate(parts).astype(np.float32)

    def render(self) -> Any:
        return self.env.render()

    def close(self) -> None:
        self.env.close()


def spaces_of_agents(env: Any, env_id: str) -> tuple[dict[str, spaces.Space], dict[str, spaces.Space]]:
    """The spaces of observations and actions by agent. Raises UserError."""
    agents = list(getattr(env, "possible_agents", ()))
    if not agents:
        raise UserError(f"{env_id}: it has no possible_agents: expected the names of all agents that may ever appear")
    found: list[dict[str, spaces.Space]] = []
    for name in ("observation_space", "action_space"):
        ask = getattr(env, name, None)
        made = {agent: ask(agent) if callable(ask) else None for agent in agents}
        wrong = next((agent for agent, space in made.items() if not isinstance(space, spaces.Space)), None)
        if wrong is not None:
            raise UserError(f"{env_id}: {name}({wrong!r}) gives no space: expected one of gymnasium.spaces")
        found.append(made)
    return found[0], found[1]
