"""Values that the losses of SAC and its kin are made of."""

from __future__ import annotations

import math

from torch import Tensor

from agent_gym.agents.off_policy.critic import Critic
from agent_gym.nets.distributions import Categorical, SquashedGaussian
from agent_gym.nets.mixture import Mixture

TARGETS, CRITICS, ACTOR = range(3)  # the passes through critics in an update
PASSES = 3


def how(batch: dict, part: int) -> dict[str, Tensor]:
    """What the critics take in one pass beside features and actions: the units to keep, if any are dropped."""
    return {"kept": batch["kept"][part]} if "kept" in batch else {}


def soft_value(
    policy: SquashedGaussian | Categorical,
    critic: Critic,
    features: Tensor,
    alpha: Tensor,
    noise: Tensor | None,
    **how: Tensor,
) -> tuple[Tensor, Tensor]:
    """E[min Q(s, a) - alpha log π(a|s)] (equation 3) and E[log π(a|s)], each [T, n].

    Continuous: one action drawn by `noise` [T, n, m]. Discrete: the expectation over all actions. `how`: what the
    critics take beside.
    """
    if isinstance(policy, Mixture):
        numbers, log_prob = policy.numbers.rsample_with_log_prob(noise=noise)
        log_probs = policy.joint.log_probs
        probs = log_probs.exp()
        value = (probs * (critic(features, numbers, **how).amin(0) - alpha * log_probs)).sum(-1) - alpha * log_prob
        return value, (probs * log_probs).sum(-1) + log_prob
    if isinstance(policy, Categorical):
        log_probs = policy.log_probs
        probs = log_probs.exp()
        value = (probs * (critic(features, **how).amin(0) - alpha * log_probs)).sum(-1)
        return value, (probs * log_probs).sum(-1)
    action, log_prob = policy.rsample_with_log_prob(noise=noise)
    return critic.together(critic(features, action, **how)) - alpha * log_prob, log_prob


def truncated(atoms: Tensor, drop: int) -> Tensor:
    """Quantiles [num, T, n, k] of all critics in one order, without the num * `drop` largest, [T, n, num * (k - drop)].

    Kuznetsov et al. 2020, equations 10 to 12.
    """
    num, k = len(atoms), atoms.shape[-1]
    together = atoms.movedim(0, -2).flatten(-2)
    return together.sort(dim=-1).values[..., : num * (k - drop)]


def overestimate(q: Tensor, critic: Critic, features: Tensor, batch: dict) -> Tensor:
    """log Σ exp Q(s, ·) - Q(s, a) of every critic, [num, T, n] (Kumar et al. 2020, equation 4); q as `of_action` gives.

    Continuous actions: the sum as the paper's appendix F estimates it, from as many actions drawn evenly as from the
    policy, "drawn" [2N, T, n, m], each over its density, "density" [2N, T, n] (log).
    """
    if critic.discrete:
        return critic(features).logsumexp(-1) - q
    drawn, density = batch["drawn"], batch["density"]
    values = critic(features.repeat(len(drawn), 1, 1), drawn.flatten(0, 1)).unflatten(1, drawn.shape[:2])
    return (values - density).logsumexp(1) - math.log(len(drawn)) - q
