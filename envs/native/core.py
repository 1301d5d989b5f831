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

from agent_gym.envs.adapters.boundary.spaces import canonical_action, map_obs
from agent_gym.envs.conventions.actions import fold, is_nested
from agent_gym.envs.failures import Recovery, Trouble
from agent_gym.envs.games.game import Game
from agent_gym.envs.native.finite import NOT_FINITE, Watch
from agent_gym.envs.vector import NOTHING, Obs, Step, Told, VectorEnv, check_action

_ONE = torch.tensor(1, dtype=torch.int32)  # an operation with a tensor costs half of one with a Python number


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


class NativeVectorEnv(VectorEnv):
    """B environments of a Core with autoreset, a time limit and their own generator; never waits for a GPU.

    Values are looked at in every step, on a GPU without waiting, so that there `check` raises what was found.
    """

    backend = "native"
    saving = "saved as they are"

    def __init__(self, core: Core, num_envs: int, device: torch.device | str = "cpu", seed: int = 0):
        self.core, self.id, self.num_envs, self.device = core, core.id, num_envs, torch.device(device)
        self.obs_space, self.action_space, self.game = core.obs_space, canonical_action(core.action_space), core.game
        self.relabel = core.relabel
        self.limit = torch.tensor(core.max_episode_steps, dtype=torch.int32)
        self.generator = torch.Generator(self.device)
        self.recovery = Recovery(core.id)
        self.watch = Watch(core.obs_space, num_envs, self.device)
        self.steps, self.seed = 0, seed
        self.reset(seed)

    @property
    def raw_spaces(self) -> tuple[gymnasium.Space, gymnasium.Space]:
        return self.core.obs_space, self.core.action_space

    def reset(self, seed: int) -> Obs:
        self.generator.manual_seed(seed)
        self.state = self.core.initial(self.num_envs, self.generator, self.device)
        self.time = torch.zeros(self.num_envs, dtype=torch.int32, device=self.device)
        self.intact, self.allowed = True, None
        self.watch.begin()
        self.last = self.core.observe(self.state)
        return self.last

    @property
    def mask(self) -> Tensor | None:
        if self.allowed is None and self.core.mask:
            self.allowed = self.core.mask(self.state)
        return self.allowed

    def step(self, action: Tensor) -> Step:
        core = self.core
        self.steps += 1
        state, reward, terminated = core.step(self.state, action, self.generator)
        time = self.time + _ONE
        truncated = time >= self.limit
        done = terminated | truncated
        obs = final_obs = core.observe(state)
        mask = final_mask = core.mask(state) if core.mask else None
        info = told(core.tell(state)) if core.tell else NOTHING
        if self.device.type != "cpu":  # asking who is done would stall it: all start anew, and few of them count
            fresh = core.initial(self.num_envs, self.generator, self.device)
            state, time = torch.where(done, fresh, state), time.masked_fill(done, 0)
            obs = core.observe(state)
            mask = core.mask(state) if core.mask else None
        elif len(index := done.nonzero().squeeze(1)):
            fresh = self._fresh(index)
            state, time = state.index_copy(-1, index, fresh), time.masked_fill(done, 0)
            obs = map_obs(lambda old, new: old.index_copy(0, index, new), final_obs, core.observe(fresh))
            mask = final_mask.index_copy(0, index, core.mask(fresh)) if core.mask else None
        valid = self.watch.always if self.recovery.restart else None
        step = Step(obs, reward, terminated, truncated, final_obs, info, valid, mask, final_mask)
        if self.device.type == "cpu":
            if not self.watch.finite(step):
                check_action(action, self.id)
                step, state, time = self._failed(step, state, time)
            elif self.recovery.streaks:
                self.recovery.completed()
        elif self.recovery.restart:
            bad = self.watch.count(step)
            step, state, time = self._begin_anew(bad, step, state, time)
        else:
            self.watch.remember(step)
        self.state, self.time, self.last, self.allowed = state, time, step.obs, step.mask
        return step

    def _fresh(self, rows: Tensor) -> Tensor:
        """New episodes [..., len(rows)] for these environments."""
        return self.core.initial(len(rows), self.generator, self.device)

    def _failed(self, step: Step, state: Tensor, time: Tensor) -> tuple[Step, Tensor, Tensor]:
        bad = self.watch.bad_rows(step)
        rows = bad.nonzero().flatten().tolist()
        self.recovery.completed(set(range(self.num_envs)) - set(rows))
        self.intact = not rows  # nothing to go on from, unless they are replaced
        for row in rows:
            self.recovery.take(Trouble(row, NOT_FINITE), self.steps)
        if not rows:  # huge numbers, no more
            return step, state, time
        self.recovery.restarts += len(rows)
        step, state, time = self._begin_anew(bad, step, state, time)
        if self.watch.bad_rows(step).any():
            self.recovery.stop(Trouble(rows[0], f"in initial(): {NOT_FINITE}"), self.steps)
        self.intact = True
        return step, state, time

    def _begin_anew(self, bad: Tensor, step: Step, state: Tensor, time: Tensor) -> tuple[Step, Tensor, Tensor]:
        """The step with those of the `bad` environments marked as failed, and new state for them."""

        def choose(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(bad.view(-1, *[1] * (old.dim() - 1)), new, old)

        fresh = self.core.initial(self.num_envs, self.generator, self.device)
        state, time = torch.where(bad, fresh, state), time.masked_fill(bad, 0)
        step = Step(
            map_obs(choose, self.core.observe(state), step.obs),
            step.reward.masked_fill(bad, 0.0),
            step.terminated & ~bad,
            step.truncated | bad,
            map_obs(choose, self.last, step.final_obs),
            step.info,
            ~bad,
            self.core.mask(state) if self.core.mask else None,
            step.final_mask,
        )
        return step, state, time

    def move(self, device: torch.device) -> None:
        kept = self.recovery, self.choice
        self.__init__(self.core, self.num_envs, device, self.seed)
        self.recovery, self.choice = kept

    def tensors(self) -> dict[str, Obs] | None:
        if self.recovery.restart or self.core.tell:  # what is told is looked at in each step
            return None
        return {"state": self.state, "time": self.time, "last": self.last}

    def put(self, tensors: dict[str, Obs]) -> None:
        self.state, self.time, self.last = tensors["state"], tensors["time"], tensors["last"]
        self.allowed = None

    def changed(self) -> list[Tensor]:
        return [self.watch.poison]

    @property
    def generators(self) -> list[torch.Generator]:
        return [self.generator]

    def check(self) -> None:
        if self.device.type != "cpu":
            count, streak, row = self.watch.found()
            if count:
                self.recovery.restarts += count if self.recovery.restart else 0
                self.intact = self.recovery.restart
                self.recovery.streaks = {row: streak - 1}
                self.recovery.take(Trouble(row, f"{NOT_FINITE}, {count} times since the last look"), self.steps)
        fault = self.watch.outside(self.last)
        if fault is not None:
            self.intact = False
            self.recovery.stop(Trouble(*fault), self.steps)  # the Core is at fault: another start mends nothing

    def begin_again(self, rows: list[int], seed: int) -> Obs:
        generator = torch.Generator(self.device).manual_seed(seed)
        index = torch.tensor(rows, device=self.device)
        fresh = self.core.initial(len(rows), generator, self.device)
        self.state = self.state.index_copy(-1, index, fresh)
        self.time, self.allowed = self.time.index_fill(0, index, 0), None
        self.last = self.core.observe(self.state)
        return self.last

    def state_dict(self) -> dict[str, Any] | None:
        """None after a failure: there is nothing good to go on from."""
        if not self.intact:
            return None
        return {"state": self.state.clone(), "time": self.time.clone(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        self.state, self.time = (state[key].to(self.device, copy=True) for key in ("state", "time"))
        self.generator.set_state(state["generator"].cpu())
        self.allowed = None
        self.last = self.core.observe(self.state)
        return True

    def observe(self) -> Obs:
        """The current observations, for going on after `load_state_dict`."""
        return self.core.observe(self.state)


def told(scalars: dict[str, Tensor]) -> Told:
    """Scalars [B] as one table."""
    return Told(tuple(scalars), torch.stack(list(scalars.values()), dim=1))


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
