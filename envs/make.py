"""From an environment id to a running vector environment, or to a line that says why not and what to do."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.wrappers import FrameStackObservation

import agent_gym.envs  # noqa: F401  registers AgentGym/…
from agent_gym.envs.adapters import atari
from agent_gym.envs.adapters.arrays import ArrayVectorEnv, describe
from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.adapters.workers import WorkerEnv
from agent_gym.envs.failures import Recovery
from agent_gym.envs.native.core import FAMILIES, NATIVE, Core, NativeGymEnv, NativeVectorEnv
from agent_gym.envs.vector import EnvFailure, VectorEnv
from agent_gym.ground.errors import UserError

BACKENDS = ("auto", "native", "gymnasium", "sync", "async", "envpool")
# Ids whose version in EnvPool is Gymnasium's: MuJoCo follows the same trajectory to 1e-6 from the same state and
# actions; in LunarLander a scripted pilot has the same return over 2,000 episodes.
SAME_IN_ENVPOOL = frozenset(
    ("LunarLander-v3", *(f"{name}-v5" for name in ("HalfCheetah", "Hopper", "InvertedPendulum", "Swimmer", "Walker2d")))
)
ENVPOOL_FROM = 8  # environments; with fewer, handing work to threads costs what they gain
EXTRAS = {"box2d": "box2d", "mujoco": "mujoco", "ale_py": "atari"}  # part of an entry point -> extra of this project


def make_env(
    env_id: str,
    num_envs: int,
    *,
    backend: str = "auto",
    env_kwargs: dict[str, Any] | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
    training: bool = False,
    on_error: str = "stop",
    report: Callable[[EnvFailure], None] | None = None,
) -> VectorEnv:
    """`num_envs` copies of an environment; `choice` of the result says why this backend. Raises UserError.

    `training` allows what helps learning and falsifies scores (see envs.atari), and makes `state_dict` bring the
    running episodes back. With `on_error` "restart" environments
    that fail are replaced instead of raising EnvFailure; `report` is told of each failure (see envs.recovery).
    """
    env_kwargs = env_kwargs or {}
    if backend not in BACKENDS:
        raise UserError(f"unknown backend {backend!r}: --backend takes one of {', '.join(BACKENDS)}")
    if num_envs < 1:
        raise UserError(f"{num_envs} environments asked for: --num-envs must be at least 1")
    spec = find_spec(env_id)
    if training and atari.is_atari(spec):
        env_kwargs = {**env_kwargs, "training": True}
    if backend != "auto":
        missing = _why_not(backend, spec, env_kwargs)
        if missing:
            others = ", ".join(b for b in BACKENDS[1:] if not _why_not(b, spec, env_kwargs))
            raise UserError(f"--backend {backend} cannot run {spec.id}: {missing}; these can: {others}")
        choice = "asked for"
    else:
        backend, choice = _choose(spec, num_envs, env_kwargs)
    env = _build(backend, spec, num_envs, env_kwargs, device, seed)
    env.choice = choice
    env.recovery = Recovery(spec.id, on_error == "restart", report)
    if training and isinstance(env, ArrayVectorEnv):
        env.keep_record()
    env.frame_stack = 1 if backend == "native" else _frame_stack(make_single(env_id, env_kwargs), env)
    return env


def make_single(env_id: str, env_kwargs: dict[str, Any] | None = None, render_mode: str | None = None) -> gymnasium.Env:
    """Gymnasium's own environment, for evaluation and pictures. Raises UserError."""
    return _make_single(find_spec(env_id), env_kwargs or {}, render_mode)


def is_atari(env_id: str) -> bool:
    """Whether it is an Atari game that shows its screen. Raises UserError for an unknown id."""
    return atari.is_atari(find_spec(env_id))


def native_core(env_id: str, env_kwargs: dict[str, Any] | None = None) -> Core | None:
    """The tensor functions of an environment that has them here, with its arguments. Raises UserError."""
    name = env_id.rpartition(":")[2]
    if not env_kwargs or name not in FAMILIES:
        return NATIVE.get(name)
    try:
        return FAMILIES[name](**env_kwargs)
    except TypeError as error:
        raise UserError(_explain(find_spec(env_id), env_kwargs, error)) from error


