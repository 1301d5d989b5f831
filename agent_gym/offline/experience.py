"""Data sets as agents read them: checked, in the canonical form of the environment that they are for."""

from __future__ import annotations

import zlib
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from agent_gym.agents.offline.experience import Episode, Experience, TakesExperience
from agent_gym.envs.adapters.boundary.spaces import ObsLayout, alike, canonical_action
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.storage.datasets import DataSet, RawEpisode, find, read


def take_sets(agent: Any, config: Any, env: VectorEnv) -> None:
    """Give an agent the data sets that its settings name. Raises UserError."""
    for role in ("data", "demonstrations"):
        if name := getattr(config, role, ""):
            if not isinstance(agent, TakesExperience):
                raise UserError(f"{type(agent).__name__.lower()} learns from no data sets: leave out --{role} {name}")
            agent.take(role, read_experience(name, env))


def read_experience(name: str, env: VectorEnv) -> Experience:
    """A data set for the spaces of `env`. Raises UserError where it is absent, damaged, empty or for others."""
    found = find(name)
    obs_space, action_space, raw_episodes = read(found)
    require_spaces(found, obs_space, action_space, env)
    layout, digest, episodes = ObsLayout(env.raw_spaces[0]), 0, []
    for number, raw in enumerate(raw_episodes):
        if not len(raw.rewards):
            continue
        episode, arrays = _episode(found, number, raw, layout, action_space)
        episodes.append(episode)
        for array in arrays:
            digest = zlib.crc32(np.ascontiguousarray(array).tobytes(), digest)
    if not episodes:
        raise UserError(f"the data set {name} is empty: expected at least one step")
    return Experience(name, episodes, f"{digest:08x}")


def require_spaces(found: DataSet, obs_space: Any, action_space: Any, env: VectorEnv) -> None:
    """Raise UserError unless a set has the environment's spaces; bounds of observations may differ."""
    if not alike(ObsLayout(obs_space).space, env.obs_space):
        raise UserError(
            f"the data set {found.name} has observations {obs_space}, and {env.id} has {env.raw_spaces[0]}: "
            f"{_advice(found, env)}"
        )
    if canonical_action(action_space) != env.action_space or _start(action_space) != _start(env.raw_spaces[1]):
        raise UserError(
            f"the data set {found.name} has actions {action_space}, and {env.id} has {env.raw_spaces[1]}: "
            f"{_advice(found, env)}"
        )


def _advice(found: DataSet, env: VectorEnv) -> str:
    made_in, _ = found.environment
    if made_in and made_in != env.id:
        return f"it was recorded in {made_in}, so --env {made_in}"
    return "give the --env, --env-kwargs and --wrapper that it was recorded with"


def _start(space: gymnasium.Space) -> tuple:
    return tuple(np.ravel(getattr(space, "start", ())))


def _episode(
    found: DataSet, number: int, raw: RawEpisode, layout: ObsLayout, action_space: gymnasium.Space
) -> tuple[Episode, list[np.ndarray]]:
    """An episode checked, and its arrays. Raises UserError."""
    steps, where = len(raw.rewards), f"the data set {found.name}: episode {number}"
    try:
        obs = [leaf.take(raw.observations, (steps + 1,), copy=True) for leaf in layout.leaves]
        action = np.asarray(raw.actions).reshape(steps, *action_space.shape)
        reward = np.asarray(raw.rewards, np.float32).reshape(steps)
        ends = [np.asarray(part, bool).reshape(steps) for part in (raw.terminations, raw.truncations)]
    except (ValueError, TypeError) as error:
        raise UserError(f"{where} does not fit its own spaces ({error}): record it anew") from None
    for what, array in [("observations", part) for part in obs] + [("actions", action), ("rewards", reward)]:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{where} holds NaN or infinity in its {what}: drop the episode, or record it anew")
    if any(part[:-1].any() for part in ends):
        raise UserError(f"{where} goes on behind an end: expected one episode in each group of the set")
    if isinstance(action_space, spaces.Box):
        action = action.astype(np.float32)
    else:
        action = action.astype(np.int64) - np.asarray(getattr(action_space, "start", 0), np.int64)
        if not np.all(
            (action >= 0) & (action < np.asarray(getattr(action_space, "nvec", getattr(action_space, "n", 2))))
        ):
            raise UserError(f"{where} has actions outside {action_space}: record it anew")
        action = action.reshape(steps, -1) if action.ndim > 1 else action
    tensors = layout.tensors(obs)
    episode = Episode(tensors, torch.from_numpy(action), torch.from_numpy(reward), bool(ends[0][-1]))
    return episode, [*obs, action, reward, *ends]
