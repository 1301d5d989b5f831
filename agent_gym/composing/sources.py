"""Where an agent's environments come from: an id, or what a program hands over."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import torch

from agent_gym.agents.settings.base import AgentConfig, parse_kwargs
from agent_gym.composing.registry import check_modules
from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.conventions.masks import take_mask
from agent_gym.envs.failures import Recovery
from agent_gym.envs.games import players
from agent_gym.envs.games.game import Game
from agent_gym.envs.games.players import Player
from agent_gym.envs.layers import Layers
from agent_gym.envs.make import family, is_atari, make_env, make_single, native_core, scoring_backend, step_limit
from agent_gym.envs.multi_agent import seat
from agent_gym.envs.multi_agent.seat import Rival
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError, one_line
from agent_gym.nets.ranks import RANKS


def _run_player(game: Game, name: str) -> Player:
    from agent_gym.composing.seats.duels import run_player  # which opens runs, and so comes here

    return run_player(game, Path(name), "cpu")


def _run_rival(name: str) -> Rival:
    from agent_gym.composing.seats.duels import run_rival

    return run_rival(Path(name))


players.RUN_PLAYERS[:] = [_run_player]
seat.RUN_RIVALS[:] = [_run_rival]


class NamedSource:
    """Environments by their id, as the settings name them. Raises UserError where they cannot be made."""

    handed_over = False
    """A program has given what makes the environments, or one itself."""
    lent = False
    """Those to learn from belong to the program, which closes them."""

    def __init__(self, config: AgentConfig) -> None:
        self.config, self.id = config, config.env
        self.layers = Layers.of(config)
        self.shared = config.eval_env == "shared"
        """Scores are played in the environments that are learned from, because there are no others."""
        self.samples = is_atari(config.env)
        """Scores are played with drawn actions."""
        self.kwargs = config.make_kwargs(self.samples)
        self.family = family(config.env)
        if getattr(config, "central_value", False) and not self.family.many:
            raise UserError(
                f"--central-value is for environments of many agents, such as mpe2:simple_spread_v3, and {config.env} "
                "has one"
            )
        self.eval_kwargs = self.kwargs | parse_kwargs(config.eval_kwargs, "--eval-kwargs")
        """Arguments of the environments that scores are played in."""
        self.step_limit = step_limit(config.env, self.kwargs, self.layers)
        """Steps after which the environments themselves end an episode, where that is known."""
        self.native = native_core(config.env, self.kwargs) is not None and not self.layers.flag

    def training(self, device: torch.device, report: Callable) -> VectorEnv:
        """The environments to learn from."""
        config = self.config  # what will not be opened again is not trained
        made_of = {"env": config.env, "wrapper": config.wrapper, "encoder": config.encoder}
        check_modules(made_of, Path(config.run_dir or "runs/new"))
        options = {"backend": config.backend, "training": True, "first": OPENED.pop(key(config), None)}
        return self._make(RANKS.share(config.num_envs, "--num-envs"), device, report, **options)

    @property
    def at_once(self) -> int:
        """Environments to play a final score in; those that have a native version cost little."""
        return 100 if self.native else few(self.config.num_envs)

    def scoring(self, num_envs: int, device: torch.device, report: Callable, *, final: bool = True) -> VectorEnv:
        """Environments to play scores in: Gymnasium's own for a final one, else the fastest that are the same."""
        backend = "native" if self.native and not final else "sync" if self.layers.flag else scoring_backend(self.id)
        return self._make(num_envs, device, report, backend=backend, env_kwargs=self.eval_kwargs)

    def single(self, render_mode: str | None = None) -> gymnasium.Env:
        """One environment of Gymnasium's kind, for pictures."""
        return make_single(self.id, self.kwargs, render_mode, self.layers)

    def rows(self, env: VectorEnv, single: gymnasium.Env) -> VectorEnv:
        """What a policy plays, given a vector of such environments; `single` is one of them."""
        return self.family.rows(env, single)

    def plain(self) -> dict:
        """The settings as plain data, to be stored."""
        return self.config.plain(self.samples)

    def _make(self, num_envs: int, device: torch.device, report: Callable, **options: Any) -> VectorEnv:
        config = self.config
        common = {"env_kwargs": self.kwargs, "device": device, "seed": config.seed, "on_error": config.on_env_error}
        common |= {"layers": self.layers, "strict_obs": config.strict_obs}
        return make_env(self.id, num_envs, report=report, **common | options)


def few(num_envs: int) -> int:
    """Environments for scores beside `num_envs` to learn from: where those are few, they may be dear."""
    return min(25, 8 * num_envs)


OPENED: dict[tuple, gymnasium.Env] = {}
"""By `key`: an environment that was made to see its actions, to be one of those that are learned from."""


def key(config: AgentConfig) -> tuple:
    """What an environment is made of."""
    return (config.env, config.env_kwargs, getattr(config, "central_value", False), Layers.of(config))


