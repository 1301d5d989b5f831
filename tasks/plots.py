"""Pictures for TensorBoard as uint8 arrays [H, W, 3]."""

from __future__ import annotations

import unicodedata

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agent_gym.tasks.scores import confusion

HANGUL_FONTS = ("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo")


def written(words: list[str]) -> tuple[list[str], list[str]]:
    """Words as a picture can show them, and the fonts for them: without a font for it Hangul is romanised."""
    found = [font for font in HANGUL_FONTS if font in font_manager.get_font_names()]
    if found or not any("\uac00" <= character <= "\ud7a3" for word in words for character in word):
        return words, [*found[:1], "DejaVu Sans"]
    return ["".join(map(_romanised, word)) for word in words], ["DejaVu Sans"]


def _romanised(character: str) -> str:
    """A syllable of Hangul by the name that Unicode gives it."""
    return unicodedata.name(character).split()[-1].lower() if "\uac00" <= character <= "\ud7a3" else character


def pixels(figure: Figure) -> np.ndarray:
    """A figure as uint8 [H, W, 3]."""
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
    queries, fonts = written(queries)
    keys, _ = written(keys)
    side = float(np.clip(0.16 * max(len(queries), len(keys)), 2.2, 6.0))
    figure = Figure(figsize=(side * columns, side * rows), layout="constrained")
    for layer, line in enumerate(figure.subplots(rows, columns, squeeze=False)):
        for head, axes in enumerate(line):
            axes.imshow(weights[layer][head], cmap="Blues", vmin=0.0, aspect="auto", interpolation="nearest")
            axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=8)
            shown = max(len(queries), len(keys)) <= 60
            axes.set_yticks(
                range(len(queries)) if shown and head == 0 else [], queries if shown and head == 0 else [], family=fonts
            )
            last = shown and layer == rows - 1
            axes.set_xticks(range(len(keys)) if last else [], keys if last else [], rotation=90, family=fonts)
            axes.tick_params(labelsize=6)
    figure.supxlabel("looked at", fontsize=8)
    figure.supylabel("looks", fontsize=8)
    return pixels(figure)
