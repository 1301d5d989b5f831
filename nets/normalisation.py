"""Running statistics of observations and returns, kept as buffers so that they are saved with the agent."""

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.spaces import Several, Web
from agent_gym.ground.tree import Tree
from agent_gym.nets.beneath import is_mapped
from agent_gym.nets.encoders.cells import is_codes, is_picture
from agent_gym.nets.ranks import RANKS


class Statistics(nn.Module):
    """A module whose buffers, where a saved state lacks them, keep their first values: older runs can be opened."""

    def _load_from_state_dict(self, state: dict, prefix: str, *rest: object) -> None:
        own = {prefix + name: value for name, value in self.state_dict().items()}
        state |= {name: value for name, value in own.items() if name not in state}
        super()._load_from_state_dict(state, prefix, *rest)


class RunningNorm(Statistics):
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
        new_count = RANKS.total(x.shape[0])
        if new_count == 0:
            return
        new_var, new_mean = torch.var_mean(x, dim=0, correction=0)
        if RANKS.size > 1:
            new_count, new_mean, new_var = RANKS.moments(x.shape[0], new_mean, new_var)
        total = self.count + new_count
        share = new_count / total
        delta = new_mean - self.mean
        # var = share-weighted mean of both variances + variance between the two means
        if is_mapped(self.var):  # vmap has no rule for the operations that do this in one
            self.var.add_((new_var - self.var) * share).add_(delta * delta * (share * (1.0 - share)))
            self.mean.add_(delta * share)
        else:
            self.var.lerp_(new_var, share).addcmul_(delta * delta, share * (1.0 - share))
            self.mean.addcmul_(delta, share)
        self.count.copy_(total)
        self.shift.copy_(self.mean)
        self.scale.copy_((self.var + self.eps).rsqrt())

    def forward(self, x: Tensor) -> Tensor:
        """(x - mean) / sqrt(var + eps), clipped to ±clip; float32."""
        return ((x - self.shift) * self.scale).clamp(-self.clip, self.clip)


class VectorNorm(RunningNorm):
    """What stands between a Box of floats and the networks: float32; normalised with `always` or where ranges are wide.

    float64 loses an origin first, which `start` sets, so that float32 can tell what differs (seconds since 1970).
    Wide is an entry whose size (root mean square) exceeds WIDE, or MIDDLE where its bounds say so too.
    """

    WIDE, MIDDLE, BROAD = 100.0, 10.0, 50.0
    COARSE = 1e5  # from here on float32's steps exceed 0.007
    ENOUGH = 100  # observations to judge by

    def __init__(self, space: spaces.Box, clip: float, always: bool):
        super().__init__(space.shape, clip)
        self.always = always
        self.register_buffer("origin", torch.zeros(space.shape, dtype=torch.float64))
        self.register_buffer("wide", torch.full(space.shape, always))
        with np.errstate(over="ignore"):
            span = space.high.astype(np.float64) - space.low.astype(np.float64)
        broad = torch.from_numpy(np.isfinite(span) & (span > self.BROAD))
        self.register_buffer("limit", torch.where(broad, self.MIDDLE, self.WIDE), persistent=False)
        self.idle = not always  # nothing is wide, as far as known; a GPU is not asked

    def _load_from_state_dict(self, state: dict, prefix: str, *rest: object) -> None:
        super()._load_from_state_dict(state, prefix, *rest)
        self.idle = not bool(self.wide.any())

    def start(self, obs: Tensor) -> None:
        """Set the origin by the first observations [B, *shape] of a run."""
        if obs.dtype == torch.float64 and self.count == 0 and not self.origin.any():
            self.origin.copy_(RANKS.first_(torch.where(obs[0].abs() >= self.COARSE, obs[0], 0.0)))

    def single(self, obs: Tensor) -> Tensor:
        """float64 as float32, without the origin; anything else as it is."""
        return (obs - self.origin).float() if obs.dtype == torch.float64 else obs

    def update(self, x: Tensor) -> None:
        super().update(self.single(x))
        if self.always:
            return
        large = self.mean.square() + self.var > self.limit.square()
        if self.wide.is_cuda or is_mapped(self.wide):
            self.wide |= large & (self.count >= self.ENOUGH)
        elif self.count >= self.ENOUGH:
            self.wide |= large
            self.idle = not bool(self.wide.any())

    def forward(self, x: Tensor) -> Tensor:
        x = self.single(x)
        if self.idle and not x.is_cuda:
            return x
        return super().forward(x) if self.always else torch.where(self.wide, super().forward(x), x)


