"""Pictures for TensorBoard as uint8 arrays [H, W, 3]."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from agent_gym.tasks.scores import confusion

HANGUL_FONTS = ("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo")


@cache
def fonts() -> tuple[str, ...]:
    """For all letters of a picture, the one for Hangul last, where there is one."""
    known = set(font_manager.get_font_names())
    return ("DejaVu Sans", *[font for font in HANGUL_FONTS if font in known][:1])


def written(words: Sequence[str]) -> list[str]:
    """Words as a picture can show them: without a font for it Hangul is romanised."""
    return list(words) if len(fonts()) > 1 else ["".join(map(_romanised, word)) for word in words]


def _romanised(character: str) -> str:
    """A syllable of Hangul by the name that Unicode gives it."""
    return unicodedata.name(character).split()[-1].lower() if "\uac00" <= character <= "\ud7a3" else character


def pixels(figure: Figure) -> np.ndarray:
    """A figure as uint8 [H, W, 3]."""
    for axes in figure.axes:
        axes.get_xticklabels(), axes.get_yticklabels()  # they are not there before they are asked for
    for text in figure.findobj(Text):
        text.set_fontfamily(fonts())
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
    names = written(classes)
    axes.set_xticks(range(len(classes)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) <= 20:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return pixels(figure)


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
    return pixels(figure)


def attention_image(weights: list[np.ndarray], queries: list[str], keys: list[str]) -> np.ndarray:
    """Where each query looks: weights [heads, T, S] of each layer, a row of pictures a layer and a picture a head."""
    rows, columns = len(weights), len(weights[0])
    queries, keys = written(queries), written(keys)
    side = float(np.clip(0.16 * max(len(queries), len(keys)), 2.2, 6.0))
    figure = Figure(figsize=(side * columns, side * rows), layout="constrained")
    for layer, line in enumerate(figure.subplots(rows, columns, squeeze=False)):
        for head, axes in enumerate(line):
            axes.imshow(weights[layer][head], cmap="Blues", vmin=0.0, aspect="auto", interpolation="nearest")
            axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=8)
            shown = max(len(queries), len(keys)) <= 60
            first, last = shown and head == 0, shown and layer == rows - 1
            axes.set_yticks(range(len(queries)) if first else [], queries if first else [])
            upright = max(map(len, keys)) <= 2
            axes.set_xticks(range(len(keys)) if last else [], keys if last else [], rotation=0 if upright else 90)
            axes.tick_params(labelsize=6)
    figure.supxlabel("looked at", fontsize=8)
    figure.supylabel("looks", fontsize=8)
    return pixels(figure)


def curves_image(
    panels: dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]],
    xlabel: str,
    *,
    log: str = "",
    columns: int = 2,
) -> np.ndarray:
    """A panel for each title with the curves (x, y) by name; `log` holds the axes that are logarithmic, "x", "y"."""
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.0 * min(columns, len(panels)), 3.4 * rows), layout="constrained")
    for axes, (title, curves) in zip(
        figure.subplots(rows, min(columns, len(panels)), squeeze=False).flat, panels.items(), strict=False
    ):
        for name, (x, y) in curves.items():
            axes.plot(x, y, marker="." if len(x) < 30 else None, label=name)
        axes.set(title=title, xlabel=xlabel)
        axes.set_xscale("log" if "x" in log else "linear")
        axes.set_yscale("log" if "y" in log else "linear")
        axes.grid(alpha=0.3)
        if len(curves) > 1:
            axes.legend(fontsize="small")
    return pixels(figure)


def bars_image(
    panels: dict[str, dict[str, Sequence[float]]], labels: Sequence[str], *, log: bool = False
) -> np.ndarray:
    """A panel for each title with groups of bars: a group for each label, a colour for each name."""
    figure = Figure(figsize=(9.0, 3.4 * len(panels)), layout="constrained")
    for axes, (title, groups) in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True):
        width = 0.8 / len(groups)
        for number, (name, heights) in enumerate(groups.items()):
            axes.bar(np.arange(len(heights)) + (number - (len(groups) - 1) / 2) * width, heights, width, label=name)
        axes.set_xticks(range(len(labels)), labels, fontsize="small")
        axes.set_title(title)
        axes.set_yscale("log" if log and any(h > 0 for heights in groups.values() for h in heights) else "linear")
        axes.grid(alpha=0.3, axis="y")
        axes.legend(fontsize="small")
    return pixels(figure)


def gallery_image(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str] = (),
    *,
    columns: int = 10,
    colours: str = "gray",
    boxes: Sequence[Sequence[tuple[float, float, float, float, str]]] = (),
) -> np.ndarray:
    """Pictures [H, W] beside each other, each over its own range; boxes as (left, top, right, bottom, colour)."""
    rows, room = -(-len(pictures) // columns), 0.28 if titles else 0.0
    across, down = 1.1, max(picture.shape[0] / picture.shape[1] for picture in pictures) + room + 0.1
    figure = Figure(figsize=(1.2 * across * columns, 1.2 * down * rows))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))  # one for all: many take seconds to lay out
    axes.axis("off")
    for number, picture in enumerate(pictures):
        left, top = number % columns * across, number // columns * down + room
        height, width = picture.shape
        axes.imshow(picture, cmap=colours, extent=(left, left + 1.0, top + height / width, top))
        if number < len(titles):
            axes.text(left + 0.5, top - 0.05, titles[number], ha="center", va="bottom", fontsize="small")
        for first, upper, last, lower, colour in boxes[number] if number < len(boxes) else ():
            corner = left + (first + 0.5) / width, top + (upper + 0.5) / width
            size = (last - first) / width, (lower - upper) / width
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour))
    axes.set(xlim=(-0.05, columns * across - 0.05), ylim=(rows * down - 0.05, -0.05))
    return pixels(figure)


def points_image(clouds: dict[str, np.ndarray], limit: float) -> np.ndarray:
    """Points [N, 2] beside each other, a panel for each name, axes from -limit to limit."""
    figure = Figure(figsize=(4.0 * len(clouds), 4.2), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(1, len(clouds), squeeze=False)[0], clouds.items(), strict=True):
        axes.scatter(*points.T, s=3, alpha=0.4)
        axes.set(title=name, xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    return pixels(figure)
