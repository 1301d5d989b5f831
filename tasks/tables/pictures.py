"""Pictures of a table before training, uint8 [H, W, 3]."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agent_gym.tasks.plots import pixels, written
from agent_gym.tasks.tables.explore import Column

MOST = 24  # columns in a picture
CLASSES = 6  # that get colours


def table_pictures(columns: list[Column]) -> dict[str, np.ndarray]:
    """By name: distributions of each column, how it goes with the target, correlations among numbers."""
    pictures = {"distributions": distributions(columns)}
    told = [column for column in columns if column.measure]
    if told:
        pictures["goes_with_target"] = bars(told, columns[-1].name)
    plain = [c for c in columns if c.values.dtype != object and np.nanstd(c.values) > 0.0]
    if len(plain) > 1:
        pictures["correlation"] = matrix(plain[-MOST:])
    return pictures


def distributions(columns: list[Column]) -> np.ndarray:
    """A histogram or bars for each column, in the colours of the classes where there are few."""
    target = columns[-1]
    shown = [*[c for c in columns[:-1] if c.kind in ("number", "date", "category")][: MOST - 1], target]
    classes = pd.Series(target.values).unique().tolist() if target.values.dtype == object else []
    groups = [(str(name), target.values == name) for name in sorted(classes)] if 0 < len(classes) <= CLASSES else []
    groups = groups or [("", np.ones(len(target.values), dtype=bool))]
    across = min(len(shown), 4)
    down = -(-len(shown) // across)
    figure = Figure(figsize=(3.2 * across, 2.4 * down), layout="constrained")
    for axes, column in zip(figure.subplots(down, across, squeeze=False).ravel(), shown, strict=False):
        if column.values.dtype == object:
            top = pd.Series(column.values).value_counts().index[:12]
            counts = [[(column.values[rows] == name).sum() for name in top] for _, rows in groups]
            below = np.zeros(len(top))
            for heights in counts:
                axes.bar(range(len(top)), heights, bottom=below)
                below += heights
            axes.set_xticks(range(len(top)), written([str(name)[:12] for name in top]), rotation=45, ha="right")
        else:
            parts = [column.values[rows & ~np.isnan(column.values)] for _, rows in groups]
            axes.hist(parts, bins=20, stacked=True)
            axes.xaxis.set_major_locator(MaxNLocator(5))
        gone = f", {column.missing:,} missing" if column.missing else ""
        axes.set_title(written([f"{column.name[:24]}{gone}"])[0], fontsize=9)
        axes.tick_params(labelsize=7)
    for axes in figure.axes[len(shown) :]:
        axes.set_axis_off()
    if len(groups) > 1:
        figure.legend(written([name for name, _ in groups]), loc="outside upper right", fontsize=8)
    return pixels(figure)


def bars(columns: list[Column], target: str) -> np.ndarray:
    """How strongly each column goes with the target, the strongest on top."""
    ordered = sorted(columns, key=lambda column: np.nan_to_num(abs(column.goes_with)))[-MOST:]
    figure = Figure(figsize=(6.0, 1.0 + 0.28 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    colours = ["tab:red" if column.goes_with < 0 else "tab:blue" for column in ordered]
    axes.barh(range(len(ordered)), [abs(column.goes_with) for column in ordered], color=colours)
    names = [f"{column.name[:24]} ({column.measure})" for column in ordered]
    axes.set_yticks(range(len(ordered)), written(names))
    axes.set_xlim(0.0, 1.0)
    axes.set_title(written([f"goes with {target[:40]} (red: the other way)"])[0], fontsize=10)
    return pixels(figure)


def matrix(columns: list[Column]) -> np.ndarray:
    """Pearson's correlation between columns of numbers, over the rows that have both."""
    values = pd.DataFrame(dict(enumerate(column.values for column in columns))).corr().to_numpy()
    names = written([column.name[:20] for column in columns])
    figure = Figure(figsize=(2.5 + 0.45 * len(names),) * 2, layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(values, cmap="RdBu", vmin=-1.0, vmax=1.0)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    if len(names) <= 12:
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7)
    figure.colorbar(shown, shrink=0.7)
    return pixels(figure)
