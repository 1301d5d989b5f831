"""What is drawn beside the picture of an environment: return, value and the policy's numbers. No window needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import gymnasium
import numpy as np
from PIL import Image, ImageDraw

from agent_gym.viewing.bars import CELL, CHOSEN, FAINT, INK, draw_rows, font, number, policy_title, rows_of, shorten

PANEL, MARGIN, MIN_HEIGHT, MAX_SIDE = 250, 14, 400, 720  # pixels
BACKGROUND, CURVE, LINE = (24, 26, 32), (120, 200, 150), (70, 75, 88)
TRACE, SCALE = 150, 44  # values in the little curve; pixels for the numbers beside it


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


def fit(picture: np.ndarray, width: int, height: int) -> Image.Image:
    """The picture, as large as the box allows; small ones keep sharp pixels."""
    image = Image.fromarray(picture)
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BILINEAR)


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
        self.title = title.rpartition(":")[2]  # an environment's module matters to nobody here
        self.space, self.names, self.grid, self.panel = action_space, list(names), grid, panel
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
                x, y = column * self.cell[0], row * (self.cell[1] + self.caption)
                self._draw_cell(canvas, view, str(index + 1), x, y)
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

    def _draw_cell(self, canvas: Image.Image, view: View, place: str, x: int, y: int) -> None:
        """The picture over its place in the grid, the return and, where there is room, the value."""
        self._paste(canvas, view, x, y, self.cell[1])
        draw = ImageDraw.Draw(canvas)
        width, height = self.cell
        if self.caption:
            top = y + height
            draw.rectangle((x, top, x + width - 2, top + self.caption - 2), CELL)
            gain, value = number(view.episode_return), f"value {number(view.values[-1])}" if view.values else ""
            draw.text((x + 5, top + 3), place, FAINT, font(13))
            start = 5 + round(font(13).getlength("00")) + 8
            draw.text((x + start, top + 3), gain, CHOSEN if view.ended else INK, font(13))
            if start + font(13).getlength(f"{gain}  {value}") < width - 7:
                draw.text((x + width - 7, top + 3), value, FAINT, font(13), anchor="ra")
        draw.rectangle((x, y, x + width - 1, y + height + self.caption - 1), outline=BACKGROUND)

    def _draw_panel(self, draw: ImageDraw.ImageDraw, view: View, x: int) -> None:
        right = x + PANEL - 2 * MARGIN
        y = MARGIN - 4
        face = font(18 if font(18).getlength(self.title) <= right - x else 14)
        draw.text((x, y), shorten(self.title, face, right - x), INK, face)
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
            curve(draw, view.values, (x, y + 26, right, y + 66))
            y += 80
        bottom = self.size[1] - 16 - 16 * self.status.count("\n") - (10 if self.status else 0)
        draw.multiline_text((x, self.size[1] - 8), self.status, FAINT, font(12), anchor="ld")
        lines = rows_of(view.policy, view.action, self.names, self.space)
        if lines:
            title, scale = policy_title(view.policy)
            if font(14).getlength(title) + font(11).getlength(scale) + 6 > right - x:
                scale = scale.removeprefix("bars from ")
            draw.text((x, y), title, FAINT, font(14))
            draw.text((right, y + 3), scale, FAINT, font(11), anchor="ra")
            draw_rows(draw, lines, (x, y + 24, right, bottom), (9, 26))


def curve(draw: ImageDraw.ImageDraw, values: Sequence[float], box: tuple[int, int, int, int]) -> None:
    """The latest values from left to right on the scale of the whole episode, whose ends stand beside the curve."""
    left, top, right, bottom = box
    edge = right - SCALE
    draw.rectangle((left, top, edge, bottom), CELL)
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return
    low, high = scale_of(finite)
    recent = [(bottom - 4 - (value - low) / (high - low) * (bottom - top - 8)) for value in finite[-TRACE:]]
    if low < 0.0 < high:
        zero = bottom - 4 + low / (high - low) * (bottom - top - 8)
        draw.line((left, zero, edge, zero), LINE)
        if min(zero - top, bottom - zero) > 13:
            draw.text((right, zero), "0", FAINT, font(11), anchor="rm")
    draw.text((right, top), number(high, high - low), FAINT, font(11), anchor="ra")
    draw.text((right, bottom), number(low, high - low), FAINT, font(11), anchor="rd")
    if len(recent) > 1:
        step = (edge - left - 6) / (TRACE - 1)
        draw.line([(left + 3 + i * step, y) for i, y in enumerate(recent)], CURVE, 2)


def scale_of(values: Sequence[float]) -> tuple[float, float]:
    """The range of the values, widened to a hundredth of their size: what is smaller is noise to a spectator."""
    low, high = min(values), max(values)
    least = max(0.01 * max(abs(low), abs(high)), 1e-6)
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    return low, high
