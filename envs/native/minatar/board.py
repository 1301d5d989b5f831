"""What the five games share: a board of 10 x 10 cells with channels, sticky actions, draws from outside, pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core
from agent_gym.envs.native.drawing import INK, Canvas, Colour

SIZE = 10  # cells a side
CELLS = SIZE * SIZE
STICKY = 0.1  # probability that the last action is taken once more instead of the one that is asked for
LIMIT = 10_000  # steps; the published games know none

Mark = tuple[int, Tensor, Tensor, Tensor]  # channel; row, column [N, B] or [B]; where it is shown, bool


def sticky(action: Tensor, last: Tensor, draw: Tensor) -> Tensor:
    """The action [B] that is taken, by a uniform draw [B]."""
    return torch.where(draw < STICKY, last, action)


def pick(draw: Tensor, count: Tensor | int) -> Tensor:
    """One of 0 … count - 1, int64, by a uniform draw from [0, 1)."""
    return (draw * count).long().clamp(max=count - 1)


def on_board(x: Tensor) -> Tensor:
    """Whether a row or column is one of the board's."""
    return (x >= 0) & (x < SIZE)


def frame(channels: int, num_envs: int, device: torch.device, marks: list[Mark]) -> Tensor:
    """[C, 10, 10, B] bool with the marks; those off the board are not shown."""
    flat = torch.zeros(channels * CELLS + 1, num_envs, dtype=torch.bool, device=device)
    for channel, row, column, shown in marks:
        cell = channel * CELLS + row * SIZE + column
        cell = torch.where(shown & on_board(row) & on_board(column), cell, channels * CELLS)  # else the spare one
        flat.scatter_(0, cell.view(-1, num_envs), True)
    return flat[:-1].view(channels, SIZE, SIZE, num_envs)


def game(
    name: str,
    start: tuple[int, Callable[[Tensor], Tensor]],
    play: tuple[int, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]],
    look: Callable[[Tensor], Tensor],
    colours: tuple[Colour, ...],
    actions: tuple[str, ...],
) -> Core:
    """The Core of a game, where all chance is uniform draws from [0, 1), so that it can be followed draw by draw.

    start: how many draws, and draws [n, B] -> state. play: how many, and (state, action, draws [n, B]) -> (new state,
    reward, terminated). look: state -> channels [C, 10, 10, B]. colours: of the channels, a later one over the earlier.
    """

    def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
        return start[1](torch.rand(start[0], num_envs, generator=generator, device=device))

    def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        return play[1](state, action, torch.rand(play[0], state.shape[-1], generator=generator, device=state.device))

    def observe(state: Tensor) -> Tensor:
        return look(state).permute(3, 1, 2, 0).contiguous()

    def render(state: np.ndarray) -> np.ndarray:
        canvas = Canvas((400, 400), (-0.1, -0.1, SIZE + 0.1, SIZE + 0.1), INK)
        for row, column in np.ndindex(SIZE, SIZE):
            shade = (58, 66, 80) if (row + column) % 2 else (64, 72, 87)
            canvas.box(column, SIZE - 1 - row, column + 1, SIZE - row, shade)
        for channel, cells in enumerate(look(torch.as_tensor(state)[..., None])[..., 0].numpy()):
            for row, column in np.argwhere(cells):
                for depth in range(5):  # brighter towards the middle
                    edge, colour = 0.05 + 0.04 * depth, tuple((6 + depth) * part // 10 for part in colours[channel])
                    bottom = SIZE - 1 - row
                    canvas.box(column + edge, bottom + edge, column + 1 - edge, bottom + 1 - edge, colour, 0.25)
        return canvas.image()

    space = spaces.Box(0, 1, (SIZE, SIZE, len(colours)), bool)
    act = spaces.Discrete(len(actions))
    return Core(f"AgentGym/MinAtar-{name}-v1", space, act, LIMIT, initial, step, observe, render, 10, actions)
