"""Flip bits until they are those asked for, of which only the whole is told (Andrychowicz et al. 2017, section 3.1)."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core


def relabel(achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
    """The reward [N] of bits [N, n] where others were asked for, and whether they are the same."""
    reached = (achieved == desired).all(1)
    return reached.float() - 1.0, reached


def bit_flipping(bits: int = 40) -> Core:
    """The environment with so many bits; as many steps are allowed."""

    def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """State [2 bits, B] float32: the bits, and those asked for."""
        return torch.randint(0, 2, (2 * bits, num_envs), generator=generator, device=device).float()

    def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Flip a bit; the reward is 0 where all are as asked for, which ends the episode, and -1 elsewhere."""
        state = state.clone()
        rows = action.unsqueeze(0)
        state.scatter_(0, rows, 1.0 - state.gather(0, rows))
        reward, reached = relabel(state[:bits].T, state[bits:].T)
        return state, reward, reached

    def observe(state: Tensor) -> dict[str, Tensor]:
        """The bits, twice, and those asked for, each [B, bits]."""
        now = state[:bits].T.contiguous()
        return {"achieved_goal": now, "desired_goal": state[bits:].T.contiguous(), "observation": now}

    def tell(state: Tensor) -> dict[str, Tensor]:
        """Whether the goal is reached, [B]."""
        return {"is_success": (state[:bits] == state[bits:]).all(0).float()}

    space = spaces.Box(0.0, 1.0, (bits,))
    return Core(
        id="AgentGym/BitFlipping-v0",
        obs_space=spaces.Dict({"achieved_goal": space, "desired_goal": space, "observation": space}),
        action_space=spaces.Discrete(bits),
        action_names=tuple(f"flip {bit}" for bit in range(bits)),
        max_episode_steps=bits,
        initial=initial,
        step=step,
        observe=observe,
        tell=tell,
        relabel=relabel,
    )


BIT_FLIPPING = bit_flipping()
