"""A policy in each seat of an environment of many agents, against others who do not learn."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from agent_gym.agents.settings.base import parse_kwargs
from agent_gym.composing.saved import Saved
from agent_gym.composing.scores.playing import score
from agent_gym.composing.sources import NamedSource
from agent_gym.training.score import bootstrap_interval


def among(saved: Saved, against: str, episodes: int, seed: int, names: list[str]) -> dict[str, Any]:
    """What the policy gets in the seats `names`, each in its share of the episodes, as plain data. Raises UserError.

    A won episode is one with a return above 0, a lost one below.
    """
    config, returns = saved.config, {}
    for number, name in enumerate(names):
        share = episodes // len(names) + (number < episodes % len(names))
        if share:
            kwargs = parse_kwargs(config.env_kwargs) | {"opponent": against, "side": name}
            source = NamedSource(replace(config, env_kwargs=json.dumps(kwargs), eval_kwargs="{}"))
            returns[name] = score(saved.policy, source, share, seed=seed).returns
    whole = np.concatenate(list(returns.values()))
    wins, losses = int((whole > 0).sum()), int((whole < 0).sum())
    draws = len(whole) - wins - losses
    return {
        "env": config.env,
        "agent": saved.name,
        "against": against,
        "episodes": len(whole),
        "wins": wins,
        "draws": draws,
        "losses": losses,
        "score": (wins + draws / 2) / len(whole),
        "return_mean": float(whole.mean()),
        "return_ci95": list(bootstrap_interval(whole)),
        "agents": {name: {"episodes": len(own), "return_mean": float(own.mean())} for name, own in returns.items()},
    }


def seats_of(config: Any) -> list[str]:
    """The agents of an environment of many, by name; [] for one of a single agent."""
    source = NamedSource(config)
    if not source.family.many:
        return []
    single = NamedSource(replace(config, env_kwargs=json.dumps(everyone(config)))).single()
    single.close()
    return list(single.unwrapped.cast.agents)


def everyone(config: Any) -> dict[str, Any]:
    """The arguments of the environment without those that put one agent among others."""
    return {key: value for key, value in parse_kwargs(config.env_kwargs).items() if key not in ("opponent", "side")}


def text(result: dict[str, Any]) -> str:
    """The result as a line for the terminal."""
    low, high = result["return_ci95"]
    seats = ", ".join(f"{name} {own['return_mean']:.2f}" for name, own in result["agents"].items())
    return (
        f"{result['agent']} against {result['against']} in {result['env']}: {result['wins']} won, {result['draws']} "
        f"drawn, {result['losses']} lost of {result['episodes']}; score {100 * result['score']:.1f} %; return "
        f"{result['return_mean']:.2f} (95 % interval {low:.2f} to {high:.2f}; {seats})"
    )
