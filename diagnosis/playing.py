"""Episodes of a trained policy, played as it is scored and as it explores, and what they say in numbers."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agent_gym.diagnosis.environment.measures import different
from agent_gym.ground.tree import tree_map

AT_BOUND = 0.98  # of half the range of an action: from there on it is saturated
KEPT = 512  # observations for measuring the networks


@torch.no_grad()
def play_facts(
    policy: Any,
    env: Any,
    *,
    gamma: float,
    chance: dict[str, Any] | None = None,
    steps: int = 4000,
    seconds: float = 8.0,
    seed: int = 12_345,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts of greedy and of sampled play in the vector environment `env`, at most `steps` steps each, and a batch of
    what was seen: obs, state, reset, each [B, ...].

    "value" is what the policy expects of an episode's first observation, "achieved" the discounted return that
    followed: at a time limit with the mean reward going on. "different" is the share of observations that differ, as
    in `chance`, which is what random play says of observations (measures.observations).
    """
    found: dict[str, Any] = {}
    batch: dict[str, Any] = {}
    for name, explore in (("greedy", False), ("sampled", True)):
        facts, kept = _play(policy, env, gamma, explore, steps, seconds / 2, seed, every="mean" in (chance or {}))
        found[name] = facts | {"different": _different([obs for obs, _, _ in kept], chance or {})}
        batch = batch or _batch(kept)
    return found, batch


def _different(seen: list[Any], chance: dict[str, Any]) -> float | None:
    """The share of the observations, a list of [B, ...], that differ; None where that cannot be compared."""
    if not isinstance(seen[0], Tensor) or "mean" not in chance:
        return None
    x = torch.cat(seen).cpu().double().flatten(1) if seen[0].dim() > 1 else torch.cat(seen).cpu().double().unsqueeze(1)
    mean, std = np.asarray(chance["mean"]), np.asarray(chance["std"])
    if x.shape[1] != len(mean):
        if not (x.shape[1] == 1 and seen[0].dtype == torch.int64):
            return None
        mean, std = np.zeros(1), np.ones(1)  # the number of one of the entries
    return different(x.numpy(), mean, std)


def _play(
    policy: Any, env: Any, gamma: float, explore: bool, steps: int, seconds: float, seed: int, every: bool
) -> tuple[dict[str, Any], list[tuple[Any, Tensor, Tensor]]]:
    """Facts, and (obs, state, reset) of each step, or of the first ones unless `every`."""
    count, began = env.num_envs, time.perf_counter()
    generator = torch.Generator(env.device).manual_seed(seed)
    obs, state = env.reset(seed), policy.initial_state(count)
    reset = torch.ones(count, dtype=torch.bool, device=env.device)
    running = [_Running() for _ in range(count)]
    finished: list[_Running] = []
    actions, kept = [], []
    for t in range(max(steps // count, 1)):
        if time.perf_counter() - began > seconds and t > 50:
            break
        for b in (b for b in range(count) if running[b].length == 0 and running[b].value is None):
            value = policy.inspect(obs, state, reset, env.mask).get("value")
            if value is None:
                break
            for k in range(count):
                if running[k].length == 0:
                    running[k].value = float(value[k])
            del b
            break
        if every or len(kept) * count < KEPT:
            kept.append((tree_map(torch.clone, obs), state, reset))
        action, state, _ = policy.act(obs, state, reset, env.mask, explore=explore, generator=generator)
        step = env.step(action)
        actions.append(action.detach().cpu().double())
        reward = step.reward.double().cpu().tolist()
        terminated, truncated = step.terminated.tolist(), step.truncated.tolist()
        valid = [True] * count if step.valid is None else step.valid.tolist()
        for b in range(count):
            if valid[b]:
                running[b].add(reward[b])
            if terminated[b] or truncated[b]:
                running[b].terminated = terminated[b]
                if running[b].length and valid[b]:
                    finished.append(running[b])
                running[b] = _Running()
        obs, reset = step.obs, step.terminated | step.truncated
    return _facts(env, finished, running, actions, gamma), kept


class _Running:
    """An episode under way."""

    def __init__(self) -> None:
        self.rewards: list[float] = []
        self.value: float | None = None
        self.terminated = False

    def add(self, reward: float) -> None:
        self.rewards.append(reward)

    @property
    def length(self) -> int:
        return len(self.rewards)

    def discounted(self, gamma: float) -> float:
        r = np.asarray(self.rewards)
        total = float((r * gamma ** np.arange(len(r))).sum())
        if not self.terminated and gamma < 1.0:
            total += float(gamma ** len(r) * r[-50:].mean() / (1.0 - gamma))
        return total


def _facts(env: Any, finished: list[_Running], running: list[_Running], actions: list[Tensor], gamma: float) -> dict:
    found: dict[str, Any] = {"episodes": len(finished)}
    if finished:
        returns = [sum(e.rewards) for e in finished]
        found |= {"return_mean": float(np.mean(returns)), "return_std": float(np.std(returns))}
        found |= {"length_mean": float(np.mean([e.length for e in finished]))}
        found["terminated"] = float(np.mean([e.terminated for e in finished]))
    valued = [e for e in finished + [r for r in running if r.length > 20] if e.value is not None]
    if valued:
        found["value"] = float(np.mean([e.value for e in valued]))
        achieved = [e.discounted(gamma) for e in valued]
        found["achieved"], found["achieved_max"] = float(np.mean(achieved)), float(np.max(achieved))
        found["reward_size"] = float(np.mean([abs(r) for e in valued for r in e.rewards[:200]]))
        if len(valued) > 4 and np.std([e.value for e in valued]) > 0 and np.std(achieved) > 0:
            found["value_fits"] = float(np.corrcoef([e.value for e in valued], achieved)[0, 1])
    played = torch.cat([a.reshape(len(a), -1) for a in actions]).numpy()
    space = env.action_space
    if hasattr(space, "n"):
        _, counts = np.unique(played, return_counts=True)
        found["commonest_action"] = float(counts.max() / counts.sum())
        found["actions_used"] = len(counts)
        found["actions"] = int(space.n)
    elif hasattr(space, "high") and np.isfinite(space.high).all() and np.isfinite(space.low).all():
        low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
        place = (2.0 * played - high - low) / np.maximum(high - low, 1e-12)
        found["at_bound"] = float((np.abs(place) >= AT_BOUND).mean())
        found["at_one_bound"] = float(max((place >= AT_BOUND).mean(), (place <= -AT_BOUND).mean()))
        found["action_std"] = float(place.std(0).mean())
    return found


def _batch(kept: list[tuple]) -> dict[str, Any]:
    """KEPT observations, evenly chosen among the steps."""
    obs, state, reset = zip(*kept[:: max(len(kept) * len(kept[0][2]) // KEPT, 1)], strict=True)
    return {"obs": _cat(obs), "state": torch.cat(state)[:KEPT], "reset": torch.cat(reset)[:KEPT]}


def _cat(parts: tuple) -> Any:
    if isinstance(parts[0], dict):
        return {key: _cat(tuple(part[key] for part in parts)) for key in parts[0]}
    return torch.cat(parts)[:KEPT]
