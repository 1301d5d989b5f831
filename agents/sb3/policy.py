"""Acting with a model of Stable-Baselines3: observations and memory in, actions out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.policy import Policy
from agent_gym.agents.sb3.bridge import to_action, to_arrays
from agent_gym.agents.sb3.inspect import inspect_policy
from agent_gym.agents.sb3.state import load_normalizer_state, normalizer_state


class SB3Policy(Policy):
    """The policy of an algorithm, with the statistics of its VecNormalize if it has one.

    The memory of a recurrent one is hidden and cell of the actor's LSTM, [B, 2 · layers · size].
    """

    def __init__(
        self, obs_space: spaces.Space, action_space: spaces.Space, config: Any, algorithm: Any, normalizer: Any
    ) -> None:
        super().__init__(obs_space, action_space, config)
        self.algorithm, self.normalizer = algorithm, normalizer
        self.network = algorithm.policy
        self.masked = type(algorithm).__name__ == "MaskablePPO"
        lstm = getattr(algorithm.policy, "lstm_actor", None)
        self.memory_shape = (2, lstm.num_layers, lstm.hidden_size) if lstm else (0,)
        self.state_dim = math.prod(self.memory_shape)

    def act(self, obs: Any, state: Tensor, reset: Tensor, mask=None, *, explore=False, generator=None):
        arrays = to_arrays(obs, self.obs_space)
        if self.normalizer is not None:
            arrays = self.normalizer.normalize_obs(arrays)
        options: dict[str, Any] = {"deterministic": not explore}
        if self.masked and mask is not None:
            options["action_masks"] = mask.cpu().numpy()
        if self.state_dim:
            memory = state.view(-1, *self.memory_shape).permute(1, 2, 0, 3).cpu().numpy()  # [2, layers, B, size]
            options |= {"state": tuple(memory), "episode_start": reset.cpu().numpy()}
        action, memory = self.algorithm.predict(arrays, **options)
        if self.state_dim:
            state = torch.from_numpy(np.stack(memory)).permute(2, 0, 1, 3).flatten(1).to(self.device)
        return to_action(action, reset.device), state, {}

    def inspect(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        return inspect_policy(self, obs)

    def get_extra_state(self) -> dict:
        return {} if self.normalizer is None else normalizer_state(self.normalizer)

    def set_extra_state(self, state: dict) -> None:
        if self.normalizer is not None:
            load_normalizer_state(self.normalizer, state)
