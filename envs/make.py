"""From an environment id to a running vector environment, or to a line that says why not and what to do."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import FrameStackObservation

from agent_gym.envs.adapters.arrays import ArrayVectorEnv
from agent_gym.envs.adapters.boundary.bounds import Bounds
from agent_gym.envs.adapters.boundary.spaces import canonical_action
from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.adapters.singles import discard, spaces_of
from agent_gym.envs.adapters.workers import WorkerEnv, counting_threads
from agent_gym.envs.failures import Recovery
from agent_gym.envs.family import Family, family_of, install
from agent_gym.envs.layers import Layers
from agent_gym.envs.native.core import FAMILIES, NATIVE, Core, NativeGymEnv
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.envs.single import NO_LAYERS, build, explain, find_spec, make_single, opening
from agent_gym.envs.vector import EnvFailure, VectorEnv
from agent_gym.ground.errors import UserError

__all__ = [
    "family",
    "faster_backends",
    "find_spec",
    "is_atari",
    "make_env",
    "make_single",
    "native_core",
    "opening",
    "scoring_backend",
    "step_limit",
]

BACKENDS = ("auto", "native", "gymnasium", "sync", "async", "envpool")
# Ids whose version in EnvPool is Gymnasium's: MuJoCo follows the same trajectory to 1e-6 from the same state and
# actions; in LunarLander a scripted pilot has the same return over 2,000 episodes.
SAME_IN_ENVPOOL = frozenset(
    ("LunarLander-v3", *(f"{name}-v5" for name in ("HalfCheetah", "Hopper", "InvertedPendulum", "Swimmer", "Walker2d")))
)
ENVPOOL_FROM = 8  # environments; with fewer, handing work to threads costs what they gain


def make_env(
    env_id: str,
    num_envs: int,
    *,
    backend: str = "auto",
    env_kwargs: dict[str, Any] | None = None,
    layers: Layers = NO_LAYERS,
    device: torch.device | str = "cpu",
    seed: int = 0,
    training: bool = False,
    on_error: str = "stop",
    report: Callable[[EnvFailure], None] | None = None,
    strict_obs: bool = False,
    first: gymnasium.Env | None = None,
) -> VectorEnv:
    """`num_envs` copies of an environment; `choice` of the result says why this backend. Raises UserError.

    `training` allows what helps learning and falsifies scores, as the family of the environment knows it, and makes
    `state_dict` bring the running episodes back. With `on_error` "restart" environments that fail are replaced instead
    of raising EnvFailure; `report` is told of each failure (see envs.failures). `strict_obs` makes every observation
    outside its space a failure. `first`, what `opening` gave, becomes one of them.
    """
    env_kwargs = env_kwargs or {}
    if backend not in BACKENDS:
        raise UserError(f"unknown backend {backend!r}: --backend takes one of {', '.join(BACKENDS)}")
    if num_envs < 1:
        raise UserError(f"{num_envs} environments asked for: --num-envs must be at least 1")
    spec = find_spec(env_id)
    order = _Order(spec, family_of(spec), num_envs, env_kwargs, layers, training, first)
    if backend != "auto":
        missing = order.why_not(backend)
        if missing:
            others = ", ".join(b for b in BACKENDS[1:] if not order.why_not(b))
            raise UserError(f"--backend {backend} cannot run {spec.id}: {missing}; these can: {others}")
        choice = "asked for"
    else:
        backend, choice = order.choose()
    env = order.build(backend, device, seed)
    env.choice = choice
    env.recovery = Recovery(spec.id, on_error == "restart", report)
    if strict_obs and isinstance(env, ArrayVectorEnv):
        env.bounds = Bounds(env.layout, strict=True)
    if training and isinstance(env, ArrayVectorEnv):
        env.keep_record()
    return env if order.single is None else order.family.rows(env, order.single)


def family(env_id: str) -> Family:
    """The family of an environment. Raises UserError for an unknown id."""
    return family_of(find_spec(env_id))


def is_atari(env_id: str) -> bool:
    """Whether it is an Atari game that shows its screen. Raises UserError for an unknown id."""
    return family(env_id).name == "atari"


def native_core(env_id: str, env_kwargs: dict[str, Any] | None = None) -> Core | None:
    """The tensor functions of an environment that has them here, with its arguments. Raises UserError."""
    name = env_id.rpartition(":")[2]
    if not env_kwargs or name not in FAMILIES:
        return NATIVE.get(name)
    try:
        return FAMILIES[name](**env_kwargs)
    except TypeError as error:
        raise UserError(explain(find_spec(env_id), env_kwargs, error)) from error


def faster_backends(env_id: str, num_envs: int) -> tuple[str, ...]:
    """Backends that run the environment with the same dynamics as Gymnasium's own, and faster. Raises UserError."""
    order = _Order(find_spec(env_id), family(env_id), num_envs, {}, NO_LAYERS, True, None)
    found = ["native"] if not order.why_not("native") else []
    if order.spec.id in SAME_IN_ENVPOOL and not order.why_not("envpool"):
        found.append("envpool")
    return tuple(found)


