"""Windows of one or several series: cut in time, made relative to their last values, and back to values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agent_gym.ground.errors import UserError
from agent_gym.tasks.series.settings import SeriesConfig

MAX_LOG = 69.0  # of a forecast: 1e30


@dataclass(frozen=True)
class Windows:
    """How windows become inputs and targets, and outputs become forecasts; plain data, kept in the checkpoint."""

    names: tuple[str, ...]
    """Of the columns."""
    form: Literal["none", "last", "ratio"]
    """What values are relative to: nothing, or the last one seen, which is subtracted or divides (of logarithms)."""
    steps: int
    """That a forecast looks back."""
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    """An input is (value - last) / scale, or (value - shift) / scale where it is relative to nothing."""
    change: tuple[float, ...]
    """Of a target, which is relative to the value at its own step."""

    def sound(self) -> bool:
        """Whether its figures fit together."""
        figures = (self.shift, self.scale, self.change)
        positive = min((*self.scale, *self.change), default=0.0) > 0.0
        return positive and {len(f) for f in figures} == {len(self.names)} and 1 <= self.steps < 2**20

    def inputs(self, windows: np.ndarray) -> np.ndarray:
        """windows [N, steps or more, C] -> [N, steps, C]."""
        seen = self._plain(windows[:, : self.steps])
        origin = np.array(self.shift) if self.form == "none" else seen[:, -1:]
        return (seen - origin) / np.array(self.scale)

    def targets(self, windows: np.ndarray) -> np.ndarray:
        """windows [N, steps + horizon, C] -> what follows each step, [N, steps, horizon, C]."""
        values = self._plain(windows)
        ahead = np.lib.stride_tricks.sliding_window_view(values[:, 1:], windows.shape[1] - self.steps, axis=1)
        ahead = ahead.transpose(0, 1, 3, 2)
        if self.form == "none":
            return (ahead - np.array(self.shift)) / np.array(self.scale)
        return (ahead - values[:, : self.steps, None]) / np.array(self.change)

    def forecasts(self, outputs: np.ndarray, last: np.ndarray) -> np.ndarray:
        """outputs [N, horizon, C] after the values last [N, C] -> values [N, horizon, C]."""
        outputs = outputs.astype(np.float64)
        if self.form == "none":
            return outputs * np.array(self.scale) + np.array(self.shift)
        values = self._plain(last)[:, None] + outputs * np.array(self.change)
        return np.exp(np.minimum(values, MAX_LOG)) if self.form == "ratio" else values

    def _plain(self, values: np.ndarray) -> np.ndarray:
        return np.log(values) if self.form == "ratio" else values

    @classmethod
    def fit(cls, names: tuple[str, ...], values: np.ndarray, windows: np.ndarray, steps: int, form: str) -> Windows:
        """From the training part alone: values [L, C] and its windows [N, steps + horizon, C]; "auto" chooses."""
        if form == "auto":
            form = "ratio" if grows_with_level(values) else "last"
        if form == "ratio" and values.min() <= 0.0:
            raise UserError(
                f"--relative ratio needs values above 0, and {', '.join(names)} goes down to {values.min():g}"
            )
        ones = (1.0,) * len(names)
        shift, scale = values.mean(0), values.std(0)
        plain = cls(names, form, steps, tuple(shift.tolist()), ones, ones)
        if form != "none":
            scale = np.sqrt(np.square(plain.inputs(windows)).mean((0, 1)))
        change = np.sqrt(np.square(plain.targets(windows)[:, :, 0]).mean((0, 1)))
        scale, change = (np.where(figure > 0.0, figure, 1.0) for figure in (scale, change))
        return cls(names, form, steps, plain.shift, tuple(scale.tolist()), tuple(change.tolist()))


def grows_with_level(values: np.ndarray) -> bool:
    """Whether all of values [L, C] are above 0, and changes are the larger the higher they are."""
    if values.min() <= 0.0 or len(values) < 4 or values.max() < 1.5 * values.min():
        return False
    changes, level = np.abs(np.diff(values, axis=0)), values[:-1]
    known = (changes.std(0) > 0.0) & (level.std(0) > 0.0)
    return all(np.corrcoef(changes[:, c], level[:, c])[0, 1] > 0.2 for c in range(values.shape[1]) if known[c])


def cut_windows(values: np.ndarray, config: SeriesConfig, steps: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Windows [N, steps + horizon, C] of the first, middle and last stretch of values [L, C]; the first stretch.

    What a later part forecasts, an earlier one has not seen. An empty part is the one before it.
    """
    length = steps + config.horizon
    windows = values[:0, None]
    if len(values) >= length:
        windows = np.lib.stride_tricks.sliding_window_view(values, length, axis=0).swapaxes(1, 2)
    ends = np.cumsum([1.0 - config.val_split - config.test_split, config.val_split, config.test_split]) * len(values)
    parts, start = [], 0
    for end in ends.round().astype(int):
        part = windows[max(start - steps, 0) : max(end - length + 1, 0)]
        parts.append(part if len(part) or not parts else parts[-1])
        start = end
    if not len(parts[0]):
        raise UserError(
            f"the series has {len(values):,} values, too few for windows of {steps} steps and a horizon of "
            f"{config.horizon}: give more, or a smaller --window"
        )
    return tuple(parts), values[: round(ends[0])]
