"""What a user puts around an environment: wrappers, a stack of frames, another time limit."""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import gymnasium
from gymnasium.wrappers import FrameStackObservation

from agent_gym.envs.adapters.singles import describe
from agent_gym.envs.conventions.masks import take_mask
from agent_gym.envs.conventions.wrappers import Images, TakeParts, WeighRewards
from agent_gym.envs.origin import wrapper_name
from agent_gym.ground.errors import UserError

EXAMPLE = "--wrapper package.module:Name or --wrapper 'Name {\"argument\": 1}', a bare name being one of Gymnasium's"


@dataclass(frozen=True)
class Layers:
    """From the inside to the outside: the parts `obs_keys` of the observation, images in grey and in another size,
    weighed rewards, `wrapper` in order, then a stack of the last `frame_stack` observations."""

    wrapper: tuple[str, ...] = ()
    """Each package.module:Name or the bare name of one of gymnasium.wrappers, with its arguments as JSON behind it."""
    frame_stack: int = 1
    """Observations in each one that is seen."""
    max_episode_steps: int = 0
    """Steps after which an episode is truncated, in place of the environment's own limit; 0: its own."""
    action_mask: str = "auto"
    """Where masks of actions are looked for."""
    obs_keys: tuple[str, ...] = ()
    resize: tuple[int, ...] = ()
    grayscale: bool = False
    reward_weights: tuple[float, ...] = ()

    @classmethod
    def of(cls, settings: Any) -> Layers:
        """Those that settings of the same names ask for."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    def __post_init__(self) -> None:
        if len(self.resize) not in (0, 1, 2) or any(size < 1 for size in self.resize):
            text = " ".join(map(str, self.resize))
            raise UserError(f"--resize {text}: expected height and width in pixels, or one number for both")
        if self.frame_stack < 1 or self.max_episode_steps < 0:
            raise UserError(
                f"--frame-stack {self.frame_stack} --max-episode-steps {self.max_episode_steps}: expected 1 or more, "
                "and 0 or more"
            )

    @property
    def flag(self) -> str:
        """A flag that changes more than the time limit; "" if none does."""
        changing = ("wrapper", "obs_keys", "resize", "grayscale", "reward_weights")
        name = next((name for name in changing if getattr(self, name)), "frame_stack" if self.frame_stack > 1 else "")
        if not name and self.action_mask != "auto":
            name = "action_mask"
        return f"--{name.replace('_', '-')}" if name else ""

    def around(self, env: gymnasium.Env) -> gymnasium.Env:
        """The environment with wrappers and stack. Raises UserError."""
        env = take_mask(env, self.action_mask)
        if self.obs_keys:
            env = TakeParts(env, self.obs_keys)
        if self.resize or self.grayscale:
            env = Images(env, self.resize * 2 if len(self.resize) == 1 else self.resize, self.grayscale)
        if self.reward_weights:
            env = WeighRewards(env, self.reward_weights)
        for text in self.wrapper:
            env = wrap(env, text)
        env = take_mask(env, self.action_mask)
        return FrameStackObservation(env, self.frame_stack) if self.frame_stack > 1 else env


def wrap(env: gymnasium.Env, text: str) -> gymnasium.Env:
    """The environment in one wrapper as --wrapper names it. Raises UserError."""
    name, args, kwargs = parse(text)
    wrapper = find(name)
    try:
        wrapped = wrapper(env, *args, **kwargs)
    except Exception as error:
        takes = _parameters(wrapper)
        raise UserError(
            f"--wrapper {text}: it could not be put around the environment ({describe(error)})"
            + (f"; its arguments are {takes}" if isinstance(error, TypeError) and takes else "")
        ) from error
    if not isinstance(wrapped, gymnasium.Env):
        raise UserError(f"--wrapper {text}: it gave a {type(wrapped).__name__}, expected a gymnasium.Env")
    return wrapped


def parse(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Name and arguments of a wrapper: an object gives them by name, a list in order. Raises UserError."""
    start = min((at for at in map(text.find, "{[") if at >= 0), default=len(text))
    name, given = wrapper_name(text), text[start:].strip()
    if not name:
        raise UserError(f"--wrapper {text!r} names none: expected {EXAMPLE}")
    if not given:
        return name, [], {}
    try:
        value = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise UserError(f"--wrapper {text}: its arguments are no JSON ({error}): expected {EXAMPLE}") from None
    return (name, value, {}) if isinstance(value, list) else (name, [], value)


def find(name: str) -> Callable[..., gymnasium.Env]:
    """The wrapper of this name. Raises UserError."""
    module_name, _, attribute = name.rpartition(":")
    if not module_name:
        known = [n for n, part in vars(gymnasium.wrappers).items() if isinstance(part, type)]
        if attribute in known:
            return getattr(gymnasium.wrappers, attribute)
        raise UserError(f"--wrapper {name}: gymnasium.wrappers has none of this name{_near(attribute, known)}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise UserError(
            f"--wrapper {name}: the module {module_name!r} cannot be imported ({describe(error)})"
        ) from error
    found = getattr(module, attribute, None)
    if callable(found):
        return found
    known = [n for n, part in vars(module).items() if isinstance(part, type) and issubclass(part, gymnasium.Wrapper)]
    raise UserError(f"--wrapper {name}: {module_name} has no {attribute!r}{_near(attribute, known)}")


def _near(name: str, known: list[str]) -> str:
    lower = {k.lower(): k for k in known}
    near = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    return f"; did you mean {' or '.join(near)}?" if near else f"; expected {EXAMPLE}"


def _parameters(wrapper: Callable) -> str:
    try:
        names = list(inspect.signature(wrapper).parameters)[1:]
    except (TypeError, ValueError):
        return ""
    return ", ".join(names) or "none"
