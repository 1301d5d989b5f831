"""Recommend one of eight topics at a time to a user whose interests drift, who tires of repetition, and may leave."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core
from agent_gym.envs.native.drawing import BLUE, GREEN, GREY, INK, LIGHT, ORANGE, RED, Canvas

TOPICS, SESSION = 8, 100
DRIFT = 0.1  # interests: z <- sqrt(1 - DRIFT²) z + DRIFT * noise, so that each stays a standard normal variable
TASTE, FATIGUE, BIAS = 3.0, 1.2, 0.2  # P(engage) = sigmoid(TASTE * z - FATIGUE * shown - BIAS)
MEMORY = 0.85  # what has been shown and what it met with fades by this factor a step
ENJOY, BORE = 0.1, 0.1  # what an engagement adds to the user's patience (at most 1) and an ignored topic takes away
# Rows of the state: interests [8], shown [8], engaged [8], the last topic [8] as one-hot, its success, patience.
SHOWN, ENGAGED, LAST, SUCCESS, PATIENCE = (slice(8, 16), slice(16, 24), slice(24, 32), 32, 33)


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [34, B]: a new user with standard normal interests and full patience."""
    state = torch.zeros(PATIENCE + 1, num_envs, device=device)
    state[:TOPICS].normal_(generator=generator)
    state[PATIENCE] = 1.0
    return state


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Recommend topic `action`. The reward is 1 if the user engages, else 0; without patience the user leaves."""
    interest, shown, engaged = state[:TOPICS], state[SHOWN], state[ENGAGED]
    chosen = torch.zeros_like(interest).scatter_(0, action.unsqueeze(0), 1.0)
    appeal = (chosen * (TASTE * interest - FATIGUE * shown)).sum(0) - BIAS
    noise = torch.rand(appeal.shape, generator=generator, device=appeal.device)
    success = (noise < appeal.sigmoid()).float()
    patience = (state[PATIENCE] + torch.where(success > 0, ENJOY, -BORE)).clamp(max=1.0)
    drift = torch.randn(interest.shape, generator=generator, device=appeal.device)
    state = torch.cat(
        (
            (1 - DRIFT**2) ** 0.5 * interest + DRIFT * drift,
            MEMORY * shown + chosen,
            MEMORY * engaged + chosen * success,
            chosen,
            torch.stack((success, patience)),
        )
    )
    return state, success, patience < BORE / 2  # half a step below the least patience, for rounding


def observe(state: Tensor) -> Tensor:
    """[B, 26]: what was shown and what it met with, fading; the last topic and its success; patience. No interests."""
    return state[TOPICS:].t()


def render(state: np.ndarray) -> np.ndarray:
    """A column a topic: the user's hidden interest, how much of it was shown, and the last recommendation."""
    canvas = Canvas((640, 400), (0.0, 0.0, 16.0, 10.0))
    canvas.text("interest", (1.0, 6.0), 0.5, BLUE)
    canvas.text("shown", (1.0, 2.2), 0.5, GREY)
    canvas.line(((2.0, 6.0), (15.4, 6.0)), GREY, 0.04)
    for topic in range(TOPICS):
        x = 2.9 + 1.65 * topic
        last = bool(state[LAST][topic])
        if last:
            canvas.box(x - 0.75, 0.5, x + 0.75, 9.3, (233, 243, 229) if state[SUCCESS] else (248, 228, 225), 0.2)
        height = float(np.clip(state[topic], -2.3, 2.3))
        canvas.box(x - 0.4, min(6.0, 6.0 + height), x + 0.4, max(6.0, 6.0 + height), BLUE, 0.1)
        canvas.box(x - 0.4, 1.4, x + 0.4, 1.4 + 0.35 * float(state[SHOWN][topic]), GREY if last else LIGHT)
        canvas.box(x - 0.4, 1.4, x + 0.4, 1.4 + 0.35 * float(state[ENGAGED][topic]), GREEN)
        canvas.text("ABCDEFGH"[topic], (x, 0.95), 0.6, INK)
        if last:
            verdict, colour = ("engaged", GREEN) if state[SUCCESS] else ("ignored", RED)
            canvas.text(verdict, (x, 8.95), 0.45, colour)
    patience = max(float(state[PATIENCE]), 0.0)
    canvas.text("patience", (1.0, 9.65), 0.45, INK)
    canvas.box(2.1, 9.5, 15.4, 9.8, LIGHT, 0.15)
    colour = GREEN if patience > 0.5 else ORANGE if patience > 0.2 else RED
    canvas.box(2.1, 9.5, 2.1 + 13.3 * patience, 9.8, colour, 0.15)
    return canvas.image()


_MOST = 1 / (1 - MEMORY)
_HIGH = np.array([_MOST] * 2 * TOPICS + [1.0] * TOPICS + [1.0, 1.0], np.float32)

RECOMMENDER = Core(
    "AgentGym/Recommender-v0",
    spaces.Box(np.append(np.zeros_like(_HIGH)[:-1], np.float32(-BORE)), _HIGH),
    spaces.Discrete(TOPICS),
    SESSION,
    initial,
    step,
    observe,
    render,
    5,
    tuple(f"topic {i}" for i in range(TOPICS)),
)
