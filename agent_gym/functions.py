"""Scoring and environments as functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_gym.agent import Agent
from agent_gym.algorithms import load


def evaluate(agent: Agent | str | Path, episodes: int = 100, **how: Any) -> dict[str, Any]:
    """The score of an agent, a run directory or a saved file: a dict with the fields of `evaluate.py --json`."""
    return (agent if isinstance(agent, Agent) else load(agent)).evaluate(episodes, **how)


def make_env(env_id: str, num_envs: int = 1, **options: Any) -> Any:
    """A vector environment as agents learn in it: tensors, autoreset in the same step (envs/vector.py)."""
    from agent_gym.envs.make import make_env as make

    return make(env_id, num_envs, **options)


def check(env: Any, episodes: int = 20) -> Any:
    """What is wrong with an environment (an id, a class, a function, a gymnasium.Env), what it is like, what to type.

    The result has `findings`, `facts`, `proposal` and `plain()`; printed, it reads as `agent-gym check` does.
    """
    from agent_gym.composing.looking.checking import check_env

    return check_env(env, episodes=episodes)
