"""An environment that is easy for whoever can read: walk along the numbers, seen as handwritten digits, to the 5."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces

from agent_gym.tasks.senses.digits import bundled_digits

GOAL = 5


class DigitWalk(gymnasium.Env):
    """The number 0..9 is shown as a random specimen of scikit-learn's digits, uint8 [28, 28].

    Actions: one less, one more (not beyond 0 and 9). Reaching the 5 pays 1 and leads to a random other number.
    An episode has 50 steps; reading without error earns 17 to 18, walking at random about 2.5.
    """

    observation_space = spaces.Box(0, 255, (28, 28), np.uint8)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        images, labels = bundled_digits()
        self.specimens = [images[labels == digit] for digit in range(10)]

    def _start(self) -> None:
        self.number = int(self.np_random.choice([n for n in range(10) if n != GOAL]))

    def _show(self) -> np.ndarray:
        images = self.specimens[self.number]
        return images[self.np_random.integers(len(images))]

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self._start()
        return self._show(), {}

    def step(self, action: int):
        self.number = min(max(self.number + (1 if action else -1), 0), 9)
        reached = self.number == GOAL
        if reached:
            self._start()
        return self._show(), float(reached), False, False, {}


gymnasium.register("DigitWalk-v0", DigitWalk, max_episode_steps=50)
