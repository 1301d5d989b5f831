"""Forecasting: the next values of a series from those before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LinearRegression
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.nets.settings import MEMORY
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.scores import errors
from agent_gym.tasks.settings import SeriesConfig
from agent_gym.tasks.split import split_rows
from agent_gym.tasks.tables.cells import numbers
from agent_gym.tasks.tables.frames import file_row, listed, read_table
from agent_gym.tasks.task import Dataset, Part, Task

MAX_NUMBERS = 2**29  # in all windows: 2 GB


def require_room(config: SeriesConfig, count: int) -> None:
    """Refuse windows that take too much memory together. Raises UserError."""
    if count * config.window * config.horizon > MAX_NUMBERS:
        raise UserError(
            f"{count:,} windows of --window {config.window} with --horizon {config.horizon} are too many numbers: "
            f"expected a product up to {MAX_NUMBERS:,}"
        )


def generate(num_series: int, steps: int, seed: int) -> np.ndarray:
    """Series [N, steps]: two sine waves of random frequency and phase, and noise of ±0.05.

    As in A. Géron, Hands-On Machine Learning, 2nd edition, chapter 15.
    """
    rng = np.random.default_rng(seed)
    slow, fast, slow_phase, fast_phase = rng.random((4, num_series, 1))
    time = np.linspace(0.0, 1.0, steps)
    waves = 0.5 * np.sin((time - slow_phase) * (10.0 + 10.0 * slow))
    waves += 0.2 * np.sin((time - fast_phase) * (20.0 + 20.0 * fast))
    return waves + 0.1 * (rng.random((num_series, steps)) - 0.5)


class Series(Task):
    """Windows [N, T, 1] with, for a network with memory, the next values after each step [N, T, horizon]."""

    config: SeriesConfig

    @property
    def subject(self) -> str:
        return Path(self.config.data).stem if self.config.data else "waves"

    def load(self) -> tuple[Spec, Dataset]:
        config = self.config
        length = config.window + config.horizon
        shift, scale = 0.0, 1.0
        if config.data:
            values = read_series(Path(config.data), config.column, config.quiet)
            require_room(config, len(values))
            parts, shift, scale = cut_windows(values, config)
        else:
            require_room(config, config.num_series)
            windows = generate(config.num_series, length, config.seed)
            parts = tuple(windows[rows] for rows in split_rows(config, len(windows)))
        self.windows = tuple((part - shift) / scale for part in parts)
        sequence = config.encoder in MEMORY
        shape = (1,) if sequence else (config.window,)
        target = config.column or "value"
        spec = Spec("forecast", shape, config.horizon, sequence=sequence, target=target, shift=shift, scale=scale)
        shares = " / ".join(f"{len(part):,}" for part in parts)
        note = f"{shares} windows of {config.window} steps to train / validate / test, {config.horizon} to forecast"
        return spec, Dataset(*(self.part(windows, sequence) for windows in self.windows), (note,))

    def part(self, windows: np.ndarray, sequence: bool) -> Part:
        """Windows [N, window + horizon] as inputs and targets."""
        values = torch.from_numpy(np.ascontiguousarray(windows, dtype=np.float32))
        steps, horizon = self.config.window, self.config.horizon
        if not sequence:
            return Part(values[:, :steps], values[:, steps:])
        ahead = values[:, 1:].unfold(1, horizon, 1)  # [N, window, horizon]
        return Part(values[:, :steps, None], ahead.contiguous())

    def judged(self, part: Part) -> tuple[Tensor, Tensor]:
        """The forecasts after the last step of each window."""
        outputs, y = super().judged(part)
        return (outputs[:, -1], y[:, -1]) if self.model.spec.sequence else (outputs, y)

    def baselines(self) -> dict[str, dict[str, float]]:
        """naive: the last value goes on; linear: least squares on the window."""
        spec, steps = self.model.spec, self.config.window
        train, test = self.windows[0], self.windows[2]
        fitted = LinearRegression().fit(train[:, :steps], train[:, steps:])
        truth = test[:, steps:] * spec.scale + spec.shift
        naive = np.repeat(test[:, steps - 1 : steps], self.config.horizon, axis=1)
        rules = {"naive": naive, "linear": fitted.predict(test[:, :steps])}
        return {rule: errors(forecast * spec.scale + spec.shift, truth) for rule, forecast in rules.items()}

    def images(self) -> dict[str, np.ndarray]:
        from agent_gym.tasks.plots import forecast_image

        spec, steps = self.model.spec, self.config.window
        few = Part(*(t[:5] for t in self.data.test))
        forecast = self.judged(few)[0].numpy()
        seen, truth = self.windows[2][:5, :steps], self.windows[2][:5, steps:]
        return {"test/forecast": forecast_image(*(a * spec.scale + spec.shift for a in (seen, truth, forecast)))}


def read_series(path: Path, column: str, quiet: bool) -> np.ndarray:
    """A column of a CSV file as float64 [L]. Raises UserError."""
    frame = read_table(path, quiet=quiet)
    names = listed(frame.columns)
    if not column and len(frame.columns) > 1:
        raise UserError(f"--column is missing: expected one of {names}")
    column = column or frame.columns[0]
    if column not in frame.columns:
        raise UserError(f"--column {column!r} is no column of {path}: expected one of {names}")
    values = numbers(frame, column)
    if np.isnan(values).any():
        row = file_row(frame, int(np.isnan(values).argmax()))
        raise UserError(f"column {column!r}, row {row} is empty: a series has a number in every row")
    if np.ptp(values) == 0.0:
        raise UserError(f"column {column!r} holds the one value {values[0]:g} in every row: nothing to forecast")
    return values


def cut_windows(values: np.ndarray, config: SeriesConfig) -> tuple[tuple[np.ndarray, ...], float, float]:
    """Windows [N, window + horizon] of the first, middle and last stretch of time; mean and std of the first.

    What a later part forecasts, an earlier one has not seen. An empty part is the one before it.
    """
    length = config.window + config.horizon
    windows = np.lib.stride_tricks.sliding_window_view(values, length) if len(values) >= length else values[:0]
    ends = np.cumsum([1.0 - config.val_split - config.test_split, config.val_split, config.test_split]) * len(values)
    parts, start = [], 0
    for end in ends.round().astype(int):
        part = windows[max(start - config.window, 0) : max(end - length + 1, 0)]
        parts.append(part if len(part) or not parts else parts[-1])
        start = end
    if not len(parts[0]):
        raise UserError(
            f"the series has {len(values):,} values, too few for windows of {config.window} steps and a horizon of "
            f"{config.horizon}: give more, or a smaller --window"
        )
    known = values[: round(ends[0])]
    return tuple(parts), float(known.mean()), float(known.std()) or 1.0


def predict(model: Predictor, config: SeriesConfig, path: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """The values after the last of a series in a CSV file. Raises UserError."""
    spec = model.spec
    if spec.outputs != config.horizon or not (spec.sequence or spec.shape == (config.window,)):
        raise UserError("the checkpoint's weights are for another --window or --horizon: use another checkpoint")
    values = read_series(path, config.column, config.quiet)
    if len(values) < config.window:
        raise UserError(f"{path} holds {len(values):,} values: a forecast looks back {config.window}")
    seen = torch.from_numpy((values[-config.window :] - spec.shift) / spec.scale).float()
    outputs = model.outputs(seen[None, :, None] if spec.sequence else seen[None])
    forecast = (outputs[:, -1] if spec.sequence else outputs).flatten() * spec.scale + spec.shift
    steps = np.arange(1, config.horizon + 1)
    return pd.DataFrame({"step": steps, f"predicted {spec.target}": forecast.numpy()}), {}
