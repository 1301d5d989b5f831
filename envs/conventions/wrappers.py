"""What flags put around an environment: parts of its observation, smaller and grey images, weighed rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from agent_gym.ground.errors import UserError, nearest

CHANNELS = (1, 3, 4)
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as OpenCV has it


class TakeParts(gymnasium.ObservationWrapper, RecordConstructorArgs):
    """Some parts of a Dict observation, in this order; of one alone the part itself. Raises UserError."""

    def __init__(self, env: gymnasium.Env, keys: Sequence[str]) -> None:
        RecordConstructorArgs.__init__(self, keys=keys)
        gymnasium.ObservationWrapper.__init__(self, env)
        space = env.observation_space
        if not isinstance(space, spaces.Dict):
            raise UserError(
                f"--obs-keys {' '.join(keys)}: expected observations of several parts, and they are {space}"
            )
        for key in keys:
            if key not in space.spaces:
                raise UserError(
                    f"--obs-keys {key}: no part of the observation has this name{nearest(key, space.spaces)}; it has "
                    f"{', '.join(space.spaces)}"
                )
        self.keys = tuple(keys)
        parts = {key: space[key] for key in keys}
        self.observation_space = parts[keys[0]] if len(keys) == 1 else spaces.Dict(parts)

    def observation(self, observation: dict[str, Any]) -> Any:
        if len(self.keys) == 1:
            return observation[self.keys[0]]
        return {key: observation[key] for key in self.keys}


class Images(gymnasium.ObservationWrapper, RecordConstructorArgs):
    """Every uint8 image in an observation, [H, W], [H, W, C] or [C, H, W], in another size, in grey, or both.

    `size`: (height, width), () leaves it. Grey images keep an axis of one channel. Raises UserError without images.
    """

    def __init__(self, env: gymnasium.Env, size: Sequence[int] = (), grey: bool = False) -> None:
        RecordConstructorArgs.__init__(self, size=size, grey=grey)
        gymnasium.ObservationWrapper.__init__(self, env)
        from PIL import Image  # nobody else needs it to learn

        self.size, self.grey, self.library = tuple(size), grey, Image
        self.found = 0
        self.observation_space = self._space(env.observation_space)
        if not self.found:
            flag = f"--resize {' '.join(map(str, size))}" if size else "--grayscale"
            raise UserError(f"{flag}: the observation {env.observation_space} holds no uint8 image")

    def _space(self, space: spaces.Space) -> spaces.Space:
        if isinstance(space, spaces.Dict):
            return spaces.Dict({key: self._space(part) for key, part in space.spaces.items()})
        if not is_image(space):
            return space
        self.found += 1
        return spaces.Box(0, 255, self._change(np.zeros(space.shape, np.uint8)).shape, np.uint8)

    def observation(self, observation: Any) -> Any:
        return self._walk(observation, self.env.observation_space)

    def _walk(self, value: Any, space: spaces.Space) -> Any:
        if isinstance(space, spaces.Dict):
            return {key: self._walk(value[key], part) for key, part in space.spaces.items()}
        return self._change(np.asarray(value)) if is_image(space) else value

    def _change(self, image: np.ndarray) -> np.ndarray:
        first = image.ndim == 3 and image.shape[2] not in CHANNELS and image.shape[0] in CHANNELS
        image = np.moveaxis(image, 0, 2) if first else image
        if self.grey and image.ndim == 3 and image.shape[2] >= 3:
            image = np.rint(image[..., :3] @ LUMINANCE).astype(np.uint8)[..., None]
        if self.size and image.shape[:2] != self.size:
            planes = image[..., None] if image.ndim == 2 else image
            (height, width), library = self.size, self.library
            small = [
                np.asarray(library.fromarray(planes[..., k]).resize((width, height), library.Resampling.BOX))
                for k in range(planes.shape[2])
            ]
            image = small[0] if image.ndim == 2 else np.stack(small, axis=2)
        return np.ascontiguousarray(np.moveaxis(image, 2, 0) if first else image)


def is_image(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)


class WeighRewards(gymnasium.Wrapper, RecordConstructorArgs):
    """A reward of several parts as one number; the parts are told in info as reward_1, reward_2, …"""

    def __init__(self, env: gymnasium.Env, weights: Sequence[float]) -> None:
        RecordConstructorArgs.__init__(self, weights=weights)
        gymnasium.Wrapper.__init__(self, env)
        self.weights = np.asarray(weights, np.float64)
        space = env.get_wrapper_attr("reward_space") if env.has_wrapper_attr("reward_space") else None
        if space is not None:
            self._check(space.shape)

    def _check(self, shape: tuple[int, ...]) -> None:
        if tuple(shape) != self.weights.shape:
            text = " ".join(f"{weight:g}" for weight in self.weights)
            raise UserError(
                f"--reward-weights {text}: the reward of this environment has {int(np.prod(shape))} parts, expected as "
                "many weights"
            )

    def step(self, action: Any):
        obs, reward, terminated, truncated, info = self.env.step(action)
        parts = np.asarray(reward, np.float64).ravel()
        self._check(parts.shape)
        told = {f"reward_{k}": float(part) for k, part in enumerate(parts, 1)}
        return obs, float(parts @ self.weights), terminated, truncated, {**info, **told}
