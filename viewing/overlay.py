"""What is drawn beside the picture of an environment: return, value and the policy's numbers. No window needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import gymnasium
import numpy as np
from PIL import Image, ImageDraw, ImageFont

PANEL, MARGIN, MIN_HEIGHT, MAX_SIDE = 250, 14, 400, 720  # pixels
BACKGROUND, CELL, INK, FAINT = (24, 26, 32), (34, 37, 45), (235, 236, 240), (128, 134, 148)
BAR, CHOSEN, CURVE = (72, 104, 150), (255, 176, 64), (120, 200, 150)
TRACE = 150  # values in the little curve


@dataclass
class View:
    """One environment as spectators see it now."""

    picture: np.ndarray  # [H, W, 3] uint8
    number: int = 1
    """Of the episode, from 1."""
    episode_return: float = 0.0
    length: int = 0
    ended: bool = False
    action: np.ndarray | None = None
    """What the agent is about to do."""
    policy: dict[str, np.ndarray] = field(default_factory=dict)
    """One environment's share of `Agent.inspect`."""
    values: list[float] = field(default_factory=list)
    """Value estimates of the episode so far."""


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def number(value: float) -> str:
    """A number of about four digits."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def fit(picture: np.ndarray, width: int, height: int) -> Image.Image:
    """The picture, as large as the box allows; small ones keep sharp pixels."""
    image = Image.fromarray(picture)
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BILINEAR)


def action_names(env: gymnasium.Env, space: gymnasium.Space) -> list[str]:
    """A name for each discrete action: the environment's own meanings where it tells them (`get_action_meanings`)."""
    if not isinstance(space, gymnasium.spaces.Discrete):
        return []
    if env.has_wrapper_attr("get_action_meanings"):
        return [str(name).replace("_", " ").lower() for name in env.get_wrapper_attr("get_action_meanings")()]
    return [str(i) for i in range(int(space.n))]


