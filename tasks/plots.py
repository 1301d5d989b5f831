"""Pictures for TensorBoard as uint8 arrays [H, W, 3]."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agent_gym.tasks.scores import confusion


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def confusion_image(
    probabilities: np.ndarray, target: np.ndarray, threshold: float, classes: tuple[str, ...]
) -> np.ndarray:
    """The confusion matrix: rows are the truth, shaded by their share, the counts written in."""
    counts = confusion(probabilities, target, threshold, len(classes))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 3.0 + 0.5 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) <= 20:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return _pixels(figure)


def forecast_image(series: np.ndarray, truth: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Forecasts against the truth: series [K, T] that was seen, truth and forecast [K, H] of the steps after it."""
    figure = Figure(figsize=(9.0, 2.2 * len(series)), layout="constrained")
    for axes, seen, true, predicted in zip(
        figure.subplots(len(series), 1, squeeze=False)[:, 0], series, truth, forecast, strict=True
    ):
        after = np.arange(len(seen), len(seen) + len(true))
        axes.plot(seen, ".-", color="tab:blue", label="seen")
        axes.plot(after, true, "o", color="tab:green", label="truth")
        axes.plot(after, predicted, "x", color="tab:red", markersize=8, label="forecast")
        axes.grid(alpha=0.3)
    figure.axes[0].legend(loc="upper left")
    return _pixels(figure)
