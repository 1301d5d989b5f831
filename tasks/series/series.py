"""Forecasting: the next values of a series from those before."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LinearRegression
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import from_plain
from agent_gym.nets.learner.learner import Stats
from agent_gym.nets.settings import MEMORY
from agent_gym.tasks.attention import attention_pictures
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.scores import errors
from agent_gym.tasks.series.settings import SeriesConfig
from agent_gym.tasks.series.windows import Windows, cut_windows
from agent_gym.tasks.split import split_rows
from agent_gym.tasks.tables.cells import numbers
from agent_gym.tasks.tables.reading.frames import file_row, listed, read_table
from agent_gym.tasks.task import Dataset, Part, Task

MAX_NUMBERS = 2**29  # in all windows: 2 GB
FOR_MEMORY = 1000  # windows to train on, from which on a network with memory is the better one
STEPS = 50  # that a forecast looks back where there are enough
RELATIVE_TO = {
    "none": [],
    "last": ["values are told by how far they are from the last one seen (--relative)"],
    "ratio": ["values are told by their ratio to the last one seen, since changes grow with the level (--relative)"],
}


def require_room(count: int, steps: int, horizon: int) -> None:
    """Refuse windows that take too much memory together. Raises UserError."""
    if count * steps * horizon > MAX_NUMBERS:
        raise UserError(
            f"{count:,} windows of --window {steps} with --horizon {horizon} are too many numbers: "
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
    """Windows [N, T, C] of C series with, for a network with memory, the next values after each step [N, T, H * C]."""

    config: SeriesConfig

    @staticmethod
    def fixed(spec: Spec) -> Spec:
        return replace(Task.fixed(spec), series={name: spec.series.get(name) for name in ("names", "form", "steps")})

    @property
    def subject(self) -> str:
        return Path(self.config.data).stem if self.config.data else "waves"

    def load(self) -> tuple[Spec, Dataset]:
        config, notes = self.config, []
        if config.data:
            names, values, notes = read_series(Path(config.data), config)
            steps = config.window or max(min(STEPS, len(values) // 6), 1)
            require_room(len(values), steps, config.horizon * len(names))
            self.windows, known = cut_windows(values, config, steps)
            self.shaping = Windows.fit(names, known, self.windows[0], steps, config.relative)
            notes += RELATIVE_TO[self.shaping.form]
        else:
            steps = config.window or STEPS
            require_room(config.num_series, steps, config.horizon)
            values = generate(config.num_series, steps + config.horizon, config.seed)[..., None]
            self.windows = tuple(values[rows] for rows in split_rows(config, len(values)))
            self.shaping = Windows(("value",), "none", steps, (0.0,), (1.0,), (1.0,))
            known = np.array([[-1.0], [1.0]])  # waves are told in their own units
        self.centre, self.spread = known.mean(0), np.where(known.std(0) > 0.0, known.std(0), 1.0)
        names, enough = self.shaping.names, len(self.windows[0]) >= FOR_MEMORY
        sequence = config.encoder in MEMORY or (config.encoder == "auto" and enough)
        self.unit = 1.0  # of what the network puts out
        if len(names) == 1:
            change, scale = self.shaping.change[0], self.shaping.scale[0]
            self.unit = {"none": scale, "last": change, "ratio": change * float(self.centre[0])}[self.shaping.form]
        single = len(names) == 1  # several columns are told in deviations, since their units differ
        spec = Spec(
            "forecast",
            (len(names),) if sequence else (steps * len(names),),
            config.horizon * len(names),
            sequence=sequence,
            target=", ".join(names),
            shift=float(self.centre[0]) if single else 0.0,
            scale=float(self.spread[0]) if single else 1.0,
            series=asdict(self.shaping),
        )
        shares = " / ".join(f"{len(part):,}" for part in self.windows)
        notes.append(f"{shares} windows of {steps} steps to train / validate / test, {config.horizon} to forecast")
        return spec, Dataset(*(self.part(windows, sequence) for windows in self.windows), tuple(notes))

    def enough_epochs(self) -> int:
        return min(max(-(-2200 // self.steps_per_epoch), 20), 400)

    def part(self, windows: np.ndarray, sequence: bool) -> Part:
        """Windows [N, steps + horizon, C] as inputs and targets."""
        x, y = (
            torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
            for values in (self.shaping.inputs(windows), self.shaping.targets(windows))
        )
        return Part(x, y.flatten(2)) if sequence else Part(x.flatten(1), y[:, -1].flatten(1))

    def standard(self, values: np.ndarray) -> Tensor:
        """Values [N, H, C] -> [N, H * C] in deviations from the mean of the training part."""
        return torch.from_numpy((values - self.centre) / self.spread).float().flatten(1)

    def forecast(self, which: int) -> np.ndarray:
        """The forecasts [N, H, C] after the windows of part `which`."""
        outputs = self.model.outputs(self.data[which].x)
        outputs = outputs[:, -1] if self.model.spec.sequence else outputs
        steps = self.shaping.steps
        shaped = outputs.double().unflatten(1, (self.config.horizon, len(self.shaping.names))).numpy()
        return self.shaping.forecasts(shaped, self.windows[which][:, steps - 1])

    def judged(self, part: Part) -> tuple[Tensor, Tensor]:
        """The forecasts after the last step of each window, as values."""
        which = next(i for i, other in enumerate(self.data[:3]) if other is part)
        return self.standard(self.forecast(which)), self.standard(self.windows[which][:, self.shaping.steps :])

    def quick_stats(self, outputs: Tensor, y: Tensor) -> Stats:
        return {"mae": (outputs - y).abs_().mean() * self.unit}

    def baselines(self) -> dict[str, dict[str, float]]:
        """naive: the last value goes on; linear: least squares on the window."""
        spec, steps = self.model.spec, self.shaping.steps
        train, test = self.windows[0], self.windows[2]
        shape = test[:, steps:].shape
        seen, after = train[:, :steps].reshape(len(train), -1), train[:, steps:].reshape(len(train), -1)
        linear = LinearRegression().fit(seen, after).predict(test[:, :steps].reshape(len(test), -1)).reshape(shape)
        rules = {"naive": np.broadcast_to(test[:, steps - 1 : steps], shape), "linear": linear}

        def told(values: np.ndarray) -> np.ndarray:
            return self.standard(values).double().numpy() * spec.scale + spec.shift

        return {rule: errors(told(values), told(test[:, steps:])) for rule, values in rules.items()}

    def lines(self) -> list[str]:
        """For several columns the error of each in its own units; the table below them counts in deviations."""
        if len(self.shaping.names) == 1:
            return []
        wrong = self.forecast(2) - self.windows[2][:, self.shaping.steps :]
        naive = self.windows[2][:, [self.shaping.steps - 1]] - self.windows[2][:, self.shaping.steps :]
        lines = ["errors in deviations of the training part; each column in its own units:"]
        for number, name in enumerate(self.shaping.names):
            own, rule = (np.square(error[..., number]).mean() for error in (wrong, naive))
            lines.append(f"{name:>12}  mse {own:.5g}, naive {rule:.5g}")
        return lines

    def images(self) -> dict[str, np.ndarray]:
        from agent_gym.tasks.plots import forecast_image

        steps = self.shaping.steps
        forecast, windows = self.forecast(2)[:5], self.windows[2][:5]
        pictures = {}
        for number, name in enumerate(self.shaping.names):
            tag = "test/forecast" if number == 0 else f"test/forecast of {name}"
            pictures[tag] = forecast_image(
                windows[:, :steps, number], windows[:, steps:, number], forecast[..., number]
            )
        return pictures | attention_pictures(self.model, self.data.test.x)


def read_series(path: Path, config: SeriesConfig) -> tuple[tuple[str, ...], np.ndarray, list[str]]:
    """Names and values float64 [L, C] of the columns of a table, gaps filled, and notes. Raises UserError."""
    frame = read_table(path, encoding=config.encoding, quiet=config.quiet)
    names = listed(frame.columns)
    if not config.column and len(frame.columns) > 1:
        raise UserError(f"--column is missing: expected one of {names}")
    column = config.column or frame.columns[0]
    wanted = [column] if column in frame.columns else [name.strip() for name in column.split(",")]
    series, notes = [], list(frame.attrs["notes"])
    for name in wanted:
        if name not in frame.columns or wanted.count(name) > 1:
            raise UserError(f"--column {name!r} is no column of {path}: expected one of {names}, each once")
        values = numbers(frame, name)
        empty = np.isnan(values)
        if empty.all():
            raise UserError(f"column {name!r} of {path} is empty in every row: nothing to forecast")
        if empty.any():
            places = np.arange(len(values))
            values = np.interp(places, places[~empty], values[~empty])
            first = file_row(frame, int(empty.argmax()))
            notes.append(
                f"column {name!r}: {int(empty.sum()):,} empty cells lie on a line between their neighbours (first: row "
                f"{first})"
            )
        if np.ptp(values) == 0.0:
            raise UserError(f"column {name!r} holds the one value {values[0]:g} in every row: nothing to forecast")
        series.append(values)
    return tuple(wanted), np.stack(series, axis=1), notes


def predict(model: Predictor, config: SeriesConfig, path: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """The values after the last of the series in a table. Raises UserError."""
    spec = model.spec
    try:
        shaping = from_plain(Windows, spec.series)
    except TypeError as error:
        raise UserError(f"the checkpoint's windows are damaged ({error}): use another checkpoint") from None
    count = len(shaping.names)
    shape = (count,) if spec.sequence else (shaping.steps * count,)
    if not shaping.sound() or spec.outputs != config.horizon * count or spec.shape != shape:
        raise UserError("the checkpoint's weights are for another --window or --horizon: use another checkpoint")
    names, values, notes = read_series(path, config)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if len(names) != count:
        raise UserError(f"{path} has {len(names)} series where the model has {count}: use another checkpoint")
    if len(values) < shaping.steps:
        raise UserError(f"{path} holds {len(values):,} values: a forecast looks back {shaping.steps}")
    seen = values[None, -shaping.steps :]
    if shaping.form == "ratio" and seen.min() <= 0.0:
        raise UserError(f"{path} holds {seen.min():g}, and the model's forecasts are ratios: expected values above 0")
    x = torch.from_numpy(shaping.inputs(seen)).float()
    outputs = model.outputs(x if spec.sequence else x.flatten(1))
    outputs = (outputs[:, -1] if spec.sequence else outputs).unflatten(1, (config.horizon, count)).numpy()
    forecast = shaping.forecasts(outputs, seen[:, -1])[0]
    columns = {f"predicted {name}": forecast[:, number] for number, name in enumerate(names)}
    return pd.DataFrame({"step": np.arange(1, config.horizon + 1), **columns}), {}
