"""What a few runs say of an agent (Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice").

Scores are one number a run, by environment: the environments are the strata. Runs are drawn again within each of them,
so that every bootstrap sample has as many runs of each environment as there were. The definitions are those of the
package `rliable`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agent_gym.training.score import interquartile_mean

Scores = dict[str, np.ndarray]  # by environment, one score a run [N]
RESAMPLES = 2000
CHUNK = 4_000_000  # comparisons of one score with another that are held at once


def iqm(scores: Scores) -> float:
    """Mean of the middle half of all scores."""
    return interquartile_mean(np.concatenate(list(scores.values())))


def drawn(scores: Scores, seed: int, resamples: int = RESAMPLES) -> Scores:
    """Bootstrap samples [resamples, N] by environment, drawn from its own runs with replacement."""
    rng = np.random.default_rng(seed)
    return {env: rng.choice(values, size=(resamples, len(values))) for env, values in scores.items()}


def percentiles(estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % percentile interval of bootstrap estimates [resamples, …]."""
    low, high = np.percentile(estimates, (2.5, 97.5), axis=0)
    return low, high


def interval(scores: Scores, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """95 % stratified bootstrap interval of the IQM."""
    low, high = percentiles(_iqms(drawn(scores, seed, resamples)))
    return float(low), float(high)


def _iqms(samples: Scores) -> np.ndarray:
    """The IQM of each sample [resamples]."""
    values = np.sort(np.concatenate(list(samples.values()), axis=1), axis=1)
    cut = values.shape[1] // 4
    return values[:, cut : values.shape[1] - cut].mean(1)


def improvement(a: Scores, b: Scores) -> float:
    """The chance that a run of `a` scores higher than one of `b`, ties counting half: the mean over environments.

    The Mann-Whitney statistic over the number of pairs. Both hold the same environments.
    """
    return float(np.mean([_above(a[env][None], b[env][None])[0] for env in a]))


def improvement_interval(a: Scores, b: Scores, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Its 95 % interval: the runs of both are drawn again, independently."""
    drawn_a, drawn_b = drawn(a, seed, resamples), drawn(b, seed + 1, resamples)
    low, high = percentiles(np.mean([_above(drawn_a[env], drawn_b[env]) for env in a], axis=0))
    return float(low), float(high)


def _above(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each row of `a` [R, N] and `b` [R, M], the share of pairs in which `a` is higher [R]."""
    rows = max(CHUNK // (a.shape[1] * b.shape[1]), 1)
    parts = [np.sign(x[:, :, None] - y[:, None, :]).mean((1, 2)) for x, y in _together(a, b, rows)]
    return (np.concatenate(parts) + 1) / 2


def _together(a: np.ndarray, b: np.ndarray, rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return ((a[i : i + rows], b[i : i + rows]) for i in range(0, len(a), rows))


def profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """The share of runs that score above each threshold [K]: the mean over environments."""
    return np.mean([(values[:, None] > thresholds).mean(0) for values in scores.values()], axis=0)


def profile_band(
    scores: Scores, thresholds: np.ndarray, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Its pointwise 95 % interval, [K] and [K]."""
    samples = drawn(scores, seed, resamples)
    shares = np.empty((resamples, len(thresholds)))
    for k, threshold in enumerate(thresholds):
        shares[:, k] = np.mean([(values > threshold).mean(1) for values in samples.values()], axis=0)
    return percentiles(shares)


def along(
    curves: dict[str, np.ndarray], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample efficiency: the IQM of curves [N, K] by environment at each of K points, and its 95 % interval."""
    points = range(next(iter(curves.values())).shape[1])
    middle = np.array([iqm({env: curve[:, k] for env, curve in curves.items()}) for k in points])
    bounds = [interval({env: curve[:, k] for env, curve in curves.items()}, seed, resamples) for k in points]
    low, high = np.array(bounds).T
    return middle, low, high
