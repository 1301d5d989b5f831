"""Returns over several steps of a stream of entries, each of which has flags that say how its step ended."""

from __future__ import annotations

import torch
from torch import Tensor

TERMINATED, TRUNCATED, BARE, START = 1, 2, 4, 8  # flags of an entry; bare: no action is taken from it
ENDS = TERMINATED | TRUNCATED


def n_step_return(reward: Tensor, flags: Tensor, n: int, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Returns over up to n steps that end with the episode (Sutton and Barto 2018, equation 7.1).

    reward, flags: [T + n, ...], entries of one stream. A sum stops behind an end, and before an entry without action.

    Returns, each [T, ...]: the sum of discounted rewards; the discount of what follows (gamma to the number of
    steps, 0 after a termination, so that a truncation bootstraps); and that number of steps.
    """
    steps = len(reward) - n
    if n == 1:
        here = flags[:steps]
        ahead = torch.ones_like(here, dtype=torch.int64)
        return reward[:steps], gamma * (here & TERMINATED == 0).to(reward.dtype), ahead
    total = torch.zeros_like(reward[:steps])
    ahead = torch.zeros_like(flags[:steps], dtype=torch.int64)
    going = torch.ones_like(flags[:steps], dtype=torch.bool)
    terminated = torch.zeros_like(going)
    for k in range(n):
        flag = flags[k : k + steps]
        if k > 0:
            going = going & (flag & BARE == 0)
        total += gamma**k * torch.where(going, reward[k : k + steps], 0.0)
        ahead += going
        terminated |= going & (flag & TERMINATED != 0)
        going = going & (flag & ENDS == 0)
    return total, gamma**ahead * (~terminated).to(reward.dtype), ahead
