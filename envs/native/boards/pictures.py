"""Pictures of boards, from cells [rows][columns]: 0 empty, 1 the first player's, 2 the second's."""

from __future__ import annotations

import math

import numpy as np

from agent_gym.envs.native.drawing import BLUE, INK, LIGHT, ORANGE, PAPER, RED, YELLOW, Canvas

WIDTH = 480  # pixels of a picture's longer side
MARGIN, WIDE = 0.1, 0.15  # around a board, in cells; around crosses and noughts
HIGH = math.sqrt(0.75)  # between the rows of hexagons
RIM = 0.9  # around hexagons, for the edges
WOOD, FELT, WHITE = (222, 184, 125), (72, 132, 94), (248, 248, 246)


def _canvas(rows: float, columns: float, background: tuple[int, int, int], margin: float) -> Canvas:
    longer = max(rows, columns) + 2 * margin
    size = tuple(2 * round(WIDTH * (side + 2 * margin) / longer / 2) for side in (columns, rows))
    return Canvas(size, (-margin, -margin, columns + margin, rows + margin), background)


def pointed(rows: int, columns: int, x: float, y: float, margin: float = MARGIN) -> int | None:
    """The square cell, row by row, at a place in a picture, in shares of its width and height; None beside all."""
    row, column = math.floor(y * (rows + 2 * margin) - margin), math.floor(x * (columns + 2 * margin) - margin)
    return row * columns + column if 0 <= row < rows and 0 <= column < columns else None


def pointed_hexagon(size: int, x: float, y: float) -> int | None:
    """The same in a picture of hexagons."""
    width, height = _rhombus(size)
    at = x * (width + 2 * RIM) - RIM, height + RIM - y * (height + 2 * RIM)
    far = [math.dist(at, _centre(size, *divmod(cell, size))) for cell in range(size * size)]
    nearest = min(range(len(far)), key=far.__getitem__)
    return nearest if far[nearest] < 1 / math.sqrt(3) else None


def _rhombus(size: int) -> tuple[float, float]:
    """Width and height of the hexagons of a board, whose sides have a length of 1 / √3."""
    return 1.5 * size, HIGH * size + 0.4


def _centre(size: int, row: int, column: int) -> tuple[float, float]:
    return column + 0.5 * row + 0.5, _rhombus(size)[1] - 0.5 - HIGH * row


def draw_crosses(cells: list[list[int]]) -> np.ndarray:
    """Crosses for the first player, noughts for the second."""
    rows, columns = len(cells), len(cells[0])
    canvas = _canvas(rows, columns, PAPER, WIDE)
    for line in range(1, rows):
        canvas.line(((line, 0), (line, rows)), LIGHT, 0.05)
        canvas.line(((0, line), (columns, line)), LIGHT, 0.05)
    for row, marks in enumerate(cells):
        for column, mark in enumerate(marks):
            x, y = column + 0.5, rows - row - 0.5
            if mark == 1:
                for slope in (-0.28, 0.28):
                    canvas.line(((x - 0.28, y - slope), (x + 0.28, y + slope)), BLUE, 0.1)
            elif mark == 2:
                canvas.circle((x, y), 0.34, ORANGE)
                canvas.circle((x, y), 0.24, PAPER)
    return canvas.image()


def draw_discs(cells: list[list[int]]) -> np.ndarray:
    """Red discs for the first player, yellow ones for the second, in a frame with holes."""
    rows, columns = len(cells), len(cells[0])
    canvas = _canvas(rows, columns, BLUE, MARGIN)
    for row, discs in enumerate(cells):
        for column, disc in enumerate(discs):
            canvas.circle((column + 0.5, rows - row - 0.5), 0.4, (PAPER, RED, YELLOW)[disc])
    return canvas.image()


def draw_stones(cells: list[list[int]], *, between_lines: bool) -> np.ndarray:
    """Black stones for the first player, white ones for the second: between the lines on felt, or on them on wood."""
    rows, columns = len(cells), len(cells[0])
    canvas = _canvas(rows, columns, FELT if between_lines else WOOD, MARGIN)
    shift = 0.0 if between_lines else 0.5
    for line in range(rows + (1 if between_lines else 0)):
        canvas.line(((line + shift, shift), (line + shift, rows - shift)), INK, 0.02)
        canvas.line(((shift, line + shift), (columns - shift, line + shift)), INK, 0.02)
    for row, stones in enumerate(cells):
        for column, stone in enumerate(stones):
            if stone:
                canvas.circle((column + 0.5, rows - row - 0.5), 0.43, INK)
                canvas.circle((column + 0.5, rows - row - 0.5), 0.41, (INK, WHITE)[stone - 1])
    return canvas.image()


def draw_hexagons(cells: list[list[int]]) -> np.ndarray:
    """Hexagons in a rhombus; its upper and lower edges are the first player's, red, the others the second's, blue."""
    size = len(cells)
    width, height = _rhombus(size)
    canvas = _canvas(height, width, PAPER, RIM)
    corners = [(math.cos(math.pi * (k / 3 + 1 / 6)) / math.sqrt(3), math.sin(math.pi * (k / 3 + 1 / 6)) / math.sqrt(3))
               for k in range(6)]  # fmt: skip

    for row in range(-1, size + 1):
        for column in range(-1, size + 1):
            if (0 <= row < size) != (0 <= column < size):
                x, y = _centre(size, row, column)
                colour = RED if 0 <= column < size else BLUE
                canvas.polygon([(x + 0.6 * dx, y + 0.6 * dy) for dx, dy in corners], colour)
    for row, stones in enumerate(cells):
        for column, stone in enumerate(stones):
            x, y = _centre(size, row, column)
            canvas.polygon([(x + dx, y + dy) for dx, dy in corners], INK)
            canvas.polygon([(x + 0.95 * dx, y + 0.95 * dy) for dx, dy in corners], (LIGHT, RED, BLUE)[stone])
    return canvas.image()
