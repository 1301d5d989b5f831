"""A game of many moods: in each state other actions are allowed, and whoever takes another one is told at once."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces

MET: list[str] = []  # forbidden actions that were taken, in this process


class Doors(gymnasium.Env):
    """Five doors of which `place` and the next are open; the reward is 1 for the open door of the higher number."""

    length = 7
    closed_at = -1  # the step from which no door is open

    def __init__(self, action_space: spaces.Space | None = None) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (5,), np.float32)
        self.action_space = action_space or spaces.Discrete(5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self._move()
        return self._told()

    def _move(self) -> None:
        self.place = int(self.np_random.integers(4))

    @property
    def allowed(self) -> np.ndarray:
        mask = np.zeros(5, np.int8)
        if self.t != self.closed_at:
            mask[self.place : self.place + 2] = 1
        if isinstance(self.action_space, spaces.MultiDiscrete):
            return np.concatenate((mask, mask[1:4] if mask[1:4].any() else np.ones(3, np.int8)))
        if isinstance(self.action_space, spaces.MultiBinary):
            return np.stack((1 - mask, np.ones(5, np.int8)), axis=1).ravel()
        return mask

    def takes(self, action) -> bool:
        allowed = self.allowed
        if isinstance(self.action_space, spaces.MultiDiscrete):
            return bool(allowed[action[0]] and allowed[5 + action[1]])
        if isinstance(self.action_space, spaces.MultiBinary):
            return bool(allowed.reshape(5, 2)[np.arange(5), action].all())
        return bool(allowed[action])

    def step(self, action):
        if not self.takes(action):
            MET.append(f"{action} of {self.allowed}")
        reward = float(np.ravel(action)[0] == self.place + 1)
        self.t += 1
        self._move()
        obs, info = self._told()
        return obs, reward, self.t == self.length and self.place % 2 == 0, self.t >= self.length, info

    def _obs(self):
        return np.eye(5, dtype=np.float32)[self.place]

    def _told(self):
        return self._obs(), {}


class ByInfo(Doors):
    """Gymnasium's and PettingZoo's way."""

    def _told(self):
        return self._obs(), {"action_mask": self.allowed}


class ByMethod(Doors):
    """sb3-contrib's way."""

    def action_masks(self) -> np.ndarray:
        return self.allowed


class ByObs(Doors):
    """RLlib's way."""

    def __init__(self, action_space: spaces.Space | None = None) -> None:
        super().__init__(action_space)
        size = {spaces.MultiDiscrete: 8, spaces.MultiBinary: 10}.get(type(self.action_space), 5)
        self.observation_space = spaces.Dict(
            {"observation": self.observation_space, "action_mask": spaces.Box(0, 1, (size,), np.int8)}
        )

    def _told(self):
        return {"observation": self._obs(), "action_mask": self.allowed}, {}


WAYS = {"info": ByInfo, "method": ByMethod, "obs": ByObs}
for _name, _class in WAYS.items():
    gymnasium.register(f"Doors{_name.title()}-v0", entry_point=_class)
gymnasium.register("DoorsNone-v0", entry_point=Doors)
