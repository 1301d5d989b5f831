"""Running statistics of observations and returns, kept as buffers so that they are saved with the agent."""

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.tree import Tree


class RunningNorm(nn.Module):
    """Running mean and variance over everything seen, float64 (Chan 1979, as in SB3's RunningMeanStd)."""

    def __init__(self, shape: tuple[int, ...] = (), clip: float = 10.0, eps: float = 1e-8):
        super().__init__()
        self.clip = clip
        self.eps = eps
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("var", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        # What forward uses, in float32: made anew with every update, saved like the rest.
        self.register_buffer("shift", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Take in x [..., *shape]; every leading dimension counts samples."""
        x = x.reshape(-1, *self.mean.shape).double()
        new_count = x.shape[0]
        if new_count == 0:
            return
        new_var, new_mean = torch.var_mean(x, dim=0, correction=0)
        total = self.count + new_count
        share = new_count / total
        delta = new_mean - self.mean
        # var = share-weighted mean of both variances + variance between the two means
        self.var.lerp_(new_var, share).addcmul_(delta * delta, share * (1.0 - share))
        self.mean.addcmul_(delta, share)
        self.count.copy_(total)
        self.shift.copy_(self.mean)
        self.scale.copy_((self.var + self.eps).rsqrt())

    def forward(self, x: Tensor) -> Tensor:
        """(x - mean) / sqrt(var + eps), clipped to ±clip; float32."""
        return ((x - self.shift) * self.scale).clamp_(-self.clip, self.clip)


class ObsNorm(nn.Module):
    """RunningNorm for every Box of floats in an observation space; other leaves pass. Frozen unless updated."""

    def __init__(self, space: spaces.Space, clip: float = 10.0):
        super().__init__()
        self.norm: RunningNorm | None = None
        self.keys: list[str] = []
        children: list[spaces.Space] = []
        if isinstance(space, spaces.Dict):
            self.keys, children = list(space), list(space.values())
        elif isinstance(space, spaces.Tuple):
            self.keys, children = [str(index) for index in range(len(space))], list(space)
        elif isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
            self.norm = RunningNorm(space.shape, clip)
        self.parts = nn.ModuleList(ObsNorm(child, clip) for child in children)

    def update(self, obs: Tree) -> None:
        """Take in obs, leaves [..., *shape]."""
        if self.norm is not None:
            self.norm.update(obs)
        for key, part in zip(self.keys, self.parts, strict=True):
            part.update(obs[key])

    def forward(self, obs: Tree) -> Tree:
        """The normalised observation, structure and shapes as given."""
        if self.norm is not None:
            return self.norm(obs)
        if self.keys:
            return {key: part(obs[key]) for key, part in zip(self.keys, self.parts, strict=True)}
        return obs


class ReturnScale(nn.Module):
    """Rewards over the running deviation of the discounted return (Engstrom 2020; SB3's VecNormalize)."""

    def __init__(self, num_envs: int, gamma: float, stats: RunningNorm | None = None, clip: float = 10.0):
        """`stats`: where the deviation is kept, if somebody else needs it too."""
        super().__init__()
        self.gamma = gamma
        self.clip = clip
        self.stats = RunningNorm() if stats is None else stats
        self.register_buffer("discounted", torch.zeros(num_envs))  # gamma * return so far, 0 after an episode's end

    @torch.no_grad()
    def update(self, reward: Tensor, done: Tensor) -> None:
        """Take in reward [T, B] and done [T, B] (terminated or truncated) of the steps since the last call."""
        returns = torch.empty_like(reward)
        decay = (~done).to(reward.dtype).mul_(self.gamma)
        carried = self.discounted
        for step_reward, step_decay, step_return in zip(reward, decay, returns, strict=True):
            torch.add(step_reward, carried, out=step_return)
            carried = step_return * step_decay
        self.discounted.copy_(carried)
        self.stats.update(returns)

    def scale(self, reward: Tensor) -> Tensor:
        """reward / sqrt(var + eps), clipped to ±clip."""
        return (reward * self.stats.scale).clamp_(-self.clip, self.clip)
