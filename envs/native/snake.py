"""Snake on a grid: every apple makes the snake longer, a wall or its own body ends the game."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core
from agent_gym.envs.native.drawing import BLUE, GREEN, INK, RED, Canvas

SIZE = 8  # cells a side
CELLS = SIZE * SIZE
# Rows of the state after the cells' own: each cell holds the steps until the body leaves it, 0 where it is free.
HEAD, DIRECTION, LENGTH, APPLE = range(CELLS, CELLS + 4)


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [68, B] int64: a snake of two cells away from the walls, heading anywhere; an apple on a free cell."""

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (num_envs,), generator=generator, device=device)

    state = torch.zeros(CELLS + 4, num_envs, dtype=torch.int64, device=device)
    row, column, direction = draw(1, SIZE - 1), draw(1, SIZE - 1), draw(0, 4)
    head, neck = row * SIZE + column, _ahead(row, column, (direction + 2) % 4)[2]
    state.scatter_(0, neck.unsqueeze(0), 1)
    state.scatter_(0, head.unsqueeze(0), 2)
    state[HEAD], state[DIRECTION], state[LENGTH] = head, direction, 2
    state[APPLE] = _free_cell(state[:CELLS], generator)
    return state


def _ahead(row: Tensor, column: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row, column and number of the next cell in a direction: 0 up, 1 right, 2 down, 3 left."""
    row = row + (direction == 2).long() - (direction == 0).long()
    column = column + (direction == 1).long() - (direction == 3).long()
    return row, column, row.clamp(0, SIZE - 1) * SIZE + column.clamp(0, SIZE - 1)


def _free_cell(body: Tensor, generator: torch.Generator) -> Tensor:
    """A free cell [B], each as likely as any other."""
    free = (body == 0).cumsum(0)
    wanted = (torch.rand(body.shape[1], generator=generator, device=body.device) * free[-1]).long()
    return (free <= wanted).sum(0).clamp(max=CELLS - 1)  # the cell whose count is the first above `wanted`


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Move by one cell: up, right, down or left; turning back is ignored. An apple gives 1, the end of the snake -1."""
    head, direction, length, apple = state[CELLS:]
    direction = torch.where((action + 2) % 4 == direction, direction, action)
    row, column, head = _ahead(head // SIZE, head % SIZE, direction)
    crashed = (row < 0) | (row >= SIZE) | (column < 0) | (column >= SIZE)
    ate = (head == apple) & ~crashed
    body = torch.where(ate, state[:CELLS], (state[:CELLS] - 1).clamp(min=0))
    crashed = crashed | (body.gather(0, head.unsqueeze(0))[0] > 0)
    length = length + ate
    body.scatter_(0, head.unsqueeze(0), length.unsqueeze(0))
    apple = torch.where(ate, _free_cell(body, generator), apple)
    state = torch.cat((body, torch.stack((head, direction, length, apple))))
    return state, ate.float() - crashed.float(), crashed | (length == CELLS)


def observe(state: Tensor) -> Tensor:
    """[B, 8, 8, 3] uint8: the apple; the body, fading towards the tail; the head."""
    image = torch.zeros(3, CELLS, state.shape[1], dtype=torch.uint8, device=state.device)
    image[0].scatter_(0, state[APPLE].unsqueeze(0), 255)
    image[1] = (state[:CELLS] * 255 // state[LENGTH]).to(torch.uint8)
    image[2].scatter_(0, state[HEAD].unsqueeze(0), 255)
    return image.view(3, SIZE, SIZE, -1).permute(3, 1, 2, 0).contiguous()


def render(state: np.ndarray) -> np.ndarray:
    """The board from above; the score stands in the corner."""
    canvas = Canvas((480, 480), (-0.2, -0.2, SIZE + 0.2, SIZE + 0.2), INK)
    head, direction, length, apple = (int(x) for x in state[CELLS:])

    def centre(cell: int) -> tuple[float, float]:
        return cell % SIZE + 0.5, SIZE - 0.5 - cell // SIZE

    for cell in range(CELLS):
        x, y = centre(cell)
        shade = (58, 66, 80) if (cell // SIZE + cell) % 2 else (64, 72, 87)
        canvas.box(x - 0.5, y - 0.5, x + 0.5, y + 0.5, shade)
    x, y = centre(apple)
    canvas.circle((x, y - 0.03), 0.3, RED)
    canvas.line(((x, y + 0.2), (x + 0.1, y + 0.4)), GREEN, 0.07)
    body = sorted((cell for cell in range(CELLS) if state[cell] > 0), key=lambda cell: -state[cell])
    for rank, cell in reversed(list(enumerate(body))):
        fade = 1.0 - 0.5 * rank / max(length - 1, 1)
        colour = tuple(round(fade * part) for part in (126, 200, 120))
        if rank + 1 < len(body):
            canvas.line((centre(cell), centre(body[rank + 1])), colour, 0.62)
        canvas.circle(centre(cell), 0.38 if rank == 0 else 0.31, colour)
    x, y = centre(head)
    dx, dy = ((0, 1), (1, 0), (0, -1), (-1, 0))[direction]
    for side in (-0.15, 0.15):
        canvas.circle((x + 0.1 * dx + side * dy, y + 0.1 * dy + side * dx), 0.09, (255, 255, 255))
        canvas.circle((x + 0.14 * dx + side * dy, y + 0.14 * dy + side * dx), 0.05, INK)
    canvas.text(str(length - 2), (0.4, SIZE - 0.35), 0.6, BLUE if length == 2 else (255, 255, 255))
    return canvas.image()


SNAKE = Core(
    "AgentGym/Snake-v0",
    spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
    spaces.Discrete(4),
    500,
    initial,
    step,
    observe,
    render,
    10,
    ("up", "right", "down", "left"),
)
