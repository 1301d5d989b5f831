"""The two smallest tasks: a line through ten people, and the exclusive or."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LinearRegression

from agent_gym.tasks.lessons.settings import HeightsConfig
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.tables.table import Table, predict
from agent_gym.tasks.task import Dataset, Part

__all__ = ["Heights", "Xor", "predict"]

HEIGHT = (187, 174, 179, 192, 188, 160, 179, 168, 168, 174)  # cm
WEIGHT = (87, 81, 82, 92, 90, 61, 86, 66, 69, 69)  # kg


class Heights(Table):
    """A line by gradient descent, in float64: near its minimum the loss is too flat for float32 to tell 1e-3."""

    config: HeightsConfig
    scale_target = False

    def frame(self) -> pd.DataFrame:
        return super().frame() if self.config.data else pd.DataFrame({"height": HEIGHT, "weight": WEIGHT})

    def load(self) -> tuple[Spec, Dataset]:
        spec, data = super().load()
        return spec, Dataset(*(Part(*(t.double() for t in part)) for part in data[:3]), data.notes)

    def build(self, spec: Spec) -> Predictor:
        model = super().build(spec).double()
        shift, scale = self.scaling(spec)
        with torch.no_grad():
            model.head.weight.fill_(self.config.w1 / scale)
            model.head.bias.fill_(self.config.w0 - self.config.w1 * shift / scale)
        return model

    def scaling(self, spec: Spec) -> tuple[float, float]:
        """The input of the network is weight * scale + shift."""
        return spec.columns["numbers"]["shift"][0], spec.columns["numbers"]["scale"][0]

    def line(self) -> tuple[float, float]:
        """w0 and w1 in cm and cm per kg, whatever the scaling."""
        shift, scale = self.scaling(self.model.spec)
        weight, bias = self.model.head.weight.item(), self.model.head.bias.item()
        return bias + weight * shift, weight * scale

    def lines(self) -> list[str]:
        frame, config = self.frame(), self.config
        x, y = frame["weight"].to_numpy(), frame["height"].to_numpy()
        exact = LinearRegression().fit(x[:, None], y)
        rows = (
            ("before", config.w0, config.w1),
            ("after", *self.line()),
            ("least squares", exact.intercept_, exact.coef_[0]),
        )
        lines = [
            f"{name:>13}: height = {w0:.4f} + {w1:.5f} weight, MSE {np.square(w0 + w1 * x - y).mean():.4f}"
            for name, w0, w1 in rows
        ]
        return lines + people(x, y, rows[:2])

    def test(self) -> dict[str, float]:
        w0, w1 = self.line()
        return super().test() | {"w0": w0, "w1": w1}


def people(x: np.ndarray, y: np.ndarray, lines: Sequence[tuple[str, float, float]]) -> list[str]:
    """Each of the first ten people: weight, height, and what each line (name, w0, w1) says, and height minus that."""
    rows = ["weight  height" + "".join(f"  {name:>9}   error" for name, _, _ in lines)]
    for weight, height in zip(x[:10], y[:10], strict=True):
        said = [w0 + w1 * weight for _, w0, w1 in lines]
        rows.append(f"{weight:6g}  {height:6g}" + "".join(f"  {v:9.2f}  {height - v:6.2f}" for v in said))
    return rows


class Xor(Table):
    """Beside the network, a single perceptron learns the same four rows, and cannot."""

    def frame(self) -> pd.DataFrame:
        return (
            super().frame()
            if self.config.data
            else pd.DataFrame({"a": (0, 0, 1, 1), "b": (0, 1, 0, 1), "a xor b": (0, 1, 1, 0)})
        )

    def perceptron(self) -> Xor:
        """The same task by one unit, trained for as many steps, but at most 10,000."""
        task = Xor(replace(self.config, encoder="linear"), self.device)
        while task.steps < min(task.total_steps, 10_000):
            task.collect()
            task.update()
        return task

    def baselines(self) -> dict[str, dict[str, float]]:
        self.single = self.perceptron()
        outputs, y = self.single.judged(self.single.data.test)
        right = (outputs.sigmoid() >= self.config.threshold) == (y > 0.5)
        return super().baselines() | {"perceptron": {"accuracy": right.double().mean().item()}}

    def lines(self) -> list[str]:
        rows = self.data.test.x
        deep, single = (m.probabilities(m.outputs(rows))[:, -1] for m in (self.model, self.single.model))
        lines = ["a b  a xor b  network  perceptron"]
        for (a, b), y, p, q in zip(rows.tolist(), self.data.test.y.flatten().tolist(), deep, single, strict=True):
            lines.append(f"{a:.0f} {b:.0f}  {y:>7.0f}  {p:7.3f}  {q:10.3f}")
        return lines