def scoring_backend(env_id: str) -> str:
    """Who plays evaluation episodes: Gymnasium's own environment, or the native one where that is the same."""
    creator = find_spec(env_id).entry_point
    return "native" if getattr(creator, "func", None) is NativeGymEnv else "sync"


def step_limit(env_id: str, env_kwargs: dict[str, Any]) -> int | None:
    """Steps after which the environment ends an episode by itself, as far as its registration says."""
    spec = find_spec(env_id)
    if not atari.is_atari(spec):
        return spec.max_episode_steps
    options, rest = atari.split_kwargs(spec, env_kwargs)
    frames = (spec.kwargs | rest).get("max_num_frames_per_episode")
    return frames // options.frame_skip if frames else None


def find_spec(env_id: str) -> EnvSpec:
    """Gymnasium's record of an id, `module:id` included. Raises UserError with the nearest ids."""
    module, _, name = env_id.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise UserError(
                f"--env {env_id}: the module {module!r} cannot be imported ({describe(error)}); "
                "expected package.module:Id-v0 with a package that Python finds"
            ) from error
    elif name.startswith("ALE/"):
        _register_atari(env_id)
    if name in gymnasium.registry:
        return gymnasium.registry[name]
    known = {known.lower(): known for known in sorted(gymnasium.registry)}
    near = [known[match] for match in difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)]
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else "--env takes a registered Gymnasium id or package.module:Id-v0"
    )
    raise UserError(f"unknown environment {env_id!r}: {hint}")


def _register_atari(env_id: str) -> None:
    if importlib.util.find_spec("ale_py") is None:
        raise UserError(f"{env_id} needs the Atari extra: {_install('atari')}")
    importlib.import_module("ale_py")  # registers them


def _install(extra: str) -> str:
    return f"pip install 'agent-gym[{extra}]'"


def _why_not(backend: str, spec: EnvSpec, env_kwargs: dict[str, Any]) -> str:
    """Why a backend cannot run an environment; "" if it can."""
    if backend == "native":
        if spec.id not in NATIVE:
            return f"no native version (there is one of {', '.join(NATIVE)})"
        return "the native version takes no --env-kwargs" if env_kwargs and spec.id not in FAMILIES else ""
    if backend == "envpool":
        if importlib.util.find_spec("envpool") is None:
            return f"EnvPool is not installed: {_install('envpool')}"
        from agent_gym.envs.adapters.envpool_env import has

        return "" if has(_pool_id(spec)) else "EnvPool has no environment of this id"
    return ""


def _choose(spec: EnvSpec, num_envs: int, env_kwargs: dict[str, Any]) -> tuple[str, str]:
    """The fastest backend that runs this environment with the same dynamics, and why."""
    if not _why_not("native", spec, env_kwargs):
        return "native", "it has a native tensor version"
    if atari.is_atari(spec):
        return "gymnasium", "ale-py steps games in its own threads"
    if spec.id not in SAME_IN_ENVPOOL:
        return "gymnasium", "no faster backend is known to have the same environment"
    if env_kwargs:
        return "gymnasium", "--env-kwargs is given, which EnvPool may read differently"
    if num_envs < ENVPOOL_FROM:
        return "gymnasium", f"EnvPool is faster from {ENVPOOL_FROM} environments on"
    missing = _why_not("envpool", spec, env_kwargs)
    if missing:
        return "gymnasium", f"{missing}; it would be faster"
    return "envpool", "EnvPool has the same environment and is faster"


def _build(backend: str, spec: EnvSpec, num_envs: int, env_kwargs: dict, device: Any, seed: int) -> VectorEnv:
    if backend == "native":
        return NativeVectorEnv(native_core(spec.id, env_kwargs), num_envs, device, seed)
    make = functools.partial(_make_single, spec, env_kwargs, None)
    if backend == "async":
        return WorkerEnv(make, num_envs, spec.id, device)
    first = make()
    if backend == "envpool":
        from agent_gym.envs.adapters.envpool_env import EnvPoolEnv

        pool_kwargs = atari.envpool_kwargs(spec, env_kwargs) if atari.is_atari(spec) else env_kwargs
        env = EnvPoolEnv(first, num_envs, pool_kwargs, device, _pool_id(spec))
        first.close()
        return env
    make_vector = functools.partial(_vector_entry_point, spec, first, num_envs, env_kwargs)
    vector = None if backend == "sync" else make_vector()
    if vector is not None:
        first.close()
        return VectorAdapter(vector, spec.id, device, make=make_vector)
    return SyncEnv([first, *(make() for _ in range(num_envs - 1))], spec.id, device, make)


