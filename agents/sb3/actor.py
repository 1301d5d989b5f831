"""Acting with a model of Stable-Baselines3: observations and memory in, actions out."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agent_gym.agents.sb3.bridge import single_envs, to_action, to_arrays
from agent_gym.agents.sb3.inspect import inspect_policy
from agent_gym.agents.sb3.state import load_normalizer_state, normalizer_state
from agent_gym.envs.vector import VectorEnv


class Actor:
    """Acting with a model of Stable-Baselines3, and its VecNormalize or None, in the environment `env`."""

    env: VectorEnv
    device: torch.device

    def use(self, algorithm: Any, normalizer: Any) -> None:
        self.algorithm, self.normalizer = algorithm, normalizer
        self.masked = type(algorithm).__name__ == "MaskablePPO"
        lstm = getattr(algorithm.policy, "lstm_actor", None)
        self.memory_shape = (2, lstm.num_layers, lstm.hidden_size) if lstm else (0,)
        self.state_dim = math.prod(self.memory_shape)

    def playing_in(self, env: VectorEnv) -> Actor:
        """The same actor for other environments: masks are asked of those it plays in."""
        actor = copy.copy(self)
        actor.env = env
        return actor

    def initial_state(self, num_envs: int) -> Tensor:
        return torch.zeros(num_envs, self.state_dim, device=self.device)

    def act(self, obs: Any, state: Tensor, reset: Tensor, explore: bool = True):
        """See Agent.act. state: hidden and cell of the actor's LSTM, [B, 2 · layers · size]; [B, 0] without one."""
        arrays = to_arrays(obs, self.env.obs_space)
        if self.normalizer is not None:
            arrays = self.normalizer.normalize_obs(arrays)
        options: dict[str, Any] = {"deterministic": not explore}
        if self.masked:
            masks = [single.get_wrapper_attr("action_masks")() for single in single_envs(self.env, "action_masks")]
            options["action_masks"] = np.stack(masks)
        if self.state_dim:
            memory = state.view(-1, *self.memory_shape).permute(1, 2, 0, 3).cpu().numpy()  # [2, layers, B, size]
            options |= {"state": tuple(memory), "episode_start": reset.cpu().numpy()}
        action, memory = self.algorithm.predict(arrays, **options)
        if self.state_dim:
            state = torch.from_numpy(np.stack(memory)).permute(2, 0, 1, 3).flatten(1).to(self.device)
        return to_action(action, self.env.device), state, {}

    def inspect(self, obs: Any, state: Tensor, reset: Tensor) -> dict[str, Tensor]:
        return inspect_policy(self, obs)


class Model(nn.Module):
    """The policy's weights and VecNormalize's statistics: all that acting needs."""

    def __init__(self, policy: nn.Module, normalizer: Any) -> None:
        super().__init__()
        self.policy, self.normalizer = policy, normalizer

    def get_extra_state(self) -> dict:
        return {} if self.normalizer is None else normalizer_state(self.normalizer)

    def set_extra_state(self, state: dict) -> None:
        if self.normalizer is not None:
            load_normalizer_state(self.normalizer, state)
