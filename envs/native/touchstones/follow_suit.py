"""Play a card of the suit shown before; the hand changes with every step, and only the mask tells it."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core
from agent_gym.envs.native.drawing import BLUE, GREEN, GREY, INK, RED, Canvas

SUITS, RANKS, STEPS, DELAY = 4, 3, 32, 2
CARDS = SUITS * RANKS
GRADED = STEPS - DELAY
COLOURS = (RED, BLUE, GREEN, INK)
NAMES = tuple(f"{suit} {rank}" for suit in ("hearts", "clubs", "leaves", "spades") for rank in range(1, RANKS + 1))


def _suit(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.randint(0, SUITS, (1, num_envs), generator=generator, device=device)


def _hand(asked: Tensor, generator: torch.Generator) -> Tensor:
    """[CARDS, B] of 0 and 1: each card with a chance of one half, and one of the suit that is asked for."""
    hand = torch.rand(CARDS, len(asked), generator=generator, device=asked.device) < 0.5
    sure = torch.randint(0, RANKS, asked.shape, generator=generator, device=asked.device)
    return hand.long().scatter(0, (asked.clamp(min=0) * RANKS + sure).unsqueeze(0), 1)


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [DELAY + 1 + CARDS, B] int64: the suits shown, the newest first, -1 for none; the hand as 0 and 1."""
    shown = torch.full((DELAY + 1, num_envs), -1, dtype=torch.int64, device=device)
    shown[:1] = _suit(num_envs, generator, device)
    return torch.cat((shown, _hand(shown[DELAY], generator)))


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Play a card of the hand; 1/30 for the suit of two steps ago. A card not in the hand: -1, and the end."""
    asked, held = state[DELAY], mask(state)
    allowed = held.gather(1, action.unsqueeze(1)).squeeze(1)
    right = (action // RANKS == asked) & (asked >= 0)
    reward = torch.where(allowed, right.float() / GRADED, -1.0)
    shown = torch.cat((_suit(len(asked), generator, state.device), state[:DELAY]))
    return torch.cat((shown, _hand(shown[DELAY], generator))), reward, ~allowed


def observe(state: Tensor) -> Tensor:
    """[B]: the suit that is shown, 0 to 3."""
    return state[0].clone()


def mask(state: Tensor) -> Tensor:
    """[B, CARDS]: the hand."""
    return state[DELAY + 1 :].T.bool()


def render(state: np.ndarray) -> np.ndarray:
    """The suits shown, old to new, and the hand below; the cards that would be right have a frame."""
    canvas = Canvas((640, 240), (0.0, 0.0, 16.0, 6.0), (226, 232, 226))
    for age, suit in enumerate(state[: DELAY + 1]):
        if suit >= 0:
            x = 12.0 - 4.0 * age
            canvas.box(x - 0.6, 3.4, x + 0.6, 5.2, COLOURS[suit] if age == 0 else GREY, 0.1)
            canvas.text("now" if age == 0 else f"{age} ago", (x, 3.0), 0.6, INK)
    for card, held in enumerate(state[DELAY + 1 :]):
        if held:
            x = 1.5 + 1.15 * card
            canvas.box(x - 0.45, 0.5, x + 0.45, 1.9, COLOURS[card // RANKS], 0.1)
            if card // RANKS == state[DELAY]:
                canvas.text("*", (x, 2.3), 0.7, INK)
    return canvas.image()


FOLLOW_SUIT = Core(
    id="AgentGym/FollowSuit-v0",
    obs_space=spaces.Discrete(SUITS),
    action_space=spaces.Discrete(CARDS),
    max_episode_steps=STEPS,
    initial=initial,
    step=step,
    observe=observe,
    render=render,
    render_fps=2,
    action_names=NAMES,
    mask=mask,
)
