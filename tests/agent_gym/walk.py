"""An environment of a program's own: go where the sign points; the best return is 10."""

import gymnasium
import numpy as np


class Walk(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None, length=10):
        self.render_mode, self.length = render_mode, length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._look(), {}

    def step(self, action):
        reward = float((self.sign[0] > 0) == action)
        self.t += 1
        return self._look(), reward, False, self.t == self.length, {}

    def render(self):
        return np.full((32, 32, 3), 20 * self.t, np.uint8)

    def _look(self):
        self.sign = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.sign
