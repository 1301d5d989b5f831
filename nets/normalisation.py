"""Running statistics of observations and returns, kept as buffers so that they are saved with the agent."""

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.spaces import Several, Web
from agent_gym.ground.tree import Tree
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
        if self.wide.is_cuda:
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


class ReturnStats(RunningNorm):
    """Statistics of the discounted return, and what they make of values: `scale` and `offset` of the learned ones."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))  # of a value, in units of reward

    def in_reward(self, value: Tensor) -> Tensor:
        """Learned values in units of reward."""
        return value / self.scale + self.offset.to(value.dtype)


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


class ReturnScale(Statistics):
    """Rewards over the running deviation of the discounted return (Engstrom 2020), and without a constant part.

    As in Stable-Baselines3's VecNormalize, but nothing is clipped, so that all rewards keep their order. A constant
    part that drowns what differs (FAR deviations of it) is taken out in one of two ways, neither of which changes
    which policy is best. Where all episodes were of one length, from every reward. Otherwise from the values: a
    reward r becomes r - c (1 - gamma), or r - c at a real end, and the value of a state V - c (a potential of
    constant height, Ng et al. 1999).

    With `only_odd` rewards stay as they are while the largest lies in USUAL and no constant part drowns the rest.
    """

    FAR = 10.0
    NEAR = 2.5  # what is taken out stays out until it is no more than this
    EXACT = 1e-14  # variance over squared mean below which float64 cannot tell them from constants
    USUAL = (1e-2, 1e3)

    def __init__(self, num_envs: int, gamma: float, stats: ReturnStats | None = None, only_odd: bool = False):
        """`stats`: where scale and offset are kept, if somebody else needs them too."""
        super().__init__()
        self.gamma = gamma
        self.only_odd = only_odd
        self.stats = ReturnStats() if stats is None else stats
        self.rewards = RunningNorm()
        self.register_buffer("discounted", torch.zeros(num_envs))  # gamma * return so far, 0 after an episode's end
        self.register_buffer("running", torch.zeros(num_envs, dtype=torch.int64))  # steps of the episodes so far
        self.register_buffer("length", torch.zeros((), dtype=torch.int64))  # of every episode; 0: unknown, -1: varies
        self.register_buffer("centre", torch.zeros((), dtype=torch.float64))  # taken from every reward
        self.register_buffer("largest", torch.zeros(()))  # size of a reward
        self.centred = self.shifted = False  # whether there is a centre, an offset
        self.register_load_state_dict_post_hook(type(self)._look)

    def _look(self, *_: object) -> None:
        self.centred, self.shifted = bool(self.centre), bool(self.stats.offset)

    def begin(self) -> None:
        """All episodes start anew."""
        self.running.zero_()

    @torch.no_grad()
    def update(self, reward: Tensor, done: Tensor) -> None:
        """Take in reward [T, B] and done [T, B] (terminated or truncated) of the steps since the last call."""
        self.take(reward, done, *discounted_returns(reward, done, self.discounted, self.gamma))

    @torch.no_grad()
    def take(self, reward: Tensor, done: Tensor, returns: Tensor, carried: Tensor) -> None:
        """`update` where what `discounted_returns` gives is known."""
        self.discounted.copy_(carried)
        self.stats.update(returns)
        self.rewards.update(reward)
        self.largest.copy_(torch.maximum(self.largest, reward.abs().amax()))
        self._measure(done)
        if RANKS.size > 1:
            self._agree()
        self._choose()
        self._look()

    def _measure(self, done: Tensor) -> None:
        """Whether all episodes were of one length."""
        if self.length == -1:
            return
        steps = len(done)
        env, step = done.T.nonzero(as_tuple=True)
        if len(env):
            before = torch.cat((env.new_full((1,), -1), env[:-1]))
            earlier = torch.cat((step.new_zeros(1), step[:-1]))
            lengths = step - torch.where(env == before, earlier, -1 - self.running[env])
            known = lengths[0] if self.length == 0 else self.length
            self.length.copy_(torch.where((lengths == known).all(), known, -1))
        last = torch.where(done, torch.arange(steps, device=done.device).unsqueeze(1), -1).amax(0)
        self.running.copy_(torch.where(last < 0, self.running + steps, steps - 1 - last))

    def _agree(self) -> None:
        """Of all ranks: the largest reward, and the one length of all episodes."""
        length = int(self.length)
        shortest = -length if length > 0 else -torch.inf
        largest, varies, longest, shortest = RANKS.largest(self.largest.item(), length == -1, length, shortest)
        self.largest.fill_(largest)
        self.length.fill_(-1 if varies or (longest > 0 and longest != -shortest) else int(max(longest, 0)))

    def _choose(self) -> None:
        """Scale, centre and offset by the statistics so far."""
        mean, var = self.stats.mean.item(), self.stats.var.item()
        reward_mean, reward_var = self.rewards.mean.item(), self.rewards.var.item()
        was_centred, had_offset = bool(self.centre), bool(self.stats.offset)
        self.centre.zero_()
        self.stats.offset.zero_()
        if self.length > 0 and self._far(reward_mean, reward_var, was_centred):
            self.centre.fill_(reward_mean)
            self.stats.offset.fill_(mean)  # of a value; only roughly so, since it depends on the steps to come
            var = reward_var * min(float(self.length), 1.0 / max(1.0 - self.gamma, 1e-9))
            self.stats.scale.fill_(var**-0.5)
        elif self._far(mean, var, had_offset):
            self.stats.offset.fill_(mean)
        elif self.only_odd and (self.largest == 0 or self.USUAL[0] <= self.largest <= self.USUAL[1]):
            self.stats.scale.fill_(1.0)
            return
        constant = var <= self.EXACT * mean * mean
        if constant:
            var = mean * mean  # a constant is divided by itself
        if var > 0.0 and (constant or var < 1e4 * self.stats.eps):
            self.stats.scale.fill_(var**-0.5)

    def _far(self, mean: float, var: float, already: bool) -> bool:
        """Whether the mean drowns what differs; float64 must be able to tell that something does."""
        limit = self.NEAR if already else self.FAR
        return mean * mean > limit**2 * var and var > self.EXACT * mean * mean

    @property
    def ways(self) -> tuple:
        """What else than its numbers decides about what `transform` does."""
        return (self.centred, self.shifted)

    @property
    def changes(self) -> bool:
        """Whether it makes any difference."""
        return bool(self.stats.scale != 1.0) or bool(self.stats.offset)

    def transform(self, reward: Tensor, terminated: Tensor) -> Tensor:
        """Rewards to learn from, of reward [...] and terminated [...], a real end."""
        if self.centred:
            reward = reward - self.centre.to(reward.dtype)
        elif self.shifted:
            offset = self.stats.offset.to(reward.dtype)
            reward = reward - torch.where(terminated, offset, offset * (1.0 - self.gamma))
        return reward * self.stats.scale
