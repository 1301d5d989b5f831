"""Name the suit of the card shown four steps ago (after POPGym's RepeatPrevious, Morad et al. 2023)."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core
from agent_gym.envs.native.drawing import BLUE, GREEN, GREY, INK, RED, Canvas

DELAY, SUITS, STEPS = 4, 4, 64
GRADED = STEPS - DELAY


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [7, B] int64: the card now and those of the five steps before, -1 for none; the answer given, -1."""
    state = torch.full((DELAY + 3, num_envs), -1, dtype=torch.int64, device=device)
    state[0] = torch.randint(0, SUITS, (num_envs,), generator=generator, device=device)
    return state


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Answer with a suit. From the fifth step on the reward is 1/60 for the suit of four steps ago, else -1/60."""
    asked = state[DELAY]
    reward = torch.where(action == asked, 1.0, -1.0) * (asked >= 0) / GRADED
    card = torch.randint(0, SUITS, asked.shape, generator=generator, device=state.device)
    state = torch.cat((card.unsqueeze(0), state[: DELAY + 1], action.unsqueeze(0)))
    return state, reward, torch.zeros_like(asked, dtype=torch.bool)


def observe(state: Tensor) -> Tensor:
    """[B]: the suit of the card now, 0 to 3."""
    return state[0].clone()


def render(state: np.ndarray) -> np.ndarray:
    """The cards from old to new; the one that was asked for has the answer below it, green if right."""
    canvas = Canvas((640, 240), (0.0, 0.0, 16.0, 6.0), (226, 232, 226))
    for age in range(DELAY + 2):
        x, suit = 14.0 - 2.4 * age + (0.5 if age == 0 else 0.0), int(state[age])
        if age == 0:
            canvas.text("now", (x, 5.4), 0.7, INK)
        if suit >= 0:
            _card(canvas, x, 3.3, suit, faded=age > 0)
    answer, asked = int(state[DELAY + 2]), int(state[DELAY + 1])
    if asked >= 0:
        x = 14.0 - 2.4 * (DELAY + 1)
        canvas.text("answer", (x, 1.45), 0.6, INK)
        canvas.box(x - 0.6, 0.1, x + 0.6, 1.15, GREEN if answer == asked else RED, 0.2)
        _suit(canvas, (x, 0.62), 0.3, answer, (255, 255, 255))
    return canvas.image()


def _card(canvas: Canvas, x: float, y: float, suit: int, faded: bool) -> None:
    canvas.box(x - 1.0, y - 1.4, x + 1.0, y + 1.4, GREY, 0.25)
    canvas.box(x - 0.95, y - 1.35, x + 0.95, y + 1.35, (240, 240, 236) if faded else (255, 255, 255), 0.22)
    colour = (RED, INK, BLUE, GREEN)[suit]
    _suit(canvas, (x, y), 0.6, suit, tuple((part + 240) // 2 for part in colour) if faded else colour)


def _suit(canvas: Canvas, centre: tuple[float, float], size: float, suit: int, colour: tuple[int, int, int]) -> None:
    """A diamond, a square, a disc or a triangle."""
    x, y = centre
    if suit == 0:
        canvas.polygon([(x - size, y), (x, y + 1.2 * size), (x + size, y), (x, y - 1.2 * size)], colour)
    elif suit == 1:
        canvas.box(x - 0.8 * size, y - 0.8 * size, x + 0.8 * size, y + 0.8 * size, colour)
    elif suit == 2:
        canvas.circle(centre, 0.9 * size, colour)
    else:
        canvas.polygon([(x - size, y - 0.8 * size), (x + size, y - 0.8 * size), (x, y + size)], colour)


REPEAT_PREVIOUS = Core(
    "AgentGym/RepeatPrevious-v0",
    spaces.Discrete(SUITS),
    spaces.Discrete(SUITS),
    STEPS,
    initial,
    step,
    observe,
    render,
    2,
    ("diamond", "square", "disc", "triangle"),
)
