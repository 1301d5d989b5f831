"""Rewards on the scale of returns."""

import torch
from torch import Tensor

from agent_gym.nets.normalisation import RunningNorm, Statistics, discounted_returns
from agent_gym.nets.ranks import RANKS


class ReturnStats(RunningNorm):
    """Statistics of the discounted return, and what they make of values: `scale` and `offset` of the learned ones."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))  # of a value, in units of reward

    def in_reward(self, value: Tensor) -> Tensor:
        """Learned values in units of reward."""
        return value / self.scale + self.offset.to(value.dtype)


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
