"""Atari games as agents are usually shown them (Mnih et al. 2015), with the options of Machado et al. 2018.

The last four screens, grey and 84 pixels square, the newest last; each action held for four frames, each screen the
larger of the last two frames (sprites flicker); a random number of no-ops at the start. In training rewards are
clipped to their sign and the loss of a life may count as an end; outside it scores are raw and games are whole.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from torch import Tensor

from agent_gym.envs.adapters.episodes.plain import own
from agent_gym.envs.family import Family, register
from agent_gym.ground.errors import UserError
from agent_gym.ground.libraries import rounding_depends_on

rounding_depends_on("ale_py", "ale-py")

FRAMES_PER_SECOND = 60
RENAMED = {"frameskip": "--atari.frame-skip", "repeat_action_probability": "--atari.sticky-actions"}


@dataclass(frozen=True)
class AtariOptions:
    """How games are shown and played; `training` clips rewards and lets `life_loss_ends` count."""

    frame_skip: int = 4
    sticky_actions: float = 0.25
    full_action_space: bool = False
    life_loss_ends: bool = False
    noop_max: int = 30
    training: bool = False
    screen_size: int = 84
    stack: int = 4


def split_kwargs(spec: EnvSpec, env_kwargs: dict[str, Any]) -> tuple[AtariOptions, dict[str, Any]]:
    """The options among `env_kwargs`, and the arguments of ale-py's environment. Raises UserError."""
    for name, flag in RENAMED.items():
        if name in env_kwargs:
            raise UserError(f"--env-kwargs holds {name}: give it as {flag}")
    if "obs_type" in env_kwargs:
        raise UserError(f"--env-kwargs holds obs_type: {spec.id} always shows grey screens here")
    own = {name: value for name, value in env_kwargs.items() if name in AtariOptions.__dataclass_fields__}
    rest = {name: value for name, value in env_kwargs.items() if name not in own}
    return AtariOptions(**own), rest


@functools.cache
def averaging(size: int, new_size: int) -> Tensor:
    """[new_size, size]: each new pixel is the mean of what it covers of the old ones (area interpolation)."""
    edges = np.arange(new_size + 1) * (size / new_size)
    pixels = np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(covered, 0.0, 1.0)
    return torch.from_numpy((weights / weights.sum(1, keepdims=True)).astype(np.float32))


class Preprocessing(gymnasium.Wrapper):
    """Observations uint8 [stack, size, size] from a game that shows grey screens, one frame a step."""

    def __init__(self, env: gymnasium.Env, options: AtariOptions) -> None:
        super().__init__(env)
        self.options = options
        self.observation_space = Box(0, 255, (options.stack, options.screen_size, options.screen_size), np.uint8)
        self.metadata = {**env.metadata, "render_fps": FRAMES_PER_SECOND / options.frame_skip}
        height, width = env.observation_space.shape
        self.rows = averaging(height, options.screen_size)
        self.columns = averaging(width, options.screen_size).T.contiguous()
        self.noop = 0 if isinstance(env.action_space, Discrete) else np.zeros(3, np.float32)
        self.game_over = True
        self.lives = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """A new game; only the next life where the last step ended with the loss of one."""
        if self.game_over or seed is not None:
            screen, info = self.env.reset(seed=seed, options=options)
            count = int(self.np_random.integers(self.options.noop_max + 1)) if self.options.noop_max else 0
            for _ in range(count):
                screen, _, terminated, truncated, info = self.env.step(self.noop)
                if terminated or truncated:
                    screen, info = self.env.reset()
        else:
            screen, _, _, _, info = self.env.step(self.noop)
        self.game_over, self.lives = False, info["lives"]
        self.frames = np.zeros(self.observation_space.shape, np.uint8)
        return self._push(screen), info

    def step(self, action: Any):
        previous = screen = None
        total, terminated, truncated = 0.0, False, False
        for _ in range(self.options.frame_skip):
            previous, (screen, reward, terminated, truncated, info) = screen, self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        self.game_over = terminated or truncated
        if self.options.training:
            total = float(np.sign(total))
            terminated = terminated or (self.options.life_loss_ends and info["lives"] < self.lives)
        self.lives = info["lives"]
        obs = self._push(screen if previous is None else np.maximum(previous, screen))
        return obs, total, terminated, truncated, info

    def _push(self, screen: np.ndarray) -> np.ndarray:
        """The stack with a new screen [height, width] at its end, as an array of its own."""
        # By torch: NumPy's matrix product would start threads of its own beside every environment.
        small = self.rows @ torch.from_numpy(screen).float() @ self.columns
        self.frames = np.concatenate((self.frames[1:], small.round_().byte().numpy()[None]))
        return self.frames


