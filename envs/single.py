"""One environment of an id, as Gymnasium makes it, or the line that says why not and what to do."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import re
from importlib import metadata
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

import agent_gym.envs  # noqa: F401  registers AgentGym/…
from agent_gym.envs.adapters import atari, mujoco  # noqa: F401  register their families
from agent_gym.envs.adapters.boundary.checks import OLD_GYM
from agent_gym.envs.adapters.singles import describe, spaces_of
from agent_gym.envs.adapters.workers import counting_threads
from agent_gym.envs.family import announce, family_of, install, locate, missing_extra
from agent_gym.envs.layers import Layers
from agent_gym.envs.multi_agent import zoo  # noqa: F401  registers its family
from agent_gym.envs.native.core import FAMILIES, NATIVE
from agent_gym.ground.errors import UserError
from agent_gym.ground.libraries import rounding_depends_on

rounding_depends_on("Box2D", "box2d")

NO_LAYERS = Layers()


def make_single(
    env_id: str,
    env_kwargs: dict[str, Any] | None = None,
    render_mode: str | None = None,
    layers: Layers = NO_LAYERS,
) -> gymnasium.Env:
    """Gymnasium's own environment, for evaluation and pictures. Raises UserError."""
    return build(find_spec(env_id), env_kwargs or {}, layers, render_mode)


def opening(
    env_id: str, env_kwargs: dict[str, Any] | None = None, layers: Layers = NO_LAYERS, training: bool = False
) -> tuple[tuple[gymnasium.Space, gymnasium.Space], gymnasium.Env | None]:
    """Observation and action space, and the first environment where one had to be made to see them, for `make_env`.

    Environments may be dear, or one may be all there can be: it is made once. Raises UserError.
    """
    spec, env_kwargs = find_spec(env_id), env_kwargs or {}
    if spec.id in NATIVE and not layers.flag and (not env_kwargs or spec.id in FAMILIES):
        core = FAMILIES.get(spec.id, lambda: NATIVE[spec.id])(**env_kwargs)
        return (core.obs_space, core.action_space), None
    given = family_of(spec).for_training(env_kwargs) if training else env_kwargs
    first = counting_threads(functools.partial(build, spec, given, layers, None))
    return spaces_of(first, spec.id), first


def build(spec: EnvSpec, env_kwargs: dict[str, Any], layers: Layers, render_mode: str | None) -> gymnasium.Env:
    """One environment of a record, in its layers. Raises UserError."""
    options = {"render_mode": render_mode} if render_mode else {}
    if layers.max_episode_steps:
        options["max_episode_steps"] = layers.max_episode_steps
    try:
        env = family_of(spec).make(spec, env_kwargs, **options)
    except UserError:
        raise
    except Exception as error:
        raise UserError(explain(spec, family_of(spec).own_kwargs(spec, env_kwargs), error)) from error
    return layers.around(env)


def find_spec(env_id: str) -> EnvSpec:
    """Gymnasium's record of an id, `module:id` included. Raises UserError with the nearest ids."""
    module, _, name = env_id.rpartition(":")
    if module:
        mujoco.choose_gl()
        try:
            importlib.import_module(module)
        except Exception as error:
            if (spec := locate(module, name)) is not None:
                return spec
            raise UserError(
                f"--env {env_id}: the module {module!r} cannot be imported ({describe(error)}); "
                "expected package.module:Id-v0 with a package that Python finds"
            ) from error
    else:
        announce(name)
    if name in gymnasium.registry:
        return gymnasium.registry[name]
    if module and (spec := locate(module, name)) is not None:
        return spec
    known = {known.lower(): known for known in sorted(gymnasium.registry)}
    near = [known[match] for match in difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)]
    near = [one for one in near if _alike(one, name)]
    near = [f"{module}:{one}" if module and _is_of(gymnasium.registry[one], module) else one for one in near]
    if not module and (package := _package_named_in(name)):
        near = [f"{package}:{name}", *near][:3]
    expected = "--env takes a registered Gymnasium id or package.module:Id-v0"
    hint = f"did you mean {' or '.join(near)}?" if near else expected
    raise UserError(f"unknown environment {env_id!r}: {hint}")


def _alike(one: str, other: str) -> bool:
    """Whether two ids are near without their versions: a "-v0" in common makes strangers look related."""
    one, other = (re.sub(r"-v\d+$", "", name.lower()) for name in (one, other))
    return difflib.SequenceMatcher(None, one, other).ratio() >= 0.6


def _is_of(spec: EnvSpec, module: str) -> bool:
    """Whether an environment's code is of the package of `module`, which registers it then."""
    where = spec.entry_point if isinstance(spec.entry_point, str) else getattr(spec.entry_point, "__module__", "")
    return re.split("[.:]", where)[0] == module.split(".")[0]


def _package_named_in(name: str) -> str:
    """An installed package that builds on Gymnasium and is called as the id begins; "" if there is none."""
    package = re.split("[-/]", name)[0].lower()
    try:
        needs = metadata.requires(package) or []
    except (metadata.PackageNotFoundError, ValueError):
        return ""
    return package if any(re.match(r"gymnasium\b", need) for need in needs) else ""


def explain(spec: EnvSpec, env_kwargs: dict[str, Any], error: Exception) -> str:
    """One line that says why an environment could not be made and what to do."""
    wrong = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if wrong and wrong[1] == "render_mode" and wrong[1] not in env_kwargs:
        return f"{spec.id} cannot be drawn: its __init__ takes no render_mode; expected __init__(…, render_mode=None)"
    if wrong:
        takes = ", ".join(_parameters(spec)) or "none"
        return f"{spec.id} takes no argument {wrong[1]!r}: --env-kwargs holds {env_kwargs}, it may hold {takes}"
    if isinstance(error, ImportError | gymnasium.error.DependencyNotInstalled):
        extra = missing_extra(spec)
        if extra:
            return f"{spec.id} needs the {extra} extra: {install(extra)}"
    if "must inherit from the gymnasium.Env class" in str(error):
        return f"{spec.id} is no gymnasium.Env: {_what_else(str(error))}"
    cause = f" with --env-kwargs {env_kwargs}" if env_kwargs else ""
    return f"{spec.id} could not be made{cause}: {describe(error)}"


def _what_else(text: str) -> str:
    """What to do about an environment of another kind, of which `text` names the class."""
    if "pettingzoo" in text:
        return (
            "it is one of PettingZoo, for several agents: give --env the module and the name of its class, as in "
            "pettingzoo.classic:connect_four_v3"
        )
    if re.search(r"\bgym\.", text):
        return OLD_GYM
    return "expected a subclass of gymnasium.Env from its entry point"


def _parameters(spec: EnvSpec) -> list[str]:
    creator = spec.entry_point if callable(spec.entry_point) else load_env_creator(spec.entry_point)
    creator = FAMILIES.get(spec.id, creator)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(creator).parameters.values()
    return [p.name for p in parameters if p.kind in named and p.name != "render_mode"]
