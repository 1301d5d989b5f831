"""Small experiments with an environment: the same again, other actions, what simple rules score."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from gymnasium import spaces

from agent_gym.diagnosis.environment.episodes import Chooser, Episode, Player, always, held, random_actions
from agent_gym.ground.chance import undisturbed

SHORT = 60  # steps of an experiment
CONSTANTS = 12  # actions that are held for a whole episode


def same(a: Episode, b: Episode) -> bool:
    """Whether two episodes went the same way."""
    return (
        len(a) == len(b)
        and np.array_equal(np.stack(a.obs), np.stack(b.obs), equal_nan=True)
        and np.array_equal(a.reward, b.reward, equal_nan=True)
    )


def repeats(player: Player, seed: int) -> tuple[bool, bool]:
    """Whether the same seed and actions give the same episode while Python's and NumPy's generators stand elsewhere;
    and whether, instead, the second one begins where the first one stood."""
    choose = random_actions(player.env.action_space)
    with undisturbed():
        played = []
        for other in (1, 2):
            random.seed(other)
            np.random.seed(other)
            played.append(player.play(choose, seed, SHORT))
    first, second = played
    goes_on = np.array_equal(first.obs[-1], second.obs[0], equal_nan=True)
    return same(first, second), bool(goes_on and not np.array_equal(first.obs[0], second.obs[0], equal_nan=True))


def effect(player: Player, seed: int) -> dict[str, Any]:
    """Whether other actions from one seed lead to other observations and rewards, and after how many steps the first of
    them shows in an observation ("after"; None: never)."""
    space = player.env.action_space
    first = player.play(held(random_actions(space), 4), seed, SHORT)
    obs = reward = False
    after: list[int] = []
    for other in _contrasts(space):
        played = player.play(other, seed, SHORT)
        n = min(len(first), len(played))
        differ = [not np.array_equal(a, b, equal_nan=True) for a, b in zip(first.obs, played.obs, strict=False)]
        after += [differ.index(True)] if any(differ) else []
        obs |= any(differ) or len(first) != len(played)
        reward |= not np.array_equal(first.reward[:n], played.reward[:n])
    return {"obs": obs, "reward": reward, "after": min(after, default=None)}


def saturates(player: Player, seed: int) -> bool | None:
    """Whether the outer half of a Box's range does nothing that its middle does not."""
    space = player.env.action_space
    if not isinstance(space, spaces.Box) or not np.isfinite(space.high).all() or not np.isfinite(space.low).all():
        return None
    middle = (space.high + space.low) / 2
    for share in (1.0, -1.0):
        far = middle + share * (space.high - middle)
        near = middle + 0.5 * share * (space.high - middle)
        played = [player.play(always(a.astype(space.dtype)), seed, SHORT) for a in (far, near)]
        if not same(*played):
            return False
    return True


def constants(space: spaces.Space) -> dict[str, Any]:
    """Actions to hold, by what they are called; of the first that does nothing, "nothing"."""
    if isinstance(space, spaces.Discrete):
        return {f"action {k + space.start}": int(k + space.start) for k in range(min(int(space.n), CONSTANTS))}
    if isinstance(space, spaces.Box):
        zero = np.clip(np.zeros(space.shape), space.low, space.high).astype(space.dtype)
        ends = {"the lowest": space.low, "the highest": space.high}
        finite = {f"{name} action": end for name, end in ends.items() if np.isfinite(end).all()}
        return {"doing nothing (0)": zero} | finite
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return {"doing nothing (0)": np.zeros(space.shape, dtype=space.dtype)}
    return {}


def _contrasts(space: spaces.Space) -> list[Chooser]:
    known = list(constants(space).values())
    return [always(action) for action in known] or [random_actions(space)]
