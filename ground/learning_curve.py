"""The shape of a curve of validation losses: too few epochs, jagged, overfitting, each known by one figure.

The lesson that shows the patterns, the diagnosis of a run and the history of `fit` tell them apart by these alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEW, JAGGED, OVERFIT, NONE = "too few epochs", "jagged", "overfitting", "none"
FALLING = 0.1  # of the whole range: a curve that comes down as much in its last fifth wants to go on
ROUGH = 0.05  # of the usual loss: epochs as far off the mean of their neighbours jump
RISEN = 1.3  # times the lowest loss: where a curve that ends there has turned


class Shape(NamedTuple):
    """What tells the patterns apart."""

    falling: float
    """How far it fell in the last fifth of the epochs, as a share of its whole range; below 0: it rose."""
    rough: float
    """Median distance of an epoch's loss to the mean of its neighbours', over the median loss; the first quarter, where
    curves are steep, is left out. 0 for fewer than three epochs."""
    risen: float
    """Mean loss of the last tenth over the lowest."""

    @classmethod
    def of(cls, losses: Sequence[float]) -> Shape:
        """Of finite losses [epochs], at least two."""
        curve = np.asarray(losses, dtype=np.float64)
        lowest, fifth, tenth = curve.min(), max(len(curve) // 5, 1), max(len(curve) // 10, 1)
        off = np.abs(curve[1:-1] - (curve[:-2] + curve[2:]) / 2.0)
        level = max(np.median(np.abs(curve)), 1e-12)
        return cls(
            float((curve[-1 - fifth] - curve[-1]) / max(np.ptp(curve), 1e-12)),
            float(np.median(off[len(off) // 4 :]) / level) if len(off) else 0.0,
            float(curve[-tenth:].mean() / max(lowest, 1e-12)),
        )

    def pattern(self) -> str:
        """The first that fits: jumps hide what else a curve does."""
        if self.rough > ROUGH:
            return JAGGED
        if self.risen > RISEN:
            return OVERFIT
        return FEW if self.falling > FALLING else NONE
