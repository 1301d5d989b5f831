"""Flip bits until they are those asked for, of which only the whole is told (Andrychowicz et al. 2017, section 3.1)."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core

BITS = 40


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [2 BITS, B] float32: the bits, and those asked for."""
    return torch.randint(0, 2, (2 * BITS, num_envs), generator=generator, device=device).float()


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Flip a bit; the reward is 0 where all are as asked for, which ends the episode, and -1 elsewhere."""
    state = state.clone()
    rows = action.unsqueeze(0)
    state.scatter_(0, rows, 1.0 - state.gather(0, rows))
    reward, reached = relabel(state[:BITS].T, state[BITS:].T)
    return state, reward, reached


def relabel(achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
    """The reward [N] of bits [N, BITS] where others were asked for, and whether they are the same."""
    reached = (achieved == desired).all(1)
    return reached.float() - 1.0, reached


def observe(state: Tensor) -> dict[str, Tensor]:
    """The bits, twice, and those asked for, each [B, BITS]."""
    bits = state[:BITS].T.contiguous()
    return {"achieved_goal": bits, "desired_goal": state[BITS:].T.contiguous(), "observation": bits}


def tell(state: Tensor) -> dict[str, Tensor]:
    """Whether the goal is reached, [B]."""
    return {"is_success": (state[:BITS] == state[BITS:]).all(0).float()}


_BITS = spaces.Box(0.0, 1.0, (BITS,))
BIT_FLIPPING = Core(
    id="AgentGym/BitFlipping-v0",
    obs_space=spaces.Dict({"achieved_goal": _BITS, "desired_goal": _BITS, "observation": _BITS}),
    action_space=spaces.Discrete(BITS),
    action_names=tuple(f"flip {bit}" for bit in range(BITS)),
    max_episode_steps=BITS,
    initial=initial,
    step=step,
    observe=observe,
    tell=tell,
    relabel=relabel,
)
