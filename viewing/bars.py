"""The policy's numbers as rows of names, bars and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import gymnasium
import numpy as np
from PIL import ImageDraw, ImageFont

CELL, INK, FAINT = (34, 37, 45), (235, 236, 240), (128, 134, 148)
FORBIDDEN, DIM = (58, 40, 44), (88, 80, 86)  # the cell and the words of an action that is not allowed
BAR, CHOSEN, SIZE = (72, 104, 150), (255, 176, 64), (96, 102, 116)


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def number(value: float, span: float = math.inf) -> str:
    """A number of about four digits; of more where numbers `span` apart would look the same."""
    if not math.isfinite(value):
        return str(value)
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    if 0.0 < span < math.inf:
        digits = max(digits, min(1 - math.floor(math.log10(span)), 6))
    return f"{value:,.{digits}f}"


def shorten(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """`text`, its end cut off where it is wider than `width` pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "..") > width:
        text = text[:-1]
    return text + ".."


@dataclass
class Line:
    """A row of the panel: a name, a bar from `start` to `end` of the width (0 to 1), a text, perhaps marks.

    `size`: start and end of a thin second bar below the first. `allowed`: whether the action may be taken now; one that
    may not has no bar, and its cell is crossed.
    """

    name: str
    start: float
    end: float
    text: str
    chosen: bool = False
    marks: tuple[float, ...] = ()
    size: tuple[float, float] | None = None
    allowed: bool = True

    def draw(
        self, draw: ImageDraw.ImageDraw, face: ImageFont.FreeTypeFont, box: tuple[int, int, int, int], indent: int
    ) -> None:
        x, y, right, bottom = box
        colour, middle = INK if self.chosen else FAINT if self.allowed else DIM, (y + bottom) / 2
        draw.text((x, middle), shorten(self.name, face, indent - 8), colour, face, anchor="lm")
        draw.text((right, middle), self.text, colour, face, anchor="rm")
        left, end = x + indent, right - (48 if len(self.text) < 7 else 86)
        top, bottom, width = y + 2, bottom - 3, end - left
        draw.rectangle((left, top, end, bottom), CELL if self.allowed else FORBIDDEN)
        if not self.allowed:
            draw.line((left, bottom, end, top), DIM)
            return
        if self.size is not None:
            draw.rectangle((left + self.size[0] * width, bottom - 1, left + self.size[1] * width, bottom), SIZE)
            bottom -= 3
        if self.end > self.start:
            bar = (left + self.start * width, top, left + self.end * width, bottom)
            draw.rectangle(bar, CHOSEN if self.chosen else BAR)
        for mark in self.marks:
            draw.line((left + mark * width, top, left + mark * width, bottom), INK, 2)


