"""The returns of episodes and what they say together. Without torch."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


def shown(value: float) -> str:
    """A return as it is printed: one decimal, or below 10 so many that three figures are seen."""
    if not math.isfinite(value) or value == 0.0 or abs(value) >= 10.0:
        return f"{value + 0.0:.1f}"
    if abs(value) < 1e-4:
        return f"{value:.3g}"
    whole, _, decimals = f"{value:.{2 - math.floor(math.log10(abs(value)))}f}".partition(".")
    return f"{whole}.{decimals.rstrip('0') or '0'}"


class Score(NamedTuple):
    """Undiscounted returns [K] and lengths [K] of K episodes."""

    returns: np.ndarray
    lengths: np.ndarray
    cut: int = 0
    """Episodes that had not ended when they were cut; they count as they were."""
    failed: int = 0
    """Episodes that a failure of their environment cut short; they do not count."""
    repeats: bool = False
    """The first episodes were the same, step by step, and so no more were played."""
    steps: int = 0
    """Steps of all environments that it took."""
    by_agent: dict[str, np.ndarray] = {}
    """Where many agents play, the returns [K] of each; `returns` are their sums."""
    successes: np.ndarray | None = None
    """Whether each of the K episodes ended in success, 0 or 1, where the environment says so."""

    @property
    def success_rate(self) -> dict[str, float]:
        """The share of successes as a field; none where the environment does not say."""
        if self.successes is None or not np.isfinite(self.successes).any():
            return {}
        return {"success_rate": float(np.nanmean(self.successes))}

    def summary(self) -> dict:
        """Mean, standard deviation, interquartile mean and 95 % bootstrap interval of the mean."""
        lo, hi = bootstrap_interval(self.returns)
        told = {
            name: {"return_mean": float(own.mean()), "return_ci95": list(bootstrap_interval(own))}
            for name, own in self.by_agent.items()
        }
        return (
            {
                "episodes": len(self.returns),
                "return_mean": float(self.returns.mean()),
                "return_std": float(self.returns.std()),
                "return_iqm": interquartile_mean(self.returns),
                "return_ci95": [lo, hi],
                "length_mean": float(self.lengths.mean()),
                "episodes_cut": self.cut,
            }
            | ({"agents": told} if told else {})
            | self.success_rate
        )

    def text(self) -> str:
        """The summary as a line for the terminal."""
        rate = "".join(f", success {share:.1%}" for share in self.success_rate.values())
        if len(self.returns) == 1:
            return f"return {shown(self.returns[0])} in one episode{rate}"
        lo, hi = bootstrap_interval(self.returns)
        return (
            f"return {shown(self.returns.mean())} ± {shown(self.returns.std())} over {len(self.returns)} episodes "
            f"(95 % interval of the mean {shown(lo)} to {shown(hi)}){rate}"
        )

    def notes(self) -> list[str]:
        """What else is to be known of it, a line each."""
        lines = []
        if self.by_agent:
            told = ", ".join(f"{name} {shown(own.mean())}" for name, own in self.by_agent.items())
            lines.append(f"that is the sum over the agents: {told}")
        if self.cut:
            lines.append(
                f"{self.cut} of {len(self.returns)} episodes had not ended after {self.lengths.max():,} steps and were "
                "cut there; they count as they were (--eval-max-steps)"
            )
        if self.failed:
            lines.append(f"{self.failed} episodes are left out: their environment failed")
        if self.repeats:
            lines.append(
                f"policy and environment are deterministic: {len(self.returns)} equal episodes tell all that more would"
            )
        return lines


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