class GivenSource:
    """Environments from a class, a function without arguments, or objects: what Python programs have.

    A `gymnasium.Env` or `gymnasium.vector.VectorEnv` that is handed over is never closed. Where its own record
    (`env.spec`) can make it again, scores are played in new ones, otherwise in itself between two rollouts.
    """

    samples, native, handed_over = False, False, True

    def __init__(self, given: Any, config: AgentConfig) -> None:
        self.config, self.id, self.given = config, config.env, given
        require_open(given)
        self.maker = maker_of(given)
        self.lent = isinstance(given, gymnasium.Env | gymnasium.vector.VectorEnv)
        self.shared = self.maker is None
        self.at_once = few(config.num_envs)
        self.step_limit = getattr(getattr(given, "spec", None), "max_episode_steps", None)
        self.vector = given if isinstance(given, gymnasium.vector.VectorEnv) else None

    def training(self, device: torch.device, report: Callable) -> VectorEnv:
        config = self.config
        if self.vector is not None:
            env = VectorAdapter(self.vector, self.id, device, masks=config.action_mask)
        elif isinstance(self.given, gymnasium.Env):
            env = self._several([self.given], device)
        else:
            env = self._several([self._made() for _ in range(config.num_envs)], device)
        env.keep_record()
        return self._watched(env, report, "handed over")

    def scoring(self, num_envs: int, device: torch.device, report: Callable, *, final: bool = True) -> VectorEnv:
        made = [self._made() for _ in range(num_envs)]
        return self._watched(self._several(made, device), report, "handed over")

    def _several(self, envs: list[gymnasium.Env], device: torch.device) -> SyncEnv:
        mode = self.config.action_mask
        return SyncEnv([take_mask(env, mode) for env in envs], self.id, device, self._made_and_masked, mode)

    def _made_and_masked(self) -> gymnasium.Env:
        return take_mask(self._made(), self.config.action_mask)

    def single(self, render_mode: str | None = None) -> gymnasium.Env:
        return take_mask(self._single(render_mode), self.config.action_mask)

    def _single(self, render_mode: str | None) -> gymnasium.Env:
        if self.maker is None:
            if render_mode is None or getattr(self.given, "render_mode", None) == render_mode:
                return self.given
            raise UserError(
                f"{self.id} was handed over without pictures: make it with render_mode={render_mode!r} first"
            )
        if render_mode is None:
            return self._made()
        try:
            return self.maker(render_mode=render_mode)
        except TypeError:
            return self._made()

    def rows(self, env: VectorEnv, single: gymnasium.Env) -> VectorEnv:
        return env

    def plain(self) -> dict:
        return {name: value for name, value in asdict(self.config).items() if name != "atari"}

    def _made(self) -> gymnasium.Env:
        try:
            env = self.maker()
        except Exception as error:  # whatever a user's class raises
            raise UserError(f"{self.id} could not be made ({type(error).__name__}: {one_line(error, 200)})") from error
        if not isinstance(env, gymnasium.Env):
            raise UserError(f"env gave {type(env).__name__}: expected a gymnasium.Env")
        return env

    def _watched(self, env: VectorEnv, report: Callable, choice: str) -> VectorEnv:
        env.choice = choice
        env.recovery = Recovery(self.id, self.config.on_env_error == "restart" and self.maker is not None, report)
        return env


def require_open(given: Any) -> None:
    """Raise UserError for what makes no environment, and for one that has been closed, where Gymnasium notes it."""
    maker_of(given)
    inner = given
    while isinstance(inner, gymnasium.Wrapper) and not getattr(inner, "close_called", False):
        inner = inner.env
    noted = (getattr(inner, "closed", False), getattr(inner, "close_called", False))
    if isinstance(inner, gymnasium.Env | gymnasium.vector.VectorEnv) and True in noted:
        raise UserError(f"{name_of(given)} is closed: hand over an environment that is open, or what makes one")


def maker_of(given: Any) -> Callable[..., gymnasium.Env] | None:
    """What makes another environment like `given`; None where nothing can. Raises UserError for what is none."""
    if isinstance(given, gymnasium.vector.VectorEnv):
        return None
    if isinstance(given, gymnasium.Env):
        spec = given.spec
        if spec is None or spec.entry_point is None:
            return None
        return partial(gymnasium.make, spec, disable_env_checker=True)
    if callable(given):
        return given
    raise UserError(
        f"env {type(given).__name__}: expected an id, a class, a function without arguments, a gymnasium.Env or a "
        "gymnasium.vector.VectorEnv"
    )


def name_of(given: Any) -> str:
    """What an environment that is handed over is called."""
    if isinstance(given, gymnasium.Env | gymnasium.vector.VectorEnv):
        spec = given.spec
        return spec.id if spec is not None else type(given.unwrapped).__name__
    return getattr(given, "__name__", type(given).__name__)


def plain_kwargs(value: Any) -> str | None:
    """Arguments of an environment as the JSON of --env-kwargs; None where they are no JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return None
