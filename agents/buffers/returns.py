"""Returns, advantages and episode statistics, computed over whole rollouts [T, B]."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from agent_gym.nets.ranks import RANKS


def gae(
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    final_value: Tensor,
    last_value: Tensor,
    gamma: float,
    gae_lambda: float,
    valid: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16) that keeps the two ends apart.

    A terminated step has no successor; a truncated one bootstraps from `final_value`, the value of the
    true successor; any other from the value of the next step. A step that is not valid has no advantage: those
    before it bootstrap from the value of the observation in which it was tried.

    Args:
        reward, value: [T, B]; terminated, truncated: [T, B] bool.
        final_value: [T, B], read where `truncated` holds.
        last_value: [B], the value of the observation after the last step.
        valid: [T, B] bool, False where an action led nowhere; None: nowhere.

    Returns:
        advantage and returns (the value target, advantage + value), both [T, B].
    """
    next_value = torch.cat((value[1:], last_value.unsqueeze(0)))
    next_value = torch.where(truncated, final_value, next_value)
    next_value = next_value.masked_fill(terminated, 0.0)
    advantage = torch.add(reward, next_value, alpha=gamma).sub_(value)
    carry = (gamma * gae_lambda) * (~(terminated | truncated)).to(reward.dtype)
    if valid is not None:
        advantage, carry = advantage * valid, carry * valid
    rows, carries = advantage.unbind(0), carry.unbind(0)
    for t in range(len(rows) - 2, -1, -1):
        rows[t].addcmul_(carries[t], rows[t + 1])
    return advantage, advantage + value


def standardize(advantage: Tensor, valid: Tensor | None = None, group: Tensor | None = None) -> Tensor:
    """Mean 0, standard deviation 1, over the valid steps, of each group by itself. One step alone is left as it is."""
    if group is not None:
        for g in group.unique().tolist():
            mine = group == g
            whole = mine if valid is None else mine & valid
            advantage = torch.where(mine, standardize(advantage, whole), advantage)
        return advantage
    real = advantage if valid is None else advantage[valid]
    if RANKS.size > 1:
        var, mean = torch.var_mean(real, correction=0)
        count, mean, var = RANKS.moments(real.numel(), mean, var)
        return (advantage - mean) / ((var * count / max(count - 1, 1)).sqrt() + 1e-8)
    if real.numel() < 2:
        return advantage
    std, mean = torch.std_mean(real)
    return (advantage - mean) / (std + 1e-8)


class Episodes(NamedTuple):
    """Episodes that ended in a rollout: their undiscounted returns [K] and lengths [K], in order of time."""

    episode_return: Tensor
    episode_length: Tensor


class EpisodeStats:
    """Counts episode returns and lengths from reward and done, without a host sync per step.

    Single steps on a GPU it takes in TOGETHER at a time; `waiting` are those that it has not.
    """

    TOGETHER = 64

    def __init__(self, num_envs: int, device: torch.device | str) -> None:
        self.running = torch.zeros(2, num_envs, dtype=torch.float64, device=device)
        self.waiting: list[tuple[Tensor | None, ...]] = []

    def clear(self) -> None:
        """Forget the episodes under way."""
        self.running = torch.zeros_like(self.running)
        self.waiting = []

    def none(self) -> Episodes:
        """No episodes."""
        return Episodes(*self.running[:, :0])

    def flush(self) -> Episodes:
        """The episodes among the steps that wait."""
        if not self.waiting:
            return self.none()
        parts = [None if part[0] is None else torch.cat(part) for part in zip(*self.waiting, strict=True)]
        self.waiting = []
        return self._update(*parts)

    def update(self, reward: Tensor, done: Tensor, valid: Tensor | None = None, acts: Tensor | None = None) -> Episodes:
        """Take in a rollout: reward [T, B], done [T, B] bool, valid [T, B] bool, acts [T, B] bool.

        A step that is not valid has no length; if it is the end, as after a failure, the episode is not counted.
        A step in which the row waits has no length either.
        """
        if not reward.is_cuda or len(reward) > 1:
            return self._update(reward, done, valid, acts)
        self.waiting.append((reward, done, valid, acts))
        return self.flush() if len(self.waiting) >= self.TOGETHER else self.none()

    def _update(self, reward: Tensor, done: Tensor, valid: Tensor | None, acts: Tensor | None) -> Episodes:
        length = torch.ones_like(reward) if valid is None else valid.to(reward.dtype)
        length = length if acts is None else length * acts
        if len(reward) == 1:  # an agent that learns after every step: the same in a third of the time
            total = self.running + torch.cat((reward, length))
            if total.device.type == "cpu" and not done.any():
                self.running = total
                return Episodes(*total[:, :0])
            self.running = total.masked_fill(done, 0.0)
            return Episodes(*total[:, done[0]])
        total = torch.stack((reward, length)).double().cumsum_(1).add_(self.running.unsqueeze(1))  # [2, T, B]
        time = torch.arange(len(reward), device=reward.device).unsqueeze(1)
        last_end = torch.where(done, time, -1).cummax(0).values  # [T, B], the latest end up to and with t
        previous_end = torch.cat((torch.full_like(last_end[:1], -1), last_end[:-1]))
        episodes = (total - _at(total, previous_end))[:, done if valid is None else done & valid]
        self.running = total[:, -1] - _at(total, last_end[-1:])[:, 0]
        return Episodes(*episodes)


def _at(total: Tensor, time: Tensor) -> Tensor:
    """total [2, T, B] at time [K, B], zero where time is -1."""
    picked = total.gather(1, time.clamp(min=0).expand(2, -1, -1))
    return picked.masked_fill(time < 0, 0.0)
