"""Families of environments that want more than `gymnasium.make`: each registers itself, and nothing else knows them."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError


class Family:
    """How a family differs from the rest; here: not at all. A subclass overrides what it needs."""

    name = ""
    """Also that of the group of flags that its environments take, such as --atari.…"""
    package, extra = "", ""
    """The package that registers its ids, and the extra of this project that brings it."""
    many = False
    """Whether several agents play in each environment."""
    samples = False
    """Whether evaluation draws actions: a fixed one can keep an episode from ever starting."""
    why_gymnasium = ""
    """Why Gymnasium's interface is the fastest there is; "": it may not be."""

    def claims(self, spec: EnvSpec) -> bool:
        """Whether the environment is one of it."""
        return False

    def announces(self, name: str) -> bool:
        """Whether an id that nobody has registered yet can only be one of it."""
        return False

    def register(self) -> None:
        """Have its ids registered."""
        importlib.import_module(self.package)

    def locate(self, module: str, name: str) -> EnvSpec | None:
        """The record of what stands behind module:name and nobody has registered, if it is one of it."""
        return None

    def rows(self, env: VectorEnv, single: gymnasium.Env) -> VectorEnv:
        """What agents learn from, given a vector of such environments; `single` is one of them."""
        return env

    def for_training(self, env_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments that help learning and falsify scores."""
        return env_kwargs

    def own_kwargs(self, spec: EnvSpec, env_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Those that the environment itself takes, as the user gave them. Raises UserError."""
        return env_kwargs

    def make(self, spec: EnvSpec, env_kwargs: dict[str, Any], **options: Any) -> gymnasium.Env:
        """One environment; `options` are those of `gymnasium.make`."""
        return gymnasium.make(spec, disable_env_checker=True, **env_kwargs, **options)

    def make_vector(
        self, spec: EnvSpec, num_envs: int, env_kwargs: dict[str, Any]
    ) -> gymnasium.vector.VectorEnv | None:
        """A vector environment of its own; None where it has none for these arguments."""
        return gymnasium.make_vec(spec.id, num_envs, "vector_entry_point", **env_kwargs)

    def envpool_kwargs(self, spec: EnvSpec, env_kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments in EnvPool's words."""
        return env_kwargs

    def step_limit(self, spec: EnvSpec, env_kwargs: dict[str, Any]) -> int | None:
        """Steps after which an episode ends by itself, as far as its registration says."""
        return spec.max_episode_steps

    def frames(self, layer: gymnasium.Env) -> int:
        """Frames that a wrapper of the family stacks in each observation; 0: it is none of those."""
        return 0


EXTRAS = (("box2d", "Box2D", "box2d"), ("mujoco", "mujoco", "mujoco"), ("ale_py", "ale_py", "atari"))
"""Part of an entry point, the package that it needs, the extra of this project that brings it."""
PLAIN = Family()
FAMILIES: list[Family] = []


def register(family: Family) -> Family:
    """Make a family known; the first that claims an environment has it."""
    FAMILIES.append(family)
    return family


def family_of(spec: EnvSpec) -> Family:
    """The family of an environment, PLAIN for most."""
    return next((family for family in FAMILIES if family.claims(spec)), PLAIN)


def locate(module: str, name: str) -> EnvSpec | None:
    """What a family makes of module:name; None where none knows it. Raises UserError."""
    return next((spec for family in FAMILIES if (spec := family.locate(module, name)) is not None), None)


def announce(env_id: str) -> None:
    """Have an id registered by its family. Raises UserError where the package of that is missing."""
    for family in FAMILIES:
        if family.announces(env_id):
            if importlib.util.find_spec(family.package) is None:
                raise UserError(f"{env_id} needs the {family.extra} extra: {install(family.extra)}")
            family.register()


def missing_extra(spec: EnvSpec) -> str:
    """The extra that an environment needs and that is not installed; "" if there is none."""
    for part, package, extra in EXTRAS:
        if part in str(spec.entry_point) and importlib.util.find_spec(package) is None:
            return extra
    return ""


def install(extra: str) -> str:
    """The line that installs an extra."""
    return f"pip install 'agent-gym[{extra}]'"