class PeakNorm(Statistics):
    """Images of whole numbers, stretched to their declared range where they use less than a quarter of it."""

    LITTLE = 0.25

    def __init__(self, space: spaces.Box):
        super().__init__()
        self.declared = float(space.high.max())
        self.register_buffer("peak", torch.zeros(()))
        self.factor, self.settled = 1.0, False

    def _load_from_state_dict(self, state: dict, prefix: str, *rest: object) -> None:
        super()._load_from_state_dict(state, prefix, *rest)
        self._stretch()

    def _stretch(self) -> None:
        peak = self.peak.item()
        self.settled = peak > self.LITTLE * self.declared
        self.factor = self.declared / peak if 0.0 < peak <= self.LITTLE * self.declared else 1.0

    def start(self, obs: Tensor) -> None:
        """Nothing to begin with."""

    def single(self, obs: Tensor) -> Tensor:
        return obs

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Take in x [..., *shape]."""
        if not self.settled and x.numel():
            self.peak.copy_(torch.maximum(self.peak, x.amax().float()))
            if RANKS.size > 1:
                self.peak.fill_(RANKS.largest(self.peak.item())[0])
            self._stretch()

    def forward(self, x: Tensor) -> Tensor:
        return x if self.factor == 1.0 else x.float() * self.factor


class ObsNorm(nn.Module):
    """Observations as networks can use them, leaf by leaf. Frozen unless updated.

    Floats: a VectorNorm, with `always` for every entry. Images of whole numbers: a PeakNorm, unless their numbers are
    codes (see nets.encoders.cells; `cells` as there). Other leaves pass.
    """

    def __init__(self, space: spaces.Space, clip: float = 10.0, always: bool = True, cells: str = "brightness"):
        super().__init__()
        self.norm: VectorNorm | PeakNorm | None = None
        self.keys: list[str] = []
        children: list[spaces.Space] = []
        if isinstance(space, spaces.Dict):
            self.keys, children = list(space), list(space.values())
        elif isinstance(space, spaces.Tuple):
            self.keys, children = [str(index) for index in range(len(space))], list(space)
        elif isinstance(space, Several | Web):  # they say what is there: a mean would be of what is not
            pass
        elif isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
            self.norm = VectorNorm(space, clip, always)
        elif is_picture(space) and not is_codes(space, cells):
            self.norm = PeakNorm(space)
        self.parts = nn.ModuleList(ObsNorm(child, clip, always, cells) for child in children)

    def start(self, obs: Tree) -> None:
        """Take in the first observations of a run, leaves [B, *shape]; of no effect after the first update."""
        if self.norm is not None:
            self.norm.start(obs)
        for key, part in zip(self.keys, self.parts, strict=True):
            part.start(obs[key])

    def single(self, obs: Tree) -> Tree:
        """obs as it can be stored: float64 as float32, without its origin. `forward` takes both."""
        if self.keys:
            return {key: part.single(obs[key]) for key, part in zip(self.keys, self.parts, strict=True)}
        return obs if self.norm is None else self.norm.single(obs)

    def update(self, obs: Tree) -> None:
        """Take in obs, leaves [..., *shape]."""
        if self.norm is not None:
            self.norm.update(obs)
        for key, part in zip(self.keys, self.parts, strict=True):
            part.update(obs[key])

    @property
    def ways(self) -> tuple:
        """What else than its numbers decides about what `forward` does."""
        return (getattr(self.norm, "factor", 1.0), *(part.ways for part in self.parts))

    def forward(self, obs: Tree) -> Tree:
        """The observation for the networks, structure and shapes as given."""
        if self.norm is not None:
            return self.norm(obs)
        if self.keys:
            return {key: part(obs[key]) for key, part in zip(self.keys, self.parts, strict=True)}
        return obs


@torch.no_grad()
def discounted_returns(reward: Tensor, done: Tensor, carried: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """The discounted return so far at each step, of reward [T, B] and done [T, B], and `carried` [B] on to the next:
    gamma times the return so far, 0 after an episode's end."""
    returns = torch.empty_like(reward)
    decay = (~done).to(reward.dtype).mul_(gamma)
    for step_reward, step_decay, step_return in zip(reward, decay, returns, strict=True):
        torch.add(step_reward, carried, out=step_return)
        carried = step_return * step_decay
    return returns, carried
