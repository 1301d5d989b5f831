"""An environment before training: agent-gym check ENV [--episodes N] [--json]."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Annotated

import tyro

from agent_gym.commands.line.flags import read_flags
from agent_gym.commands.line.messages import reported
from agent_gym.commands.line.raw import together
from agent_gym.ground.settings import NOT_NEGATIVE, Count, check_ranges
from agent_gym.ground.stdout import reserved_stdout


@dataclass(frozen=True)
class CheckConfig:
    """Play random and repeated actions in an environment, and say what is wrong with it and what to type."""

    env: tyro.conf.Positional[str]
    """Gymnasium id of the environment, or package.module:Id-v0."""
    episodes: Count = 20
    """Random episodes."""
    env_kwargs: str = "{}"
    """Arguments of the environment, as JSON."""
    wrapper: tuple[str, ...] = ()
    """package.module:Name to put around the environment, or a bare name of gymnasium.wrappers."""
    frame_stack: Count = 1
    """Latest observations that are seen together."""
    max_episode_steps: Annotated[int, NOT_NEGATIVE] = 0
    """Steps after which an episode is truncated; 0: the environment's own limit."""
    obs_keys: tuple[str, ...] = ()
    """Parts of a Dict observation that are seen; none: all."""
    reward_weights: tuple[float, ...] = ()
    """What each part of a vector of rewards counts."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def __post_init__(self) -> None:
        check_ranges(self)


@reported
def main(argv: list[str]) -> int:
    args = read_flags(CheckConfig, together(argv, "--wrapper"), prog="agent-gym check")[0]
    settings = {f.name: getattr(args, f.name) for f in fields(args) if f.name not in ("env", "episodes", "json")}
    defaults = CheckConfig(env="")
    settings = {name: value for name, value in settings.items() if value != getattr(defaults, name)}
    with reserved_stdout() if args.json else nullcontext():
        from agent_gym.composing.looking.checking import check_env  # with what plays

        checked = check_env(args.env, episodes=args.episodes, settings=settings)
    print(json.dumps(checked.plain()) if args.json else checked)
    return 0
