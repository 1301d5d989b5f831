"""Native environments: pure functions on tensors, made into a vector environment or a `gymnasium.Env`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agent_gym.envs.adapters.boundary.spaces import map_obs
from agent_gym.envs.games.game import Game
from agent_gym.envs.vector import Obs
from agent_gym.ground.spaces import fold, is_nested


@dataclass(frozen=True)
class Core:
    """An environment as pure functions. The state is one tensor whose last dimension counts the environments."""

    id: str
    obs_space: gymnasium.Space  # canonical, of one environment
    action_space: gymnasium.Space
    max_episode_steps: int
    initial: Callable[[int, torch.Generator, torch.device], Tensor]  # (num_envs, generator, device) -> state [..., B]
    step: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor, Tensor]]
    # (state, action, generator) -> (new state, reward [B] float32, terminated [B] bool)
    observe: Callable[[Tensor], Obs]  # state -> obs [B, ...]
    render: Callable[[np.ndarray], np.ndarray] | None = None  # state of one environment [...] -> image [H, W, 3] uint8
    render_fps: int = 50
    action_names: tuple[str, ...] = ()
    """Of each discrete action, or of each part of a Box."""
    mask: Callable[[Tensor], Tensor] | None = None
    """state -> which of the discrete actions are legal [B, n] bool; None: all."""
    tell: Callable[[Tensor], dict[str, Tensor]] | None = None
    """new state -> scalars to tell of the step, [B] each."""
    relabel: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    """See VectorEnv.relabel."""
    game: Game | None = None
    """The rules, if it is a two-player game."""
    draws: bool = True
    """Whether `step` may draw from the generator; False: it never does."""

    def limited(self, max_episode_steps: int) -> Core:
        """With another time limit; 0: as it is."""
        return replace(self, max_episode_steps=max_episode_steps) if max_episode_steps else self


NATIVE: dict[str, Core] = {}  # by id
FAMILIES: dict[str, Callable[..., Core]] = {}  # of those that take arguments: the Core for given ones


def register(core: Core) -> None:
    """Make a Core known: to `--backend native` and, unless Gymnasium has this id already, to `gymnasium.make`."""
    NATIVE[core.id] = core
    if core.id not in gymnasium.registry:
        entry_point = functools.partial(NativeGymEnv, core)
        gymnasium.register(core.id, entry_point=entry_point, max_episode_steps=core.max_episode_steps)


def register_family(make: Callable[..., Core]) -> None:
    """Make known what `make` gives, by default and for other arguments; each ends by itself, without a time limit."""
    core = make()
    NATIVE[core.id], FAMILIES[core.id] = core, make
    gymnasium.register(core.id, entry_point=functools.partial(NativeGymEnv, make))


@functools.cache
def constant(numbers: tuple, device: torch.device) -> Tensor:
    """Numbers as a float32 tensor, sent to the device once: sending them in every step would stall a GPU."""
    return torch.tensor(numbers, dtype=torch.float32, device=device)


def _relabelled(relabel: Callable, which: int, achieved: Any, desired: Any, info: Any) -> np.ndarray:
    goals = [torch.as_tensor(np.asarray(part, np.float32)) for part in (achieved, desired)]
    single = goals[0].dim() == 1
    value = relabel(*(part.unsqueeze(0) if single else part for part in goals))[which].numpy()
    return value[0] if single else value


class NativeGymEnv(gymnasium.Env):
    """One environment of a Core for `gymnasium.make`; the time limit is Gymnasium's wrapper, set at registration.

    Instead of a Core, a function of the environment's own arguments that gives one.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 50}

    def __init__(self, core: Core | Callable[..., Core], render_mode: str | None = None, **arguments: Any):
        if not isinstance(core, Core):
            core = core(**arguments)
        elif arguments:
            raise TypeError(f"{core.id} takes no arguments, but got {', '.join(arguments)}")
        self.core, self.render_mode = core, render_mode
        if core.mask:
            self.action_masks = lambda: core.mask(self.state)[0].numpy()  # as sb3-contrib asks for them
        if core.relabel:  # as Gymnasium-Robotics names them
            self.compute_reward = functools.partial(_relabelled, core.relabel, 0)
            self.compute_terminated = functools.partial(_relabelled, core.relabel, 1)
        self.observation_space, self.action_space = core.obs_space, core.action_space
        self.metadata = {**self.metadata, "render_fps": core.render_fps}
        self.generator = torch.Generator()
        self.window = self.clock = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        if seed is not None or not hasattr(self, "state"):
            self.generator.manual_seed(int(self.np_random.integers(2**62)))
        self.state = self.core.initial(1, self.generator, torch.device("cpu"))
        if self.render_mode == "human":
            self.render()
        return self._obs(), {}

    def step(self, action):
        row = fold(self.action_space, action).astype(np.float32) if is_nested(self.action_space) else action
        batch = torch.as_tensor(np.asarray(row)).unsqueeze(0)
        self.state, reward, terminated = self.core.step(self.state, batch, self.generator)
        if self.render_mode == "human":
            self.render()
        info = {name: part.item() for name, part in self.core.tell(self.state).items()} if self.core.tell else {}
        return self._obs(), reward.item(), bool(terminated), False, info

    def get_action_meanings(self) -> list[str]:
        """As Atari games have it: a name for each action, or none."""
        return list(self.core.action_names)

    def _obs(self):
        # [()] makes a number of an array without dimensions, as Discrete spaces want it.
        obs = map_obs(lambda part: part[0].numpy()[()], self.core.observe(self.state))
        return {**obs} if isinstance(obs, dict) else obs

    def render(self) -> np.ndarray | None:
        if self.render_mode is None or self.core.render is None:
            return None
        image = self.core.render(self.state[..., 0].numpy())
        if self.render_mode == "rgb_array":
            return image
        import pygame  # a window is asked for: the library is not needed otherwise

        if self.window is None:
            pygame.display.init()
            self.window = pygame.display.set_mode((image.shape[1], image.shape[0]))
            self.clock = pygame.time.Clock()
        self.window.blit(pygame.surfarray.make_surface(image.swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        self.clock.tick(self.core.render_fps)
        pygame.display.flip()
        return None

    def close(self) -> None:
        if self.window is not None:
            import pygame

            pygame.display.quit()
            self.window = None
