"""Cross-entropy is minus the mean log-likelihood: logistic regression on Spector's students."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from agent_gym.tasks.lessons.settings import LikelihoodConfig
from agent_gym.tasks.plots import bars_image, curves_image
from agent_gym.tasks.tables.table import Table, predict

__all__ = ["Likelihood", "predict"]

# Spector and Mazzeo 1980, as statsmodels ships it: mean grade, score of a test at the start, taught by the new method
# (1) or not, grade better afterwards (1) or not.
STUDENTS = (
    *((2.66, 20, 0, 0), (2.89, 22, 0, 0), (3.28, 24, 0, 0), (2.92, 12, 0, 0), (4.00, 21, 0, 1), (2.86, 17, 0, 0)),
    *((2.76, 17, 0, 0), (2.87, 21, 0, 0), (3.03, 25, 0, 0), (3.92, 29, 0, 1), (2.63, 20, 0, 0), (3.32, 23, 0, 0)),
    *((3.57, 23, 0, 0), (3.26, 25, 0, 1), (3.53, 26, 0, 0), (2.74, 19, 0, 0), (2.75, 25, 0, 0), (2.83, 19, 0, 0)),
    *((3.12, 23, 1, 0), (3.16, 25, 1, 1), (2.06, 22, 1, 0), (3.62, 28, 1, 1), (2.89, 14, 1, 0), (3.51, 26, 1, 0)),
    *((3.54, 24, 1, 1), (2.83, 27, 1, 1), (3.39, 17, 1, 1), (2.67, 24, 1, 0), (3.65, 21, 1, 1), (4.00, 23, 1, 1)),
    *((3.10, 21, 1, 0), (2.39, 19, 1, 1)),
)


class Likelihood(Table):
    """Beside the loss, the probability that the network gives to what really happened."""

    config: LikelihoodConfig

    def frame(self) -> pd.DataFrame:
        if self.config.data:
            return super().frame()
        return pd.DataFrame(STUDENTS, columns=["GPA", "TUCE", "PSI", "GRADE"])

    def of_the_truth(self) -> np.ndarray:
        """The probability [N] that the network gives to each row's own class."""
        part = self.data.train
        says = self.model.probabilities(self.model.outputs(part.x))[:, 0].double().numpy()
        return np.where(part.y.cpu().numpy()[:, 0] > 0.5, says, 1.0 - says)

    def evaluate(self) -> tuple[float, dict[str, float]]:
        score, scalars = super().evaluate()
        logs = np.log(self.of_the_truth())
        return score, scalars | {"val/log_likelihood": logs.sum(), "val/mean_likelihood": math.exp(logs.mean())}

    def again_from_the_start(self) -> list[tuple[int, np.ndarray]]:
        """Steps, and the probabilities of the truth then, while the same network learns the same rows once more."""
        task = Likelihood(self.config, self.device)
        task.model.head.reset_parameters()
        moments = {int(k) for k in np.geomspace(1, task.total_steps, 60).round()} | {0}
        noted = [(0, task.of_the_truth())]
        while task.steps < task.total_steps:
            task.collect()
            for batch in task.batches:
                task.learner.set_progress(task.steps / task.total_steps)
                task.learner.update(*batch)
                task.steps += 1
                if task.steps in moments:
                    noted.append((task.steps, task.of_the_truth()))
        return noted

    def test(self) -> dict[str, float]:
        logs = np.log(self.of_the_truth())
        return super().test() | {"log_likelihood": float(logs.sum())}

    def lines(self) -> list[str]:
        self.history_of = self.again_from_the_start()
        lines = ["    step  likelihood of all rows  log-likelihood  minus its mean"]
        for step, shares in [
            self.history_of[k] for k in np.linspace(0, len(self.history_of) - 1, 6).round().astype(int)
        ]:
            logs = np.log(shares)
            lines.append(f"{step:8,}  {math.exp(logs.sum()):22.3g}  {logs.sum():14.4f}  {-logs.mean():14.4f}")
        logs = np.log(self.of_the_truth())
        lines.append(
            f"the loss {-logs.mean():.4f} = {-logs.sum():.4f} / {len(logs)}: the lowest cross-entropy is the highest "
            "likelihood"
        )
        return [*lines, *self.odds()]

    def odds(self) -> list[str]:
        """The unit as a formula in the columns' own units, where all of them are numbers without gaps."""
        head, numbers = self.model.head, self.model.spec.columns["numbers"]
        weights = head.weight[0].tolist()
        if len(numbers["names"]) != len(weights):
            return []
        bias = head.bias.item() + sum(w * shift for w, shift in zip(weights, numbers["shift"], strict=True))
        units = [w * scale for w, scale in zip(weights, numbers["scale"], strict=True)]
        terms = " ".join(f"{w:+.4f} {name}" for name, w in zip(numbers["names"], units, strict=True))
        return [f"log-odds of {self.model.spec.target} = {bias:.4f} {terms}"]

    def images(self) -> dict[str, np.ndarray]:
        steps = [max(step, 0.5) for step, _ in self.history_of]
        logs = np.array([np.log(shares) for _, shares in self.history_of])
        curves = {
            "mean log-likelihood and cross-entropy": {
                "log-likelihood": (steps, logs.mean(1).tolist()),
                "loss": (steps, (-logs.mean(1)).tolist()),
            },
            "probability of what really happened": {
                f"row {row + 1}": (steps, np.exp(logs[:, row]).tolist()) for row in range(min(8, logs.shape[1]))
            },
        }
        first, last = self.history_of[0][1][:40], self.history_of[-1][1][:40]
        bars = {"probability of what really happened": {"before": first.tolist(), "after": last.tolist()}}
        labels = [str(row + 1) for row in range(len(first))]
        return super().images() | {
            "lesson/likelihood": curves_image(curves, "step", log="x"),
            "lesson/rows": bars_image(bars, labels),
        }