def scoring_backend(env_id: str) -> str:
    """Who plays evaluation episodes: Gymnasium's own environment, or the native one where that is the same."""
    creator = find_spec(env_id).entry_point
    return "native" if getattr(creator, "func", None) is NativeGymEnv else "sync"


def step_limit(env_id: str, env_kwargs: dict[str, Any], layers: Layers = NO_LAYERS) -> int | None:
    """Steps after which the environment ends an episode by itself, as far as its registration says."""
    spec = find_spec(env_id)
    return layers.max_episode_steps or family_of(spec).step_limit(spec, env_kwargs)


class _Order:
    """What is to be built, and the ways in which it can be."""

    def __init__(
        self,
        spec: EnvSpec,
        family: Family,
        num_envs: int,
        env_kwargs: dict[str, Any],
        layers: Layers,
        training: bool,
        first: gymnasium.Env | None,
    ) -> None:
        self.spec, self.family, self.num_envs, self.layers = spec, family, num_envs, layers
        self.env_kwargs = env_kwargs
        self.given = family.for_training(env_kwargs) if training else env_kwargs
        self.first = first
        self.single: gymnasium.Env | None = None  # one of those that were built

    def why_not(self, backend: str) -> str:
        """Why a backend cannot run it; "" if it can."""
        spec, changed = self.spec, self.layers.flag or ("--max-episode-steps" if self.layers.max_episode_steps else "")
        if backend == "native":
            if spec.id not in NATIVE:
                return f"no native version (there is one of {', '.join(NATIVE)})"
            if self.env_kwargs and spec.id not in FAMILIES:
                return "the native version takes no --env-kwargs"
            return f"the native version takes no {self.layers.flag}" if self.layers.flag else ""
        if backend == "envpool":
            if importlib.util.find_spec("envpool") is None:
                return f"EnvPool is not installed: {install('envpool')}"
            if changed:
                return f"EnvPool takes no {changed}"
            from agent_gym.envs.adapters.envpool_env import has

            return "" if has(_pool_id(spec)) else "EnvPool has no environment of this id"
        return ""

    def choose(self) -> tuple[str, str]:
        """The fastest backend that runs this environment with the same dynamics, and why."""
        if not self.why_not("native"):
            return "native", "it has a native tensor version"
        if self.family.why_gymnasium:
            return "gymnasium", self.family.why_gymnasium
        if self.layers.flag:
            return "gymnasium", f"{self.layers.flag} is given"
        if self.spec.id not in SAME_IN_ENVPOOL:
            return "gymnasium", "no faster backend is known to have the same environment"
        if self.env_kwargs:
            return "gymnasium", "--env-kwargs is given, which EnvPool may read differently"
        if self.num_envs < ENVPOOL_FROM:
            return "gymnasium", f"EnvPool is faster from {ENVPOOL_FROM} environments on"
        missing = self.why_not("envpool")
        if missing:
            return "gymnasium", f"{missing}; it would be faster"
        return "envpool", "EnvPool has the same environment and is faster"

    def build(self, backend: str, device: Any, seed: int) -> VectorEnv:
        spec = self.spec
        if backend == "native":
            core = native_core(spec.id, self.env_kwargs).limited(self.layers.max_episode_steps)
            return NativeVectorEnv(core, self.num_envs, device, seed)
        make = functools.partial(build, spec, self.given, self.layers, None)
        first = self.single = counting_threads(make) if self.first is None else self.first
        _refuse_actions(spec, first)
        stack = _frame_stack(first, self.family)
        if backend == "async":
            env: VectorEnv = WorkerEnv(make, self.num_envs, spec.id, device, first=first, masks=self.layers.action_mask)
        elif backend == "envpool":
            env = self._pool(first, device)
        else:
            make_vector = functools.partial(self._vector, first.observation_space, first.action_space)
            vector = None if backend == "sync" else make_vector()
            if vector is not None:
                first.close()
                env = VectorAdapter(vector, spec.id, device, make=make_vector, masks=self.layers.action_mask)
            else:
                env = SyncEnv(_several(first, make, self.num_envs), spec.id, device, make, self.layers.action_mask)
        is_image = isinstance(env.obs_space, gymnasium.spaces.Box) and env.obs_space.dtype == np.uint8
        env.frame_stack = stack if is_image and env.obs_space.shape[0] == stack else 1
        return env

    def _pool(self, first: gymnasium.Env, device: Any) -> VectorEnv:
        from agent_gym.envs.adapters.envpool_env import EnvPoolEnv

        pool_kwargs = self.family.envpool_kwargs(self.spec, self.given)
        env = EnvPoolEnv(first, self.num_envs, pool_kwargs, device, _pool_id(self.spec), self.layers.action_mask)
        first.close()
        return env

    def _vector(self, obs_space: gymnasium.Space, action_space: gymnasium.Space) -> gymnasium.vector.VectorEnv | None:
        """The environment's own vector version if it has one that shows the same spaces; else None."""
        spec, layers = self.spec, self.layers
        if spec.vector_entry_point is None or spec.additional_wrappers or layers.flag or layers.max_episode_steps:
            return None
        vector = self.family.make_vector(spec, self.num_envs, self.given)
        if vector is None:
            return None
        if vector.single_observation_space == obs_space and vector.single_action_space == action_space:
            return vector
        vector.close()
        return None


