"""Policies of runs as players of two-player games: matches, and opponents of environments."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agent_gym.agents.settings.base import parse_kwargs
from agent_gym.composing.saved import Saved, open_saved
from agent_gym.composing.sources import NamedSource
from agent_gym.envs.games.game import GAMES, Game, find_game
from agent_gym.envs.games.match import Match, elo_difference, play_match
from agent_gym.envs.games.players import OPPONENTS, Player, draw_legal, is_named, make_player
from agent_gym.envs.multi_agent.joint import JointEnv
from agent_gym.envs.multi_agent.seat import Rival, row
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_map

OPENING = 2  # random moves before each pair of games of two runs, since both always play alike


def policy_player(policy: Any, game: Game, name: str) -> Player:
    """A policy that takes its most likely action; where that is not legal, a random one. Raises UserError."""
    if policy.state_dim:
        raise UserError(f"{name} has a memory, and matches are for players that look at the board alone")

    def play(state: Tensor, generator: torch.Generator) -> Tensor:
        obs, legal = game.observe(state), game.mask(state)
        reset = torch.ones(len(obs), dtype=torch.bool, device=obs.device)
        action = policy.act(obs, policy.initial_state(len(obs)), reset, legal)[0]
        allowed = legal.gather(1, action.unsqueeze(1)).squeeze(1)
        return action if allowed.all() else torch.where(allowed, action, draw_legal(legal, generator))

    return play


def rules_of(saved: Saved, asked_by: str) -> Game:
    """The game of a run. Raises UserError."""
    return find_game(saved.config.env, parse_kwargs(saved.config.env_kwargs), asked_by)


BEING_OPENED: list[Path] = []
"""Runs whose policies are just being made: one that names itself as its own opponent, perhaps through others."""


def opened(path: Path, device: torch.device | str, checkpoint: str) -> Saved:
    """A run that is to be an opponent. Raises UserError."""
    place = path.resolve()
    if place in BEING_OPENED:
        raise UserError(
            f"{path} names itself as the opponent of its own environment, and says nothing of its spaces without that: "
            'give its config another "opponent" in env_kwargs, such as random'
        )
    BEING_OPENED.append(place)
    try:
        return open_saved(path, checkpoint, device)
    finally:
        BEING_OPENED.remove(place)


def run_player(game: Game, path: Path, device: torch.device | str, checkpoint: str = "best") -> Player:
    """The policy of a run at a game. Raises UserError where it has learned another."""
    saved = opened(path, device, checkpoint)
    own = rules_of(saved, "an opponent from a run")
    if own.rules != game.rules:
        raise UserError(f"{path} has learned {own.rules}, and this is {game.rules}: take a run of the same game")
    return policy_player(saved.policy, game, str(path))


def run_rival(path: Path) -> Rival:
    """The policy of a run in the seats of an environment of many agents. Raises UserError."""
    policy = opened(path, "cpu", "best").policy
    if policy.state_dim:
        raise UserError(f"{path} has a memory, and an opponent has to do without: take a run with --encoder mlp or cnn")

    def act(joint: JointEnv, agent: int, rng: np.random.Generator) -> np.ndarray:
        here = (policy.obs_space, joint.cast.obs_space), (policy.action_space, joint.cast.action_space)
        for what, (learned, found) in zip(("observations", "actions"), here, strict=True):
            if learned != found:
                raise UserError(f"{path} was trained with {what} {learned}, and {joint.cast.env_id} has {found}")
        obs = tree_map(lambda part: torch.as_tensor(part).unsqueeze(0), row(joint, agent))
        mask = None if joint.legal is None else torch.from_numpy(joint.legal[agent : agent + 1] > 0)
        action, *_ = policy.act(obs, policy.initial_state(1), torch.ones(1, dtype=torch.bool), mask)
        return action[0].numpy()

    return act


def find_player(game: Game, name: str, device: torch.device | str, checkpoint: str = "best") -> Player:
    """A player by name, or the one of a run directory. Raises UserError."""
    if is_named(name):
        return make_player(game, name)
    if not Path(name).is_dir():
        raise UserError(f"{name!r} is no player: expected {OPPONENTS}, or the directory of a run")
    return run_player(game, Path(name), device, checkpoint)


def duel(saved: Saved, path: Path, against: str, games: int, seed: int, checkpoint: str = "best") -> dict[str, Any]:
    """The match of a run with `against`, both with either colour, as plain data. Raises UserError."""
    game, device = rules_of(saved, "--against"), saved.policy.device
    player, other = policy_player(saved.policy, game, str(path)), find_player(game, against, device, checkpoint)
    generator = torch.Generator(device).manual_seed(seed)
    opening = 0 if is_named(against) else OPENING
    match = play_match(game, player, other, games, generator, device=device, opening=opening)
    return {"env": saved.config.env, "agent": saved.name, "against": against} | numbers(match)


def against_itself(source: Any, path: Path) -> Any:
    """The environments of a run, in a two-player game with the run itself as opponent unless another was asked for."""
    name, kwargs = source.id.rpartition(":")[2], getattr(source, "kwargs", {})
    if name not in GAMES or "opponent" in kwargs or not path.is_dir():
        return source
    return NamedSource(replace(source.config, env_kwargs=json.dumps({**kwargs, "opponent": str(path)})))


def numbers(match: Match) -> dict[str, Any]:
    """A match as plain data; what is infinite or unknown is None."""
    low, high = match.interval()
    found = {
        "score": match.score,
        "score_ci95": [low, high],
        "score_as_first": match.as_first,
        "score_as_second": match.as_second,
        "elo_difference": elo_difference(match.score),
        "elo_ci95": [elo_difference(low), elo_difference(high)],
    }
    counts = {"episodes": match.games, "wins": match.wins, "draws": match.draws, "losses": match.losses}
    return counts | {name: _finite(value) for name, value in found.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return value if math.isfinite(value) else None


def text(result: dict[str, Any]) -> str:
    """A match as a line for the terminal."""
    low, high = result["score_ci95"]
    points = "beyond measure" if result["elo_difference"] is None else f"{result['elo_difference']:+.0f}"
    sides = ", ".join(
        f"{100 * result[key]:.0f} % {name}"
        for key, name in (("score_as_first", "beginning"), ("score_as_second", "second"))
        if result[key] is not None
    )
    return (
        f"{result['agent']} against {result['against']} on {result['env']}: {result['wins']} won, "
        f"{result['draws']} drawn, {result['losses']} lost of {result['episodes']}; "
        f"score {100 * result['score']:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}; {sides}), "
        f"Elo difference {points}"
    )
