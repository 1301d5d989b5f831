"""Scoring: a fixed quota of episodes per environment, so that short episodes are not over-counted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch


class Score(NamedTuple):
    """Undiscounted returns [K] and lengths [K] of K episodes."""

    returns: np.ndarray
    lengths: np.ndarray

    def summary(self) -> dict:
        """Mean, standard deviation, interquartile mean and 95 % bootstrap interval of the mean."""
        lo, hi = bootstrap_interval(self.returns)
        return {
            "episodes": len(self.returns),
            "return_mean": float(self.returns.mean()),
            "return_std": float(self.returns.std()),
            "return_iqm": interquartile_mean(self.returns),
            "return_ci95": [lo, hi],
            "length_mean": float(self.lengths.mean()),
        }

    def text(self) -> str:
        """The summary as a line for the terminal."""
        lo, hi = bootstrap_interval(self.returns)
        return (
            f"return {self.returns.mean():.1f} ± {self.returns.std():.1f} over {len(self.returns)} episodes "
            f"(95 % interval of the mean {lo:.1f} to {hi:.1f})"
        )


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half (Agarwal et al. 2021)."""
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def bootstrap_interval(values: np.ndarray, resamples: int = 2000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, size=(resamples, len(values))).mean(axis=1)
    lo, hi = np.percentile(means, (2.5, 97.5))
    return float(lo), float(hi)


@torch.no_grad()
def play(policy, env, episodes: int, *, seed: int, explore: bool = False) -> Score:
    """Play `episodes` episodes with `policy.act` in the vector environment `env`; `explore` draws, from `seed`.

    Environment b plays episodes // num_envs of them, the first few one more. An episode that a failure of its
    environment cut short is not counted; another is played for it.
    """
    count = env.num_envs
    quota = np.array([episodes // count + (b < episodes % count) for b in range(count)])
    returns, lengths = np.zeros(count), np.zeros(count, dtype=np.int64)
    finished: list[list[tuple[float, int]]] = [[] for _ in range(count)]
    obs, state = env.reset(seed), policy.initial_state(count)
    reset = torch.ones(count, dtype=torch.bool, device=env.device)
    generator = torch.Generator(env.device).manual_seed(seed)
    while any(len(f) < q for f, q in zip(finished, quota, strict=True)):
        action, state, _ = policy.act(obs, state, reset, env.mask, explore=explore, generator=generator)
        step = env.step(action)
        obs, reset = step.obs, step.terminated | step.truncated
        real = np.ones(count, dtype=bool)
        if step.valid is not None:
            real = step.valid.cpu().numpy()
            reset = reset | ~step.valid
        returns += np.where(real, step.reward.double().cpu().numpy(), 0.0)
        lengths += real
        for b in np.flatnonzero((step.terminated | step.truncated).cpu().numpy()):
            if real[b] and len(finished[b]) < quota[b]:
                finished[b].append((returns[b], lengths[b]))
            returns[b], lengths[b] = 0.0, 0
    episodes_played = [episode for f in finished for episode in f]
    return Score(np.array([r for r, _ in episodes_played]), np.array([n for _, n in episodes_played]))