class Atari(Family):
    """Games of ale-py that show their screen; those that show their memory are vectors like any other."""

    name = "atari"
    package, extra = "ale_py", "atari"
    samples = True
    why_gymnasium = "ale-py steps games in its own threads"

    def claims(self, spec: EnvSpec) -> bool:
        return "ale_py" in str(spec.entry_point) and spec.kwargs.get("obs_type", "rgb") != "ram"

    def announces(self, name: str) -> bool:
        return name.startswith("ALE/")

    def for_training(self, env_kwargs: dict[str, Any]) -> dict[str, Any]:
        return {**env_kwargs, "training": True}

    def own_kwargs(self, spec: EnvSpec, env_kwargs: dict[str, Any]) -> dict[str, Any]:
        return split_kwargs(spec, env_kwargs)[1]

    def make(self, spec: EnvSpec, env_kwargs: dict[str, Any], **options: Any) -> gymnasium.Env:
        """One game behind the preprocessing; the fields of AtariOptions may stand among `env_kwargs`."""
        shown, rest = split_kwargs(spec, env_kwargs)
        limit = options.pop("max_episode_steps", None)
        game = super().make(
            spec,
            rest,
            obs_type="grayscale",
            frameskip=1,
            repeat_action_probability=shown.sticky_actions,
            full_action_space=shown.full_action_space,
            **options,
        )
        env = Preprocessing(game, shown)
        return env if limit is None else gymnasium.wrappers.TimeLimit(env, limit)

    def make_vector(
        self, spec: EnvSpec, num_envs: int, env_kwargs: dict[str, Any]
    ) -> gymnasium.vector.VectorEnv | None:
        """ale-py's own vector environment with the same options; None where it lacks an argument."""
        options, rest = split_kwargs(spec, env_kwargs)
        if rest:
            return None
        from ale_py.vector_env import AtariVectorEnv

        return AtariVectorEnv(
            spec.kwargs["game"],
            num_envs,
            frameskip=options.frame_skip,
            repeat_action_probability=options.sticky_actions,
            full_action_space=options.full_action_space,
            episodic_life=options.life_loss_ends and options.training,
            reward_clipping=options.training,
            noop_max=options.noop_max,
            img_height=options.screen_size,
            img_width=options.screen_size,
            stack_num=options.stack,
            max_num_frames_per_episode=spec.kwargs["max_num_frames_per_episode"],
            use_fire_reset=False,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )

    def envpool_kwargs(self, spec: EnvSpec, env_kwargs: dict[str, Any]) -> dict[str, Any]:
        options, rest = split_kwargs(spec, env_kwargs)
        return {
            "frame_skip": options.frame_skip,
            "repeat_action_probability": options.sticky_actions,
            "full_action_space": options.full_action_space,
            "episodic_life": options.life_loss_ends and options.training,
            "reward_clip": options.training,
            "noop_max": max(options.noop_max, 1),  # it draws from 1 to noop_max
            "img_height": options.screen_size,
            "img_width": options.screen_size,
            "stack_num": options.stack,
            "max_episode_steps": spec.kwargs["max_num_frames_per_episode"] // options.frame_skip,
            "use_fire_reset": False,
            **rest,
        }

    def step_limit(self, spec: EnvSpec, env_kwargs: dict[str, Any]) -> int | None:
        options, rest = split_kwargs(spec, env_kwargs)
        frames = (spec.kwargs | rest).get("max_num_frames_per_episode")
        return frames // options.frame_skip if frames else None

    def frames(self, layer: gymnasium.Env) -> int:
        return layer.options.stack if isinstance(layer, Preprocessing) else 0


def save_game(ale: Any) -> bytes:
    """An emulator as it is, its generator for sticky actions included."""
    return ale.cloneState(include_rng=True).serialize()


def load_game(ale: Any, saved: bytes) -> None:
    """Bring an emulator of the same game there. Raises ValueError."""
    import ale_py

    if not isinstance(saved, bytes) or len(saved) > 2 * len(save_game(ale)):
        raise ValueError("the saved state is of another game")
    try:
        ale.restoreState(ale_py.ALEState(saved))
    except RuntimeError as error:
        raise ValueError(f"the saved state is none of a game: {error}") from error


own("ale_py._ale_py.ALEInterface", save_game, load_game)
register(Atari())