class Stage:
    """Lays out one environment with a panel, or a grid of them with a caption each, on a canvas of fixed size."""

    def __init__(
        self,
        title: str,
        action_space: gymnasium.Space,
        names: Sequence[str] = (),
        grid: tuple[int, int] = (1, 1),
        *,
        panel: bool = True,
    ) -> None:
        self.title, self.space, self.names, self.grid, self.panel = title, action_space, list(names), grid, panel
        self.subtitle = ""
        self.status = ""
        self.views: Sequence[View] = ()  # drawn last
        self.size: tuple[int, int] | None = None  # (width, height), set by the first picture

    def draw(self, views: Sequence[View]) -> np.ndarray:
        """The canvas [H, W, 3] uint8 with even sides; `views` row by row."""
        self.views = views
        if self.size is None:
            self._measure(views[0].picture)
        canvas = Image.new("RGB", self.size, BACKGROUND)
        if self.grid == (1, 1):
            self._paste(canvas, views[0], 0, 0)
            if self.panel:
                self._draw_panel(ImageDraw.Draw(canvas), views[0], self.cell[0] + MARGIN)
        else:
            for index, view in enumerate(views):
                row, column = divmod(index, self.grid[1])
                self._draw_cell(canvas, view, column * self.cell[0], row * (self.cell[1] + self.caption))
        return np.asarray(canvas)

    def redraw(self) -> np.ndarray:
        return self.draw(self.views)

    def _measure(self, picture: np.ndarray) -> None:
        height, width = picture.shape[:2]
        rows, columns = self.grid
        single = self.grid == (1, 1)
        self.caption = 0 if single or not self.panel else 22
        limit = MAX_SIDE if single else MAX_SIDE * 4 // 3
        scale = min(limit / (rows * height), limit * 4 / 3 / (columns * width))
        if scale > 1:  # enlarge by whole numbers, and not beyond comfort
            scale = max(1, min(int(scale), math.ceil(MIN_HEIGHT / (rows * height))))
        self.cell = max(1, round(width * scale)), max(1, round(height * scale))
        width, height = columns * self.cell[0], rows * (self.cell[1] + self.caption)
        if single and self.panel:
            width, height = width + PANEL, max(height, MIN_HEIGHT)
        self.size = width + width % 2, height + height % 2

    def _paste(self, canvas: Image.Image, view: View, x: int, y: int, height: int | None = None) -> None:
        image = fit(view.picture, *self.cell)
        height = height or canvas.height
        canvas.paste(image, (x + (self.cell[0] - image.width) // 2, y + (height - image.height) // 2))

    def _draw_cell(self, canvas: Image.Image, view: View, x: int, y: int) -> None:
        self._paste(canvas, view, x, y, self.cell[1])
        draw = ImageDraw.Draw(canvas)
        width, height = self.cell
        if self.caption:
            top = y + height
            draw.rectangle((x, top, x + width - 2, top + self.caption - 2), CELL)
            draw.text((x + 5, top + 3), number(view.episode_return), CHOSEN if view.ended else INK, font(13))
            if view.values:
                text = f"value {number(view.values[-1])}"
                draw.text((x + width - 7, top + 3), text, FAINT, font(13), anchor="ra")
        draw.rectangle((x, y, x + width - 1, y + height + self.caption - 1), outline=BACKGROUND)

    def _draw_panel(self, draw: ImageDraw.ImageDraw, view: View, x: int) -> None:
        right = x + PANEL - 2 * MARGIN
        y = MARGIN - 4
        draw.text((x, y), shorten(self.title, font(18), right - x), INK, font(18))
        draw.text((x, y + 24), shorten(self.subtitle, font(12), right - x), FAINT, font(12))
        draw.text((x, y + 46), f"episode {view.number}   step {view.length:,}", FAINT, font(14))
        if view.ended:
            draw.text((right, y + 46), "ended", CHOSEN, font(14), anchor="ra")
        y += 72
        draw.text((x, y), "return", FAINT, font(14))
        draw.text((right, y - 6), number(view.episode_return), INK, font(24), anchor="ra")
        y += 32
        if view.values:
            draw.text((x, y), "value", FAINT, font(14))
            draw.text((right, y - 3), number(view.values[-1]), CURVE, font(18), anchor="ra")
            curve(draw, view.values[-TRACE:], (x, y + 26, right, y + 66))
            y += 80
        bottom = self.size[1] - 16 - 16 * self.status.count("\n") - (10 if self.status else 0)
        draw.multiline_text((x, self.size[1] - 8), self.status, FAINT, font(12), anchor="ld")
        lines = rows_of(view.policy, view.action, self.names, self.space)
        if lines:
            label = {"probs": "action probabilities", "bit_probs": "probability of 1", "q": "action values"}
            kind = next((label[name] for name in label if name in view.policy), "action: mean ± std")
            draw.text((x, y), kind, FAINT, font(14))
            y += 24
            height = max(9, min(26, (bottom - y) // len(lines)))
            face = font(min(13, height - 1))
            indent = min(80, 8 + max(round(face.getlength(line.name)) for line in lines))
            for line in lines[: max(1, (bottom - y) // height)]:
                line.draw(draw, face, (x, y, right, y + height), indent)
                y += height


def shorten(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """`text`, its end cut off where it is wider than `width` pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "..") > width:
        text = text[:-1]
    return text + ".."


def curve(draw: ImageDraw.ImageDraw, values: Sequence[float], box: tuple[int, int, int, int]) -> None:
    """The values from left to right, the box's height their range."""
    left, top, right, bottom = box
    draw.rectangle(box, CELL)
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return
    low, high = min(finite), max(finite)
    span = max(high - low, 1e-6)
    step = (right - left - 6) / (TRACE - 1)
    points = [(left + 3 + i * step, bottom - 4 - (v - low) / span * (bottom - top - 8)) for i, v in enumerate(finite)]
    draw.line(points, CURVE, 2)


@dataclass
class Line:
    """A row of the panel: a name, a bar from `start` to `end` of the width (0 to 1), a text, perhaps marks."""

    name: str
    start: float
    end: float
    text: str
    chosen: bool = False
    marks: tuple[float, ...] = ()

    def draw(
        self, draw: ImageDraw.ImageDraw, face: ImageFont.FreeTypeFont, box: tuple[int, int, int, int], indent: int
    ) -> None:
        x, y, right, bottom = box
        colour, middle = INK if self.chosen else FAINT, (y + bottom) / 2
        draw.text((x, middle), shorten(self.name, face, indent - 8), colour, face, anchor="lm")
        draw.text((right, middle), self.text, colour, face, anchor="rm")
        left, end = x + indent, right - (48 if len(self.text) < 7 else 86)
        top, bottom, width = y + 2, bottom - 3, end - left
        draw.rectangle((left, top, end, bottom), CELL)
        if self.end > self.start:
            bar = (left + self.start * width, top, left + self.end * width, bottom)
            draw.rectangle(bar, CHOSEN if self.chosen else BAR)
        for mark in self.marks:
            draw.line((left + mark * width, top, left + mark * width, bottom), INK, 2)


def rows_of(
    policy: dict[str, np.ndarray], action: np.ndarray | None, names: Sequence[str], space: gymnasium.Space
) -> list[Line]:
    """The panel's rows for the policy's numbers, the chosen action marked."""
    if "probs" in policy:
        probs = np.atleast_2d(policy["probs"])  # [m, n]
        chosen = np.full(len(probs), -1) if action is None else np.atleast_1d(action)
        sizes = getattr(space, "nvec", [probs.shape[1]])
        lines = []
        for i, row in enumerate(probs):
            for j in range(int(sizes[i])):
                name = f"{i}: {j}" if len(probs) > 1 else names[j] if j < len(names) else str(j)
                lines.append(Line(name, 0.0, float(row[j]), f"{row[j]:.0%}", bool(chosen[i] == j)))
        return lines
    if "bit_probs" in policy:
        bits = np.zeros(len(policy["bit_probs"])) if action is None else np.ravel(action)
        return [
            Line(str(i), 0.0, float(p), f"{p:.0%}", bool(bit))
            for i, (p, bit) in enumerate(zip(policy["bit_probs"], bits, strict=True))
        ]
    if "q" in policy:
        q = policy["q"]
        low, span = float(q.min()), max(float(q.max() - q.min()), 1e-6)
        return [
            Line(
                names[j] if j < len(names) else str(j),
                0.0,
                (float(v) - low) / span,
                number(v),
                action is not None and action == j,
            )
            for j, v in enumerate(q)
        ]
    if "mean" in policy:
        return gaussian_rows(policy["mean"], policy["std"], action, space)
    return []


def gaussian_rows(
    mean: np.ndarray, std: np.ndarray, action: np.ndarray | None, space: gymnasium.spaces.Box
) -> list[Line]:
    """A band of one deviation around the mean on the action's range (±3 without bounds), a mark at the action."""
    low, high = np.ravel(space.low), np.ravel(space.high)
    low, high = np.where(np.isfinite(low), low, -3.0), np.where(np.isfinite(high), high, 3.0)
    taken = mean if action is None else np.ravel(action)
    place = [np.clip((x - low) / (high - low), 0.0, 1.0) for x in (mean - std, mean + std, taken)]
    return [
        Line(
            str(i), float(place[0][i]), float(place[1][i]), f"{mean[i]:.2f} ± {std[i]:.2f}", marks=(float(place[2][i]),)
        )
        for i in range(len(mean))
    ]
