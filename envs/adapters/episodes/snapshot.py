"""The state of an environment as plain data: its own state functions where it has some, else all its attributes.

What is kept is text (JSON), so that opening a stranger's checkpoint runs no code. Only what is understood to the last
attribute is kept: an environment that holds anything else (a physics engine, an open file) has no snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import gymnasium

from agent_gym.envs.adapters.episodes.plain import OWN, Unknown, full_name
from agent_gym.envs.adapters.episodes.reader import Reader
from agent_gym.envs.adapters.episodes.writer import Writer

LARGEST = 2**23  # characters of one environment


def has_own(env: gymnasium.Env) -> bool:
    """Whether the environment has `state_dict()` and `load_state_dict(state)`, or a part that is kept as these are."""
    inner = env.unwrapped
    parts = (full_name(value) for value in vars(inner).values())
    return hasattr(inner, "state_dict") and hasattr(inner, "load_state_dict") or any(part in OWN for part in parts)


def take(env: gymnasium.Env) -> str:
    """The environment's state; "" where it holds anything that cannot be kept."""
    try:
        text = json.dumps(Writer(env).all())
    except Exception:  # whatever foreign objects raise when they are looked at: no snapshot, and the run goes on
        return ""
    return text if len(text) <= LARGEST else ""


def put_back(env: gymnasium.Env, text: str) -> None:
    """Bring an environment like the one it was taken from to that state. Raises ValueError where it does not get there.

    It may then be anywhere, and is to be reset.
    """
    try:
        Reader(env).all(json.loads(text))
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise Unknown(f"the snapshot does not fit: {error}") from error
    if take(env) != text:
        raise Unknown("the environment did not take its state back")


def take_all(envs: Sequence[gymnasium.Env | None]) -> list[str]:
    """The state of each; empty where one of them cannot be taken."""
    taken: list[str] = []
    for env in envs:
        text = "" if env is None else take(env)
        if not text:
            return []
        taken.append(text)
    return taken


def put_all_back(envs: Sequence[gymnasium.Env | None], taken: list[str]) -> bool:
    """Bring each there; False where one does not get there."""
    if len(taken) != len(envs) or None in envs:
        return False
    try:
        for env, text in zip(envs, taken, strict=True):
            put_back(env, text)
    except ValueError:
        return False
    return True
