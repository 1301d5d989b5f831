"""Choose one of three tools and how far to turn it; the other two turn as well, and nobody looks."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core

TOOLS, STEPS = 3, 8


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [2 TOOLS, B] float32: how far each tool is to be turned, -1 to 1, and what that is worth, 0 to 1."""
    state = torch.rand(2 * TOOLS, num_envs, generator=generator, device=device)
    return torch.cat((2.0 * state[:TOOLS] - 1.0, state[TOOLS:]))


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """action [B, 1 + TOOLS]: a tool, and the turns of all; what it is worth less the squared error of its own turn."""
    tool = action[:, :1].long()
    error = action[:, 1:] - state[:TOOLS].T
    reward = (state[TOOLS:].T - error.square()).gather(1, tool).squeeze(1)
    ends = torch.zeros(len(action), dtype=torch.bool, device=action.device)
    return initial(len(action), generator, state.device), reward, ends


def observe(state: Tensor) -> Tensor:
    """[B, 2 TOOLS]: the state."""
    return state.T.contiguous()


TOOLBOX = Core(
    id="AgentGym/Toolbox-v0",
    obs_space=spaces.Box(-1.0, 1.0, (2 * TOOLS,)),
    action_space=spaces.Tuple((spaces.Discrete(TOOLS), spaces.Tuple([spaces.Box(-1.0, 1.0, (1,))] * TOOLS))),
    action_names=(*(f"tool {tool}" for tool in range(TOOLS)), *(f"turn {tool}" for tool in range(TOOLS))),
    max_episode_steps=STEPS,
    initial=initial,
    step=step,
    observe=observe,
)
