"""Pictures of the native environments: shapes in world coordinates, drawn large and scaled down to smooth the edges."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Colour = tuple[int, int, int]
Point = Sequence[float]

PAPER, INK, GREY, LIGHT = (250, 249, 245), (45, 52, 64), (150, 156, 166), (222, 223, 220)
RED, GREEN, BLUE, ORANGE, YELLOW = (214, 72, 66), (88, 160, 92), (66, 122, 191), (232, 142, 58), (242, 201, 76)
OVERSAMPLE = 2


class Canvas:
    """A picture of `size` (width, height) pixels of the world from (left, bottom) to (right, top), y upwards."""

    def __init__(self, size: tuple[int, int], view: tuple[float, float, float, float], background: Colour = PAPER):
        import pygame  # pictures are asked for: nothing else needs the library

        self.pygame, self.size = pygame, size
        left, bottom, right, self.top = view
        self.left, self.scale = left, OVERSAMPLE * min(size[0] / (right - left), size[1] / (self.top - bottom))
        self.surface = pygame.Surface((size[0] * OVERSAMPLE, size[1] * OVERSAMPLE))
        self.surface.fill(background)

    def _pixel(self, point: Point) -> tuple[float, float]:
        return (float(point[0]) - self.left) * self.scale, (self.top - float(point[1])) * self.scale

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self.pygame.draw.polygon(self.surface, colour, [self._pixel(point) for point in points])

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour, rounding: float = 0.0) -> None:
        (x0, y0), (x1, y1) = self._pixel((left, top)), self._pixel((right, bottom))
        area = self.pygame.Rect(round(x0), round(y0), round(x1) - round(x0), round(y1) - round(y0))
        self.pygame.draw.rect(self.surface, colour, area, border_radius=round(rounding * self.scale))

    def circle(self, centre: Point, radius: float, colour: Colour) -> None:
        self.pygame.draw.circle(self.surface, colour, self._pixel(centre), max(float(radius) * self.scale, 1.0))

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """`width` in the world's units; at least one pixel is drawn."""
        pixels = max(round(width * self.scale), OVERSAMPLE)
        self.pygame.draw.lines(self.surface, colour, False, [self._pixel(point) for point in points], pixels)
        if pixels > 2 * OVERSAMPLE:
            for point in points:  # round joints
                self.pygame.draw.circle(self.surface, colour, self._pixel(point), pixels / 2)

    def text(self, words: str, centre: Point, height: float, colour: Colour = INK) -> None:
        """One line, `height` in the world's units."""
        picture = _font(round(height * self.scale)).render(words, True, colour)
        self.surface.blit(picture, picture.get_rect(center=self._pixel(centre)))

    def image(self) -> np.ndarray:
        """[H, W, 3] uint8."""
        small = self.pygame.transform.smoothscale(self.surface, self.size)
        return self.pygame.surfarray.array3d(small).swapaxes(0, 1)


@functools.cache
def _font(pixels: int):
    import pygame

    pygame.font.init()
    return pygame.font.Font(None, pixels)


def turned(points: Sequence[Point], angle: float, origin: Point = (0.0, 0.0)) -> list[tuple[float, float]]:
    """The points turned by `angle` (radians, anticlockwise) about (0, 0), then moved to `origin`."""
    cos, sin = np.cos(angle), np.sin(angle)
    return [(origin[0] + cos * x - sin * y, origin[1] + sin * x + cos * y) for x, y in points]


def gymnasium_picture(env_class: str) -> Callable[[np.ndarray], np.ndarray]:
    """A render function that lets Gymnasium's own environment, "module:Class", draw the state."""

    @functools.cache
    def painter() -> Any:
        module, name = env_class.split(":")
        env = getattr(importlib.import_module(module), name)(render_mode="rgb_array")
        env.reset(seed=0)
        return env

    def render(state: np.ndarray) -> np.ndarray:
        painter().state = state
        return painter().render()

    return render
