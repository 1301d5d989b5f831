"""What is searched: a range or choices for each setting, checked before anything is trained. Imports no torch."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

from agent_gym.composing.registry import kind_of
from agent_gym.ground.errors import UserError, nearest, one_line
from agent_gym.ground.plain import fitted_fields, short
from agent_gym.ground.settings import check_effects

TABLE = Path(__file__).with_name("spaces.toml")
KEYS = {"low", "high", "log", "step"}
BESIDE = ("seed", "run_dir", "quiet", "verbose", "summary", "total_steps", "epochs", "env", "data")
FORM = "{low: 1e-4, high: 1e-2, log: true}, or a list of choices such as [32, 64, 128]"


class Draws(Protocol):
    """Optuna's trial, as far as it is asked."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool, step: int) -> int: ...

    def suggest_categorical(self, name: str, choices: list) -> Any: ...


@dataclass(frozen=True)
class Span:
    """A range of numbers, both ends in it."""

    low: float
    high: float
    log: bool = False
    step: int = 1
    """Of whole numbers."""

    def draw(self, trial: Draws, name: str) -> int | float:
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log, step=self.step)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def ends(self) -> list:
        return [self.low, self.high]


@dataclass(frozen=True)
class Choice:
    """Values to choose from."""

    values: tuple

    def draw(self, trial: Draws, name: str) -> Any:
        return read(trial.suggest_categorical(name, [written(value) for value in self.values]))

    def ends(self) -> list:
        return list(self.values)


Space = dict[str, Span | Choice]


def written(value: Any) -> Any:
    """A choice as Optuna stores it, which knows no lists."""
    return json.dumps(value) if isinstance(value, list) else value


def read(value: Any) -> Any:
    """A stored choice; a tuple where it was a list, as settings hold."""
    return json.loads(value) if isinstance(value, str) and value.startswith("[") else value


def built_in(name: str, config: Any) -> Space:
    """The space for an agent or task. Raises UserError where there is none."""
    table = tomllib.loads(TABLE.read_text("utf-8"))
    wanted = table[kind_of(name)] | table.get(name, {})
    if table["choices"].keys() & {field.name for field in fields(config)} and acts_by_choices(config):
        wanted |= table["choices"]
    known = {field.name for field in fields(config)}
    space = {}
    for setting, what in wanted.items():
        if what is False or setting not in known:
            continue
        try:
            check_effects(config, {setting})
        except UserError:  # it changes nothing with these settings
            continue
        space |= space_of({setting: what}, config, "the built-in space")
    if not space:
        raise UserError(f"{name} has no built-in space: give one with --space space.yaml")
    return space


def acts_by_choices(config: Any) -> bool:
    """Whether the actions of the environment hold no numbers. Raises UserError where there is no such environment."""
    from gymnasium import spaces

    from agent_gym.agents.settings.base import parse_kwargs
    from agent_gym.envs.layers import Layers
    from agent_gym.envs.single import opening

    (_, actions), env = opening(config.env, parse_kwargs(config.env_kwargs), Layers.of(config))
    if env is not None:
        env.close()
    return isinstance(actions, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary)


def read_space(path: Path, config: Any) -> Space:
    """The space in a YAML file. Raises UserError."""
    return space_of(read_yaml(path, "--space"), config, str(path))


def read_yaml(path: Path, flag: str) -> dict:
    """The mapping in a YAML file. Raises UserError."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{flag} {path} cannot be read ({one_line(error, 100)}): give the name of a YAML file"
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{flag} {path} is not YAML ({one_line(error, 160)})") from None
    if not isinstance(found, dict) or not found:
        raise UserError(f"{flag} {path} holds {short(found)}: expected a mapping of settings")
    return found


def space_of(plain: dict, config: Any, origin: str) -> Space:
    """A space from plain data, every end and every choice tried on the settings. Raises UserError."""
    known = {field.name for field in fields(config)} - set(BESIDE)
    space: Space = {}
    for name, what in plain.items():
        name = str(name).replace("-", "_")
        if name not in known:
            raise UserError(f"{origin}: there is no setting {short(name)} to search{nearest(name, known)}")
        space[name] = choice(name, what, origin) if isinstance(what, list | tuple) else span(name, what, config, origin)
        for value in space[name].ends():
            try:
                replace(config, **fitted(config, name, value))
            except (TypeError, UserError) as error:
                raise UserError(f"{origin}: {name} cannot be {short(value)}: {one_line(error, 200)}") from None
    return space


def fitted(config: Any, name: str, value: Any) -> dict[str, Any]:
    """A value as the settings hold it. Raises TypeError."""
    return fitted_fields(type(config), {name: value})


def choice(name: str, values: Any, origin: str) -> Choice:
    values = [list(value) if isinstance(value, tuple) else number(value) for value in values]
    if not values or len({json.dumps(value, default=str) for value in values}) < len(values):
        raise UserError(f"{origin}: {name} has {'no choices' if not values else 'a choice twice'}: expected {FORM}")
    return Choice(tuple(values))


def span(name: str, what: Any, config: Any, origin: str) -> Span:
    if not isinstance(what, dict) or not {"low", "high"} <= what.keys() <= KEYS:
        raise UserError(f"{origin}: {name} is {short(str(what))}: expected {FORM}")
    low, high, log, step = number(what["low"]), number(what["high"]), what.get("log", False), what.get("step", 1)
    finite = all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in (low, high))
    if not finite or low >= high or (log and low <= 0) or not isinstance(log, bool):
        raise UserError(
            f"{origin}: {name} from {short(low)} to {short(high)}{' in logarithms' * (log is True)}: expected numbers, "
            f"the lower first{', above 0' * (log is True)}"
        )
    whole = type(getattr(config, name)) is int
    if not isinstance(step, int) or step < 1 or (step > 1 and (log or not whole)):
        raise UserError(
            f"{origin}: {name} has step {short(step)}: steps are whole numbers, of whole numbers without log"
        )
    if whole and low == int(low) and high == int(high):
        return Span(int(low), int(high), log, step)
    return Span(float(low), float(high), log)


def number(value: Any) -> Any:
    """YAML takes 1e-4 for a word, because it has no point."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def plain(space: Space) -> dict:
    """As plain data, from which `space_of` makes it again."""
    return {
        name: list(what.values) if isinstance(what, Choice) else {"low": what.low, "high": what.high, "log": what.log}
        for name, what in space.items()
    }
