"""A vector environment of ours in the shape that Stable-Baselines3 steps; `agents.sb3` makes it a VecEnv."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import Tensor

from agent_gym.agents.buffers.returns import Episodes
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError


def zero_based(space: spaces.Space) -> spaces.Space:
    """The space without the offsets of discrete values. Raises UserError for a Dict inside a Dict."""
    match space:
        case spaces.Dict():
            if any(isinstance(part, spaces.Dict) for part in space.values()):
                raise UserError(
                    f"Stable-Baselines3 takes no nested observation space ({space}): flatten it with a "
                    "gymnasium.ObservationWrapper, or use a native agent"
                )
            return spaces.Dict({key: zero_based(part) for key, part in space.items()})
        case spaces.Discrete():
            return spaces.Discrete(int(space.n))
        case spaces.MultiDiscrete():
            return spaces.MultiDiscrete(space.nvec)
    return space


def to_arrays(obs: Any, space: spaces.Space) -> Any:
    """Observations [B, ...] of `space` as arrays (or a dict of them), discrete values counted from 0."""
    if isinstance(space, spaces.Dict):
        return {key: to_arrays(obs[key], part) for key, part in space.items()}
    array = obs.contiguous().cpu().numpy()  # a transposed view would round differently from its saved copy
    return array - space.start if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) else array


def single_envs(env: VectorEnv, attribute: str) -> list[gymnasium.Env]:
    """The single environments if they all have `attribute`. Raises AttributeError."""
    envs = getattr(env, "envs", None)
    if not isinstance(envs, list) or not all(single.has_wrapper_attr(attribute) for single in envs):
        raise AttributeError(attribute)
    return envs


class BridgeMethods:
    """What a VecEnv does, on top of a VectorEnv; counts episodes on the way."""

    env: VectorEnv
    action_space: spaces.Space
    num_envs: int

    def connect(self, env: VectorEnv, seed: int) -> None:
        """Raises UserError for environments that swallow an action to reset."""
        self.env, self.seed_sequence, self.resets = env, (seed, 0), 0
        self.running = np.zeros((2, env.num_envs))  # return and length of the episodes under way
        self.finished: list[np.ndarray] = []
        if getattr(env, "mode", None) is AutoresetMode.NEXT_STEP:
            raise UserError(
                f"{env.id} resets one step late with --backend {env.backend}, and Stable-Baselines3 cannot leave such "
                "steps out: use --backend sync"
            )

    def reset(self) -> Any:
        entropy = (*self.seed_sequence, self.resets)
        self.resets += 1
        self.running[:] = 0.0
        obs = self.env.reset(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        return to_arrays(obs, self.env.obs_space)

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = torch.from_numpy(np.ascontiguousarray(actions)).to(self.env.device)

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict]]:
        step = self.env.step(self.actions)
        reward = np.array(step.reward.cpu())  # a copy: the algorithms add to it at truncations
        terminated, truncated = step.terminated.cpu().numpy(), step.truncated.cpu().numpy()
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self.running[0] += reward
        self.running[1] += 1
        if done.any():
            final_obs = to_arrays(step.final_obs, self.env.obs_space)
            for b in np.flatnonzero(done):
                last = {k: part[b] for k, part in final_obs.items()} if isinstance(final_obs, dict) else final_obs[b]
                infos[b] = {
                    "terminal_observation": last,
                    "TimeLimit.truncated": bool(truncated[b] and not terminated[b]),
                    "episode": {"r": self.running[0, b], "l": self.running[1, b]},
                }
            counted = done if step.valid is None else done & step.valid.cpu().numpy()
            self.finished.append(self.running[:, counted].copy())
            self.running[:, done] = 0.0
        return to_arrays(step.obs, self.env.obs_space), reward, done, infos

    def take_finished(self) -> Episodes:
        """Returns and lengths of the episodes that ended since the last call."""
        episodes = np.concatenate(self.finished, axis=1) if self.finished else np.zeros((2, 0))
        self.finished = []
        return Episodes(*torch.from_numpy(episodes))

    def state_dict(self) -> dict:
        counts = {"seed_sequence": list(self.seed_sequence), "resets": self.resets}
        return counts | {"running": torch.from_numpy(self.running.copy()), "env": self.env.state_dict()}

    def load_state_dict(self, state: dict) -> bool:
        """False where the running episodes are lost."""
        self.seed_sequence, self.resets = tuple(state["seed_sequence"]), state["resets"]
        if state["env"] is None or not self.env.load_state_dict(state["env"]):
            return False
        self.running = state["running"].cpu().numpy().copy()
        return True

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list:
        if attr_name == "render_mode":
            return [None] * self.env.num_envs
        return [single.get_wrapper_attr(attr_name) for single in self._chosen(attr_name, indices)]

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list:
        return [single.get_wrapper_attr(method_name)(*args, **kwargs) for single in self._chosen(method_name, indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        for single in self._chosen(attr_name, indices):
            single.set_wrapper_attr(attr_name, value)

    def _chosen(self, attribute: str, indices: Any) -> list[gymnasium.Env]:
        """Environments by number or numbers; None: all."""
        envs = single_envs(self.env, attribute)
        return envs if indices is None else [envs[i] for i in np.atleast_1d(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * self.env.num_envs


def to_action(action: np.ndarray, device: torch.device) -> Tensor:
    """Actions of an algorithm as the environments take them, on `device`."""
    return torch.from_numpy(np.ascontiguousarray(action)).to(device)