def draw_rows(
    draw: ImageDraw.ImageDraw, lines: Sequence[Line], box: tuple[int, int, int, int], heights: tuple[int, int]
) -> None:
    """The lines one below the other, as many as the box holds; `heights`: the least and the most of one, in pixels."""
    x, y, right, bottom = box
    height = max(heights[0], min(heights[1], (bottom - y) // len(lines)))
    face = font(min(13, height - 1))
    indent = min(92, 8 + max(round(face.getlength(line.name)) for line in lines))
    for line in lines[: max(1, (bottom - y) // height)]:
        line.draw(draw, face, (x, y, right, y + height), indent)
        y += height


def rows_of(
    policy: dict[str, np.ndarray], action: np.ndarray | None, names: Sequence[str], space: gymnasium.Space
) -> list[Line]:
    """The panel's rows for the policy's numbers, the chosen action marked, and those that are not allowed."""
    rows = _rows(policy, action, names, space)
    allowed = policy.get("allowed", ())
    if len(allowed) == len(rows):  # not those of bits, which have two entries each
        for row, may in zip(rows, allowed, strict=True):
            if not may:
                row.allowed, row.text = False, "no"
    return rows


def _rows(
    policy: dict[str, np.ndarray], action: np.ndarray | None, names: Sequence[str], space: gymnasium.Space
) -> list[Line]:
    if "probs" in policy and "mean" in policy:  # choices before numbers
        split = len(policy["probs"])
        taken = (None, None) if action is None else (action[:split], action[split:])
        low, high = (np.concatenate([getattr(box, end) for box in space["boxes"]]) for end in ("low", "high"))
        box = gymnasium.spaces.Box(low, high, dtype=np.float32)
        chosen = _rows({"probs": policy["probs"]}, taken[0], names, space["choices"])
        return chosen + gaussian_rows(policy["mean"], policy["std"], taken[1], [], box)
    if "probs" in policy:
        probs = np.atleast_2d(policy["probs"])  # [m, n]
        chosen = np.full(len(probs), -1) if action is None else np.atleast_1d(action)
        sizes = getattr(space, "nvec", [probs.shape[1]])
        lines = []
        for i, row in enumerate(probs):
            for j in range(int(sizes[i])):
                name = f"{called(names, i)}: {j}" if len(probs) > 1 else called(names, j)
                lines.append(Line(name, 0.0, float(row[j]), f"{row[j]:.0%}", bool(chosen[i] == j)))
        return lines
    if "bit_probs" in policy:
        bits = np.zeros(len(policy["bit_probs"])) if action is None else np.ravel(action)
        return [
            Line(called(names, i), 0.0, float(p), f"{p:.0%}", bool(bit))
            for i, (p, bit) in enumerate(zip(policy["bit_probs"], bits, strict=True))
        ]
    if "q" in policy and policy["q"].ndim == 2:
        return branch_rows(policy["q"], action, names, space)
    if "q" in policy:
        return value_rows(policy["q"], action, names)
    if "mean" in policy:
        return gaussian_rows(policy["mean"], policy["std"], action, names, space)
    return []


def policy_title(policy: dict[str, np.ndarray]) -> tuple[str, str]:
    """What the rows show, and the scale of their bars where that is not plain."""
    if "q" in policy:
        low, high = q_range(policy["q"])
        return "action values", f"bars from {number(low, high - low)} to {number(high, high - low)}"
    label = {"probs": "action probabilities", "bit_probs": "probability of 1", "mean": "action: mean ± std"}
    return next((label[name] for name in label if name in policy), ""), ""


def called(names: Sequence[str], i: int) -> str:
    return names[i] if i < len(names) else str(i)


def q_range(q: np.ndarray) -> tuple[float, float]:
    """The lowest and highest finite value; 0 and 0 if there is none."""
    finite = q[np.isfinite(q)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)


def value_rows(q: np.ndarray, action: np.ndarray | None, names: Sequence[str]) -> list[Line]:
    """Bars from the lowest value to the highest show what differs; the thin ones below them start at zero and show
    how much that is."""
    low, high = q_range(q)
    bottom, top = min(low, 0.0), max(high, 0.0)

    def place(value: float, low: float, high: float) -> float:
        return float(np.clip((value - low) / max(high - low, 1e-6), 0.0, 1.0)) if np.isfinite(value) else 0.0

    zero = place(0.0, bottom, top)
    lines = []
    for j, value in enumerate(q):
        at = place(value, bottom, top) if np.isfinite(value) else zero
        size = (min(zero, at), max(zero, at))
        chosen = action is not None and bool(action == j)
        text = number(float(value), high - low)
        lines.append(Line(called(names, j), 0.0, place(value, low, high), text, chosen, size=size))
    return lines


def branch_rows(
    q: np.ndarray, action: np.ndarray | None, names: Sequence[str], space: gymnasium.spaces.MultiDiscrete
) -> list[Line]:
    """The values of several choices [m, n], one choice after the other."""
    rows = []
    for i, size in enumerate(space.nvec.ravel()):
        labels = [f"{called(names, i)}: {j}" for j in range(int(size))]
        rows += value_rows(q[i, : int(size)], None if action is None else np.ravel(action)[i], labels)
    return rows


def gaussian_rows(
    mean: np.ndarray, std: np.ndarray, action: np.ndarray | None, names: Sequence[str], space: gymnasium.spaces.Box
) -> list[Line]:
    """A band of one deviation around the mean on the action's range (±3 without bounds), a mark at the action."""
    low, high = np.ravel(space.low), np.ravel(space.high)
    low, high = np.where(np.isfinite(low), low, -3.0), np.where(np.isfinite(high), high, 3.0)
    taken = mean if action is None else np.ravel(action)
    place = [np.clip((x - low) / (high - low), 0.0, 1.0) for x in (mean - std, mean + std, taken)]
    return [
        Line(
            called(names, i),
            float(place[0][i]),
            float(place[1][i]),
            f"{mean[i]:.2f} ± {std[i]:.2f}",
            marks=(float(place[2][i]),),
        )
        for i in range(len(mean))
    ]
