"""Who tells an agent what to do: the policy of a run, or a function of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.composing.registry import check_modules
from agent_gym.composing.saved import open_saved
from agent_gym.envs.adapters.boundary.spaces import alike
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError, one_line
from agent_gym.ground.foreign import find_class


def make_teacher(name: str, env: VectorEnv, run: Path) -> Any:
    """A Teacher (agents.offline.bc) from a run directory or module:function. Raises UserError."""
    if ":" in name and not Path(name).exists():
        check_modules({"env": name}, run)
        return Script(name, env)
    return Run(name, env)


class Run:
    """The best policy of a run, most likely actions."""

    def __init__(self, name: str, env: VectorEnv) -> None:
        saved = open_saved(Path(name), device=env.device)
        for what, fits, there, here in (
            ("observations", alike(saved.policy.obs_space, env.obs_space), saved.policy.obs_space, env.obs_space),
            ("actions", saved.policy.action_space == env.action_space, saved.policy.action_space, env.action_space),
        ):
            if not fits:
                raise UserError(f"--teacher {name} knows {what} {there}, and {env.id} has {here}")
        self.policy = saved.policy
        self.state = saved.policy.initial_state(env.num_envs)

    def act(self, obs: Any, reset: Tensor) -> Tensor:
        action, self.state, _ = self.policy.act(obs, self.state, reset)
        return action


class Script:
    """A function that takes an observation of one environment, as NumPy arrays, and gives the action."""

    def __init__(self, name: str, env: VectorEnv) -> None:
        self.name, self.env = name, env
        self.function = find_class(name)
        if not callable(self.function):
            raise UserError(f"--teacher {name}: expected a function that takes an observation and gives an action")
        self.raw_obs, self.raw_action = env.raw_spaces
        self.state = torch.zeros(env.num_envs, 0, device=env.device)

    def act(self, obs: Any, reset: Tensor) -> Tensor:
        rows = [self._action(raw_obs(obs, self.raw_obs, b)) for b in range(len(reset))]
        action = torch.from_numpy(np.stack(rows))
        return action.to(self.env.device)

    def _action(self, obs: Any) -> np.ndarray:
        return canonical_row(self.name, self.function, obs, self.raw_action)


def canonical_row(name: str, function: Any, obs: Any, space: spaces.Space) -> np.ndarray:
    """What a scripted policy does, as a row of what vector environments take. Raises UserError."""
    try:
        action = function(obs)
    except Exception as error:  # whatever a user's function raises
        raise UserError(f"{name} failed ({type(error).__name__}: {one_line(error, 200)})") from error
    try:
        array = np.asarray(action, space.dtype).reshape(space.shape)
        fits = space.contains(int(array) if isinstance(space, spaces.Discrete) else array)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise UserError(f"{name} gave {one_line(ValueError(repr(action)), 80)}, which is no action of {space}")
    if isinstance(space, spaces.Box):
        return array.astype(np.float32)
    return np.asarray(array - getattr(space, "start", 0), np.int64).reshape(-1 if space.shape else ())


def raw_obs(obs: Any, space: spaces.Space, row: int) -> Any:
    """One environment's observation as its space has it, from a batch in canonical form."""
    if isinstance(space, spaces.Dict):
        return {key: raw_obs(obs[key], part, row) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(raw_obs(obs[str(i)], part, row) for i, part in enumerate(space.spaces))
    array = obs[row].cpu().numpy()
    return int(array) if isinstance(space, spaces.Discrete) else array.astype(space.dtype).reshape(space.shape)
