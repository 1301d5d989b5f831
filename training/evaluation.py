"""Scoring: a fixed quota of episodes per environment, so that short episodes are not over-counted."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from agent_gym.ground.errors import Interrupted, UserError
from agent_gym.ground.tree import tree_leaves, tree_map
from agent_gym.training.score import Score

EQUAL = 5  # episodes that are enough where all are the same
LONGEST = 10_000  # steps of an episode that is cut: at least these,
TIMES = 10  # and so many times the longest in training
BEYOND = 10**6


def episode_limit(asked: int, own: int | None, longest: float) -> int:
    """Steps after which an episode is cut: as asked, else never where the environment has a limit of its own.

    One of more than BEYOND steps is none: nobody waits for it.
    """
    return asked or (0 if own and own <= BEYOND else max(LONGEST, TIMES * int(longest)))


@dataclass
class Watch:
    """Who looks on while episodes are played."""

    interrupted: Callable[[], bool] = lambda: False
    """Asked at every step whether to stop."""
    tell: Callable[[int, int], None] = lambda finished, episodes: None
    """Told after every step how many of the episodes are finished."""
    say: Callable[[str], None] = lambda text: None
    """Takes a line for the reader, who sees it once."""


class Repetition:
    """Whether the episodes of all environments are the same so far, step by step."""

    def __init__(self, possible: bool, num_envs: int) -> None:
        self.possible = possible
        self.running = [0] * num_envs  # a checksum of the episode under way
        self.seen: list[int] = []  # of the finished ones

    def saw(self, obs: Any, reward: np.ndarray, ends: np.ndarray) -> None:
        if not self.possible:
            return
        parts = [leaf.cpu().numpy().reshape(len(self.running), -1) for leaf in tree_leaves(obs)]
        for b in range(len(self.running)):
            for part in (reward, *parts):
                self.running[b] = zlib.crc32(np.ascontiguousarray(part[b]).tobytes(), self.running[b])
            if ends[b]:
                self.end(b)
        all_alike = len(set(self.seen)) <= 1
        self.possible = all_alike and (bool(self.seen) or len(set(self.running)) == 1)

    def end(self, b: int) -> None:
        self.seen.append(self.running[b])
        self.running[b] = 0

    def enough(self) -> bool:
        return self.possible and len(self.seen) >= EQUAL


@dataclass
class _Tally:
    """Episodes under way and finished, of each environment."""

    quota: np.ndarray  # [B]
    members: int = 1
    """Agents of each environment."""
    returns: np.ndarray = field(init=False)  # [B, members]
    lengths: np.ndarray = field(init=False)
    finished: list[list[tuple[np.ndarray, int, float]]] = field(init=False)
    cut: int = 0

    def __post_init__(self) -> None:
        count = len(self.quota)
        self.returns, self.lengths = np.zeros((count, self.members)), np.zeros(count, dtype=np.int64)
        self.finished = [[] for _ in range(count)]

    def wanted(self, b: int) -> bool:
        return len(self.finished[b]) < self.quota[b]

    def open(self) -> list[int]:
        return [b for b in range(len(self.quota)) if self.wanted(b)]

    def count(self) -> int:
        return sum(map(len, self.finished))

    def end(self, b: int, *, counts: bool, cut: bool = False, success: float = np.nan) -> None:
        if counts and self.wanted(b):
            self.finished[b].append((self.returns[b].copy(), int(self.lengths[b]), success))
            self.cut += cut
        self.returns[b], self.lengths[b] = 0.0, 0

    def episodes(self) -> Iterator[tuple[np.ndarray, int, float]]:
        return (episode for one in self.finished for episode in one)


@torch.no_grad()
def play(
    policy,
    env,
    episodes: int,
    *,
    seed: int,
    explore: bool = False,
    max_steps: int = 0,
    budget: int = 0,
    watch: Watch | None = None,
) -> Score:
    """Play `episodes` episodes with `policy.act` in the vector environment `env`; `explore` draws, from `seed`.

    An episode of many agents counts once, with the sum of their returns. Environment b plays episodes // num_envs of
    them, the first few one more. An episode that a failure of its environment cut short is not counted; another is
    played for it, as often as there are episodes. Episodes are cut after `max_steps` and, all that are running, after
    `budget` steps of all environments (0: never). Fewer are played where the first ones are the same step by step.
    Raises Interrupted when `watch` says so, and UserError where not one episode comes to its end for failures.
    """
    watch = watch or Watch()
    env.interrupted = watch.interrupted
    try:
        return _play(policy, env, episodes, seed, explore, max_steps, budget, watch)
    finally:
        env.interrupted = None


def _play(policy, env, episodes: int, seed: int, explore: bool, max_steps: int, budget: int, watch: Watch) -> Score:
    rows, count = env.num_envs, env.num_envs // env.members
    tally = _Tally(np.array([episodes // count + (b < episodes % count) for b in range(count)]), env.members)
    obs, state = env.reset(seed), policy.initial_state(rows)
    reset = torch.ones(rows, dtype=torch.bool, device=env.device)
    there = getattr(policy, "device", env.device)  # the networks may be on another device
    generator = torch.Generator(there).manual_seed(seed)
    same = Repetition(not explore and episodes > EQUAL, count)
    failed = steps = 0
    while tally.open() and failed < episodes:
        if watch.interrupted():
            raise Interrupted
        watch.tell(tally.count(), episodes)
        acts = env.acts
        seen = tree_map(lambda x: x.to(there), {"obs": obs, "reset": reset})
        mask = None if env.mask is None else env.mask.to(there)
        action, after, _ = policy.act(seen["obs"], state, seen["reset"], mask, explore=explore, generator=generator)
        step = env.step(action)
        steps += count
        state = after if acts is None else torch.where(acts.to(there).unsqueeze(1), after, state)
        ended = step.terminated | step.truncated
        obs, reset = step.obs, ended if acts is None else ended | (reset & ~acts)
        real = np.ones(count, dtype=bool)
        if step.valid is not None:
            real = step.valid.cpu().numpy()[:: env.members]
            reset = reset | ~step.valid
        reward = np.where(real[:, None], step.reward.double().cpu().numpy().reshape(count, -1), 0.0)
        tally.returns += reward
        tally.lengths += real
        ends = (ended if env.over is None else env.over).cpu().numpy()
        same.saw(step.final_obs, reward, ends)
        told = step.info.success if step.info and ends.any() else None
        success = np.full(count, np.nan) if told is None else told.double().cpu().numpy()[:: env.members]
        for b in np.flatnonzero(ends):
            failed += int(not real[b])
            tally.end(b, counts=bool(real[b]), success=float(success[b]))
        over = [b for b in tally.open() if max_steps and tally.lengths[b] >= max_steps]
        for b in over:
            tally.end(b, counts=True, cut=True)
            same.end(b)
        if over and tally.open():
            obs, reset = _begin_again(env, over, tally, seed + steps, obs, reset)
        if budget and steps >= budget:
            for b in tally.open():
                tally.end(b, counts=tally.lengths[b] > 0, cut=True)
            break
        if same.enough():
            break
    return _score(tally, same, failed, steps, env.names)


def _begin_again(env, rows: list[int], tally: _Tally, seed: int, obs: Any, reset: torch.Tensor):
    """New episodes in `rows`, whose old ones were cut; where the environment cannot, they play no more."""
    if (fresh := env.begin_again(rows, seed)) is None:
        tally.quota[rows] = [len(tally.finished[b]) for b in rows]
        return obs, reset
    reset = reset.clone().view(-1, env.members)
    reset[rows] = True
    return fresh, reset.flatten()


def _score(tally: _Tally, same: Repetition, failed: int, steps: int, names: tuple[str, ...]) -> Score:
    played = list(tally.episodes())
    repeats, cut = same.enough(), tally.cut
    if repeats:
        played, cut = played[:EQUAL], min(cut, EQUAL)
    if not played:
        raise UserError(
            f"the environment failed {failed} times in the evaluation and no episode came to its end: there is nothing "
            "to score"
        )
    returns, lengths, successes = (np.array(part) for part in zip(*played, strict=True))
    by_agent = dict(zip(names, returns.T, strict=True)) if names else {}
    return Score(returns.sum(1), lengths, cut, failed, repeats, steps, by_agent, successes)
