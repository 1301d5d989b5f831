"""Episodes of one environment, played by simple rules and written down."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from agent_gym.envs.adapters.boundary.checks import PartError, check_step, first_of
from agent_gym.ground.errors import one_line
from agent_gym.ground.spaces import KEY, METHOD, choices_of, flat_mask

ENTRIES = 256  # of an observation that are looked at; images have more
FLAT = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
Chooser = Callable[[int, np.random.Generator], Any]


@dataclass
class Episode:
    """One episode: obs [T + 1, n], action [T, m], reward [T]."""

    obs: list[np.ndarray] = field(default_factory=list)
    action: list[np.ndarray] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    terminated: bool = False
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def ended(self) -> bool:
        return self.terminated or self.truncated


class Broken(Exception):
    """The environment is not what Gymnasium says; the text says how."""


class Player:
    """Plays one environment and counts steps and seconds. Whatever goes wrong in it raises Broken."""

    def __init__(self, env: gymnasium.Env) -> None:
        self.env, self.steps, self.seconds = env, 0, 0.0
        self.width = width(env.observation_space)
        self.outside, self.beyond = 0, 0.0
        self.masked = METHOD if env.has_wrapper_attr(METHOD) else KEY
        keep = np.linspace(0, self.width - 1, min(self.width, ENTRIES)).astype(int)
        self.keep = keep if self.width > ENTRIES else None

    def flat(self, obs: Any) -> np.ndarray:
        """An observation as numbers [n], a sample of them where there are many."""
        try:
            numbers = flatten(self.env.observation_space, obs)
        except Exception as error:  # whatever a user's observation is
            raise Broken(
                f"an observation does not fit its space {_short(self.env.observation_space)}: {one_line(error, 120)}"
            ) from error
        if len(numbers) != self.width:
            raise Broken(f"an observation has {len(numbers)} numbers, its space {self.width}")
        return numbers if self.keep is None else numbers[self.keep]

    def play(self, choose: Chooser, seed: int, limit: int) -> Episode:
        """An episode of at most `limit` steps from `seed`."""
        rng, episode = np.random.default_rng(seed), Episode()
        try:
            obs, info = first_of(self.env.reset(seed=int(seed)))
        except PartError as error:
            raise Broken(str(error)) from error
        except Exception as error:
            raise Broken(f"reset(seed={seed}) raised {type(error).__name__}: {one_line(error, 160)}") from error
        self._look(obs)
        episode.obs.append(self.flat(obs))
        for t in range(limit):
            action = self._allowed(choose(t, rng), info, rng)
            began = time.perf_counter()
            try:
                result = self.env.step(action)
            except Exception as error:
                raise Broken(
                    f"step({_short(action)}) raised {type(error).__name__}: {one_line(error, 160)} (step {t + 1} of an "
                    "episode)"
                ) from error
            self.seconds += time.perf_counter() - began
            self.steps += 1
            try:
                check_step(result)
            except PartError as error:
                raise Broken(str(error)) from error
            obs, reward, episode.terminated, episode.truncated, info = result
            self._look(obs)
            episode.obs.append(self.flat(obs))
            episode.action.append(flatten(self.env.action_space, action, codes=True))
            episode.reward.append(float(np.asarray(reward).ravel()[0]))
            if episode.terminated or episode.truncated:
                break
        return episode

    def _allowed(self, action: Any, info: Any, rng: np.random.Generator) -> Any:
        """The action, or another drawn where a mask forbids it, as agents would never choose it."""
        space = self.env.action_space
        if not isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            return action
        sizes = choices_of(space)
        try:
            told = self.env.get_wrapper_attr(METHOD)() if self.masked == METHOD else info.get(KEY)
            if told is None:
                return action
            parts = np.split(flat_mask(told, space, sizes), np.cumsum(sizes)[:-1])
        except Exception as error:  # whatever a user's mask is
            raise Broken(f"its action mask cannot be used: {one_line(error, 160)}") from error
        start = np.asarray(space.start)
        chosen = np.ravel(action - start)
        for k, part in enumerate(parts):
            if part.any() and not part[chosen[k]]:
                chosen[k] = rng.choice(np.flatnonzero(part))
        chosen = chosen.reshape(start.shape) + start
        return int(chosen) if isinstance(space, spaces.Discrete) else chosen.astype(space.dtype)

    def _look(self, obs: Any) -> None:
        space = self.env.observation_space
        try:
            inside = space.contains(obs)
        except Exception:  # a space that cannot even tell
            inside = False
        if not inside:
            self.outside += 1
            self.beyond = max(self.beyond, overshoot(space, obs))


def overshoot(space: spaces.Space, obs: Any) -> float:
    """How far an observation lies beyond the bounds of a Box, as a share of its range; infinity where that is not what
    keeps it out."""
    if not isinstance(space, spaces.Box) or not isinstance(obs, np.ndarray) or obs.shape != space.shape:
        return np.inf
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    if obs.dtype != space.dtype or not np.isfinite(obs).all() or not np.isfinite(high - low).all():
        return np.inf
    return float((np.maximum(obs - high, low - obs) / np.maximum(high - low, 1e-12)).max())


def flatten(space: spaces.Space, value: Any, codes: bool = False) -> np.ndarray:
    """The numbers [n] in a value of `space`, without texts, graphs and sequences; `codes`: one for each choice among
    several, else as many as there are."""
    if isinstance(space, spaces.Dict):
        parts = [flatten(child, value[key], codes) for key, child in space.items()]
    elif isinstance(space, spaces.Tuple):
        parts = [flatten(child, part, codes) for child, part in zip(space, value, strict=True)]
    elif codes and isinstance(space, FLAT):
        parts = [np.asarray(value, dtype=np.float64).ravel()]
    else:
        parts = [np.asarray(spaces.flatten(space, value), dtype=np.float64).ravel()] if isinstance(space, FLAT) else []
    return np.concatenate([np.zeros(0), *parts])


def width(space: spaces.Space) -> int:
    """How many numbers `flatten` gives."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return sum(map(width, space.values() if isinstance(space, spaces.Dict) else space))
    return spaces.flatdim(space) if isinstance(space, FLAT) else 0


def random_actions(space: spaces.Space) -> Chooser:
    """Uniform over what the space allows; within ±3 where a Box has no bounds."""
    if isinstance(space, spaces.Box):
        low, high = (np.where(np.isfinite(b), b, s) for b, s in ((space.low, -3.0), (space.high, 3.0)))

        def draw(t: int, rng: np.random.Generator) -> np.ndarray:
            return rng.uniform(low, high).astype(space.dtype)

        return draw
    if isinstance(space, spaces.Discrete):
        return lambda t, rng: int(rng.integers(space.n) + space.start)

    def sample(t: int, rng: np.random.Generator) -> Any:
        space.seed(int(rng.integers(2**31)))
        return space.sample()

    return sample


def held(choose: Chooser, steps: int) -> Chooser:
    """The same action for some steps, so that it can get somewhere."""
    last: dict[str, Any] = {}

    def chosen(t: int, rng: np.random.Generator) -> Any:
        if t % steps == 0:
            last["action"] = choose(t, rng)
        return last["action"]

    return chosen


def always(action: Any) -> Chooser:
    return lambda t, rng: action


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else text[:57] + "…"
