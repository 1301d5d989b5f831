"""How good what was made is, told by others than the network that made it."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.svm import SVC
from torch import Tensor

from agent_gym.tasks.generation.source import MODES, RING_STD, Digits, Ring, Source

NEAR = 4 * RING_STD  # a point this near to a centre belongs to its mode
FAIR = 0.25  # of an equal share makes a mode count
MAX_REAL = 5000  # images that the judge of digits learns from


class PointJudge:
    """Moments against the true ones and, of the ring, how many modes are there."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __call__(self, made: Tensor, classes: Tensor) -> dict[str, float]:
        """Points [N, 2] -> largest errors of mean and covariance; for the ring modes and share of points near one."""
        figures = {
            "mean_error": (made.mean(0) - self.source.mean).abs().max().item(),
            "covariance_error": (torch.cov(made.T) - self.source.covariance).abs().max().item(),
        }
        if not isinstance(self.source, Ring):
            return figures
        distance, mode = torch.cdist(made, self.source.centres()).min(1)
        near = distance < NEAR
        counts = torch.bincount(mode[near], minlength=MODES)
        present = (counts >= FAIR * len(made) / MODES).sum().item()
        return {"modes": float(present), "near_a_mode": near.float().mean().item()} | figures


class DigitJudge:
    """A support vector machine that has learned real digits."""

    def __init__(self, source: Digits) -> None:
        order = torch.randperm(len(source.labels), generator=torch.Generator().manual_seed(0))[: MAX_REAL + 500]
        known, held_out = order[:-500], order[-500:]
        self.real, self.labels = source.rows(known), source.labels[known]
        self.machine = SVC(C=10.0).fit(self.real.numpy(), self.labels.numpy())
        others = source.rows(held_out)
        self.own = float(self.machine.score(others.numpy(), source.labels[held_out].numpy()))
        self.usual = torch.cdist(others, self.real).min(1).values.mean().item()

    def __call__(self, made: Tensor, classes: Tensor) -> dict[str, float]:
        """Images [N, size] and the classes asked for [N] -> share recognised as these; spread and distance to the
        nearest real image as a share of what real images have (0 in both: copies)."""
        made = made.clamp(-1.0, 1.0)
        says = self.machine.predict(made.numpy())
        spread = [
            (made[classes == k].std(0).mean() / self.real[self.labels == k].std(0).mean()).item()
            for k in classes.unique().tolist()
        ]
        nearest = torch.cdist(made, self.real).min(1).values.mean().item()
        return {
            "recognised": float((says == classes.numpy()).mean()),
            "recognised_real": self.own,
            "spread": float(np.mean(spread)),
            "distance": nearest / self.usual,
        }


def make_judge(source: Source) -> PointJudge | DigitJudge:
    return DigitJudge(source) if isinstance(source, Digits) else PointJudge(source)


MEANING = {
    "modes": f"of the {MODES} modes, those with a quarter of their share or more",
    "near_a_mode": f"share of points within {NEAR:g} of a centre",
    "mean_error": "largest error of the mean",
    "covariance_error": "largest error of the covariance",
    "recognised": "share that a support vector machine, taught by real digits, takes for the class asked for",
    "recognised_real": "the same share of real digits that it has not seen",
    "spread": "deviation within a class, as a share of the real one",
    "distance": "distance to the nearest real image, as a share of that of unseen real ones (0: copies)",
}
