"""The T-maze (Bakker 2001): a sign at the start tells which way to turn at the far end of a corridor."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core
from agent_gym.envs.native.drawing import BLUE, GREEN, INK, LIGHT, YELLOW, Canvas

LENGTH = 10  # cells between the sign and the junction


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [2, B] int64: the cell, 0; the goal, 0 up or 1 down, each as likely."""
    goal = torch.randint(0, 2, (num_envs,), generator=generator, device=device)
    return torch.stack((torch.zeros_like(goal), goal))


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Actions 0 up, 1 right, 2 down, 3 left. Up or down at the junction ends the episode.

    The reward is 4 for the way to the goal; -0.1 for the other way and for walking into a wall.
    """
    cell, goal = state
    turned = (action == 0) | (action == 2)
    ended = (cell == LENGTH) & turned
    won = ended & (action == 2 * goal)
    moved = (cell + (action == 1).long() - (action == 3).long()).clamp(0, LENGTH)
    still = (moved == cell) & ~won
    return torch.stack((moved, goal)), 4.0 * won - 0.1 * still, ended


def observe(state: Tensor) -> Tensor:
    """[B, 4], one of them 1: the sign "up", the sign "down" (both in the first cell only), corridor, junction."""
    cell, goal = state
    seen = torch.where(cell == 0, goal, torch.where(cell == LENGTH, 3, 2))
    return torch.zeros(len(cell), 4, device=state.device).scatter_(1, seen.unsqueeze(1), 1.0)


def render(state: np.ndarray) -> np.ndarray:
    """The maze; the sign is lit while the agent can read it."""
    canvas = Canvas((640, 240), (-1.0, -2.25, LENGTH + 1.0, 2.25), INK)
    cell, goal = (int(x) for x in state)
    floor = (236, 234, 226)
    canvas.box(-0.5, -0.5, LENGTH + 0.5, 0.5, floor)
    canvas.box(LENGTH - 0.5, -1.5, LENGTH + 0.5, 1.5, floor)
    for x in range(LENGTH):
        canvas.line(((x + 0.5, -0.5), (x + 0.5, 0.5)), LIGHT, 0.03)
    side = 1 if goal == 0 else -1
    canvas.box(LENGTH - 0.4, side - 0.4, LENGTH + 0.4, side + 0.4, GREEN, 0.1)
    colour = YELLOW if cell == 0 else (96, 104, 118)
    canvas.polygon([(-0.35, 1.0), (0.35, 1.0), (0.0, 1.0 + side * 0.55)], colour)
    canvas.circle((cell, 0.0), 0.32, BLUE)
    canvas.circle((cell + 0.1, 0.08), 0.07, (255, 255, 255))
    return canvas.image()


TMAZE = Core(
    "AgentGym/TMaze-v0",
    spaces.Box(0.0, 1.0, (4,)),
    spaces.Discrete(4),
    50,
    initial,
    step,
    observe,
    render,
    8,
    ("up", "right", "down", "left"),
)
