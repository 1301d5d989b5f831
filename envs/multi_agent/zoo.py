"""PettingZoo: environments of many agents, by the module and the name of what makes them."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from agent_gym.envs.adapters.singles import describe
from agent_gym.envs.family import Family, install, register
from agent_gym.envs.multi_agent.joint import JointEnv
from agent_gym.envs.multi_agent.rows import RowsEnv
from agent_gym.envs.multi_agent.seat import SeatEnv
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError, nearest

MOVED = {"pettingzoo.mpe": "mpe2"}  # packages whose environments live elsewhere now
PACKAGES = ("pettingzoo", "mpe2")
MAKERS = ("parallel_env", "env")  # what makes one, in a module of PettingZoo's kind; agents that act at once come first


def make_many(
    maker: Any,
    env_id: str,
    *,
    share: str = "auto",
    agent_id: bool = False,
    central_state: bool = False,
    opponent: str = "",
    side: str = "random",
    **env_kwargs: Any,
) -> gymnasium.Env:
    """One environment: of all agents together, or of one agent among `opponent`s. Raises UserError."""
    if side != "random" and not opponent:
        raise UserError('"side" says where the agent sits among others: --env-kwargs takes it with "opponent"')
    made = maker(**env_kwargs)
    if not hasattr(made, "possible_agents") and not hasattr(made, "agent_iter"):
        raise UserError(
            f"{env_id} gave a {type(made).__name__}: expected an environment of PettingZoo, AEC or parallel"
        )
    joint = JointEnv(made, env_id, share, agent_id, central_state)
    return SeatEnv(joint, opponent, side) if opponent else joint


def maker_in(owner: Any, name: str) -> Any:
    """What makes the environments of `owner`, a module, or of the module or class `name` in it; None: it has none.

    A stored run names what is called here, so only modules that deal with PettingZoo are asked.
    """
    found = getattr(owner, name, None) if name else owner
    if inspect.ismodule(found):
        found, owner = next((getattr(found, key) for key in MAKERS if callable(getattr(found, key, None))), None), found
    return found if callable(found) and _deals_with_pettingzoo(owner) else None


def _deals_with_pettingzoo(module: Any) -> bool:
    """Whether a module holds environments of PettingZoo's classes, or parts of PettingZoo."""
    if importlib.util.find_spec("pettingzoo") is None:
        return False
    from pettingzoo import AECEnv, ParallelEnv

    def is_part(value: Any) -> bool:
        if inspect.isclass(value) and issubclass(value, AECEnv | ParallelEnv):
            return True
        home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        return isinstance(home, str) and home.partition(".")[0] == "pettingzoo"

    return any(is_part(value) for value in vars(module).values())


def signature_of(maker: Any) -> inspect.Signature:
    """What --env-kwargs may hold: the arguments of `maker`, or of the class that it makes, and our own."""
    raw = getattr(inspect.getmodule(maker), "raw_env", maker)
    takes = list(inspect.signature(maker).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in takes):
        takes += inspect.signature(raw).parameters.values()
    ours = [p for p in inspect.signature(make_many).parameters.values() if p.kind is p.KEYWORD_ONLY]
    named = {
        p.name: p.replace(kind=p.KEYWORD_ONLY)
        for p in (*takes, *ours)
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    return inspect.Signature(list(named.values()))


class Zoo(Family):
    """Environments of PettingZoo's kind, of its packages or of anybody's module."""

    name = "pettingzoo"
    package, extra = "pettingzoo", "multi-agent"
    many = True

    def claims(self, spec: EnvSpec) -> bool:
        return getattr(spec.entry_point, "func", None) is make_many

    def locate(self, module: str, name: str) -> EnvSpec | None:
        home = MOVED.get(module, module)
        env_id, package = f"{home}:{name}", home.partition(".")[0]
        if package in PACKAGES and importlib.util.find_spec(package) is None:
            raise UserError(f"{module}:{name} needs the {self.extra} extra: {install(self.extra)}")
        if env_id in gymnasium.registry:
            return gymnasium.registry[env_id]
        maker = self._maker(home, name, package in PACKAGES)
        if maker is None:
            return None
        entry_point = functools.partial(make_many, maker, env_id)
        entry_point.__signature__ = signature_of(maker)  # what a line about a wrong argument lists
        gymnasium.register(env_id, entry_point=entry_point)
        return gymnasium.registry[env_id]

    def _maker(self, module: str, name: str, known: bool) -> Any:
        """Raises UserError where an environment that there is cannot be imported; `known`: of PettingZoo itself."""
        whole = f"{module}.{name}"
        try:
            within = importlib.util.find_spec(whole) is not None
        except (ImportError, ValueError):  # the module is no package, or there is none
            within = False
        if known and not within:
            names = _names_in(module)
            hint = nearest(name, names) or (f": expected one of {', '.join(names)}" if names else "")
            raise UserError(f"unknown environment '{module}:{name}'{hint}")
        try:
            owner = importlib.import_module(whole if within else module)
        except Exception as error:  # whatever a package that lacks its own needs raises
            if not within:
                return None
            raise UserError(
                f"--env {module}:{name} cannot be imported ({describe(error)}); {install(self.extra)} brings what "
                "PettingZoo's own environments need"
            ) from error
        return maker_in(owner, "" if within else name)

    def rows(self, env: VectorEnv, single: gymnasium.Env) -> VectorEnv:
        layer = single.unwrapped
        if isinstance(layer, SeatEnv):
            return env
        if single.observation_space != layer.observation_space or single.action_space != layer.action_space:
            env.close()
            raise UserError(
                f"{env.id} has many agents: --wrapper and --frame-stack are for environments of one; wrap the "
                "environment itself in one of pettingzoo.utils.wrappers"
            )
        return RowsEnv(env, layer.cast)


def _names_in(module: str) -> list[str]:
    """The environments of one of PettingZoo's packages."""
    try:
        places = importlib.util.find_spec(module).submodule_search_locations or []
    except (ImportError, AttributeError, ValueError):
        return []
    return sorted(path.stem for place in places for path in Path(place).glob("*_v[0-9]*.py"))


register(Zoo())