def _several(first: gymnasium.Env, make: Callable[[], gymnasium.Env], count: int) -> list[gymnasium.Env]:
    """`first` and others like it, all or none."""
    envs = [first]
    try:
        while len(envs) < count:
            envs.append(make())
    except UserError:
        for env in envs:
            discard(env)
        raise
    return envs


def _refuse_actions(spec: EnvSpec, env: gymnasium.Env) -> None:
    """Raises UserError, which names the environment, for actions that no agent can take."""
    try:
        canonical_action(spaces_of(env, spec.id)[1])
    except UserError as error:
        env.close()
        raise UserError(f"{spec.id}: {str(error).removeprefix(f'{spec.id}: ')}") from None


def _frame_stack(single: gymnasium.Env, family: Family) -> int:
    """Frames in each image of an observation; 1 unless a wrapper that nothing outside of it changes stacks them."""
    layer = single
    while isinstance(layer, gymnasium.Wrapper) and layer.observation_space == single.observation_space:
        frames = layer.stack_size if isinstance(layer, FrameStackObservation) else family.frames(layer)
        if frames:
            return frames
        layer = layer.env
    return 1


def _pool_id(spec: EnvSpec) -> str:
    """What EnvPool calls the environment."""
    return spec.id.removeprefix("ALE/")
