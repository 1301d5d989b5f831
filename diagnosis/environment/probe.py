"""Play an environment with simple rules, and say in numbers what it is like."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np

from agent_gym.diagnosis.environment import measures, trials
from agent_gym.diagnosis.environment.actions import describe_actions
from agent_gym.diagnosis.environment.context import ends_told, episodes_differ
from agent_gym.diagnosis.environment.episodes import Broken, Episode, Player, always, held, random_actions
from agent_gym.diagnosis.environment.memory import history_helps, rewards_recall

LONGEST = 3000  # steps of an episode that is given up
HOLD = 5  # steps for which every second episode holds an action


def probe(
    make: Callable[[], gymnasium.Env],
    *,
    episodes: int = 20,
    max_steps: int = 8000,
    seconds: float = 20.0,
    limit: int | None = None,
    seed: int = 1,
) -> dict[str, Any]:
    """What is found, as plain data; parts that could not be seen are left out.

    Plays `episodes` random episodes, but no more than `max_steps` steps or `seconds` in all. `limit`: the time limit
    that the environment is registered with. "problems" are violations of Gymnasium's interface, in words.
    """
    found: dict[str, Any] = {"problems": []}
    try:
        env = make()
    except Exception as error:
        found["problems"].append(f"it could not be made: {error}")
        return found
    try:
        player = Player(env)
        _look(player, found, episodes, max_steps, seconds, limit, seed)
    except Broken as broken:
        found["problems"].append(str(broken))
    finally:
        with suppress(Exception):  # closing is not what is judged here
            env.close()
    return found


def _look(
    player: Player, found: dict, episodes: int, max_steps: int, seconds: float, limit: int | None, seed: int
) -> None:
    env = player.env
    space, began = env.action_space, time.perf_counter()
    found["actions"] = describe_actions(space)
    draw = random_actions(space)
    played: list[Episode] = []
    longest = min(limit or LONGEST, LONGEST, max_steps)
    while len(played) < episodes:
        left = max_steps - player.steps
        if played and (left < 10 or time.perf_counter() - began > seconds / 2):
            break
        choose = held(draw, HOLD) if len(played) % 2 else draw
        played.append(player.play(choose, seed + len(played), min(longest, left)))
    found["beyond"] = player.beyond
    if player.beyond > measures.SLIGHTLY:
        found["problems"].append(
            f"{player.outside} of {player.steps + len(played)} observations are not in the observation space "
            f"{' '.join(str(env.observation_space).split())[:80]} (its bounds, shape or dtype)"
        )
    found["obs"] = measures.observations(played, env.observation_space)
    found["reward"] = measures.rewards(played)
    whole = [e for e in played if e.ended or len(e) >= longest]
    found["ends"] = measures.ends(whole or played, limit)
    found["ends"]["cut"] = float(np.mean([not e.ended and len(e) >= longest for e in whole])) if whole else 0.0
    found["ends"]["watched"] = longest
    pure = [e for n, e in enumerate(played) if n % 2 == 0 and (e.ended or len(e) >= longest)]
    if pure:
        returns = [sum(e.reward) for e in pure]
        found["random_return"], found["random_std"] = float(np.mean(returns)), float(np.std(returns))
    found["steps_per_second"] = player.steps / max(player.seconds, 1e-9)
    found["repeats"], found["goes_on"] = trials.repeats(player, seed)
    if found["repeats"]:
        found["effect"] = trials.effect(player, seed)
        if found["effect"]["obs"]:
            found["saturates"] = trials.saturates(player, seed)
    if not found["obs"].get("image") and player.keep is None and not found["obs"]["nonfinite"]:
        found["memory"] = history_helps(played)
        found["recall"] = rewards_recall(played)
        found["context"] = episodes_differ(played)
        found["ends"]["told"] = ends_told(played)
    found["baselines"] = {}
    for name, action in trials.constants(space).items():
        if time.perf_counter() - began > seconds:
            break
        scores = [sum(player.play(always(action), seed + 100 + k, longest).reward) for k in range(3)]
        found["baselines"][name] = float(np.mean(scores))