def _frame_stack(single: gymnasium.Env, env: VectorEnv) -> int:
    """Frames in each image of an observation; 1 unless a wrapper that nothing outside of it changes stacks them."""
    layer, stack = single, 1
    while isinstance(layer, gymnasium.Wrapper) and layer.observation_space == single.observation_space:
        if isinstance(layer, atari.Preprocessing):
            stack = layer.options.stack
            break
        if isinstance(layer, FrameStackObservation):
            stack = layer.stack_size
            break
        layer = layer.env
    single.close()
    is_image = isinstance(env.obs_space, gymnasium.spaces.Box) and env.obs_space.dtype == np.uint8
    return stack if is_image and env.obs_space.shape[0] == stack else 1


def _vector_entry_point(spec: EnvSpec, single: gymnasium.Env, num_envs: int, env_kwargs: dict) -> Any:
    """The environment's own vector version if it has one that shows the same spaces; else None."""
    if spec.vector_entry_point is None or spec.additional_wrappers:
        return None
    if atari.is_atari(spec):
        return atari.make_vector(spec, num_envs, env_kwargs)
    vector = gymnasium.make_vec(spec.id, num_envs, "vector_entry_point", **env_kwargs)
    same_obs = vector.single_observation_space == single.observation_space
    if same_obs and vector.single_action_space == single.action_space:
        return vector
    vector.close()
    return None


def _make_single(spec: EnvSpec, env_kwargs: dict[str, Any], render_mode: str | None) -> gymnasium.Env:
    kwargs = {**env_kwargs, **({"render_mode": render_mode} if render_mode else {})}
    try:
        if atari.is_atari(spec):
            return atari.make_atari(spec, env_kwargs, render_mode)
        if "mujoco" in str(spec.entry_point):
            _tame_mujoco()
        return gymnasium.make(spec, disable_env_checker=True, **kwargs)
    except UserError:
        raise
    except Exception as error:
        given = atari.split_kwargs(spec, env_kwargs)[1] if atari.is_atari(spec) else env_kwargs
        raise UserError(_explain(spec, given, error)) from error


def _pool_id(spec: EnvSpec) -> str:
    """What EnvPool calls the environment."""
    return spec.id.removeprefix("ALE/")


@functools.cache
def _tame_mujoco() -> None:
    """Make MuJoCo warn in Python's way, and not at all about Gymnasium's old model files, once for each environment."""
    import mujoco

    mujoco.set_mju_user_warning(lambda text: None if "deprecated" in text else warnings.warn(text, stacklevel=2))


def _explain(spec: EnvSpec, env_kwargs: dict[str, Any], error: Exception) -> str:
    """One line that says why an environment could not be made and what to do."""
    wrong = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if wrong:
        takes = ", ".join(_parameters(spec)) or "none"
        return f"{spec.id} takes no argument {wrong[1]!r}: --env-kwargs holds {env_kwargs}, it may hold {takes}"
    if isinstance(error, ImportError | gymnasium.error.DependencyNotInstalled):
        for part, extra in EXTRAS.items():
            if part in str(spec.entry_point) and importlib.util.find_spec(_package(part)) is None:
                return f"{spec.id} needs the {extra} extra: {_install(extra)}"
    cause = f" with --env-kwargs {env_kwargs}" if env_kwargs else ""
    return f"{spec.id} could not be made{cause}: {describe(error)}"


def _package(part: str) -> str:
    return "Box2D" if part == "box2d" else part


def _parameters(spec: EnvSpec) -> list[str]:
    creator = spec.entry_point if callable(spec.entry_point) else load_env_creator(spec.entry_point)
    creator = FAMILIES.get(spec.id, creator)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(creator).parameters.values()
    return [p.name for p in parameters if p.kind in named and p.name != "render_mode"]
