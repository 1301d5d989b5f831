"""What the environment itself has wrong, as random play shows it."""

from __future__ import annotations

import numpy as np

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import early, rule, state
from agent_gym.diagnosis.thresholds import T

GYMNASIUM = "Gymnasium's documentation, Env"
INTERFACE = "https://gymnasium.farama.org/api/env/"


@rule()
def interface(case: Case) -> Finding | None:
    """Violations of Gymnasium's interface."""
    problems = case.env.get("problems") or []
    if not problems:
        return None
    return Finding(
        "interface",
        "the environment is not what Gymnasium says",
        tuple(problems),
        "agents and wrappers rely on it",
        advice="mend what is named; " + INTERFACE,
        weight=9.0,
        source=GYMNASIUM,
    )


@rule()
def obs_beyond(case: Case) -> Finding | None:
    """Observations that lie a little beyond the bounds of their space."""
    beyond = case.env.get("beyond") or 0.0
    if not beyond or case.env.get("problems"):
        return None
    return Finding(
        "obs_beyond",
        "observations lie a little beyond their space",
        (f"by {beyond:.2g} of its range",),
        "where bounds scale an input, it may be a little larger than 1",
        advice="clip the observation, or widen observation_space",
        weight=0.6,
        hint=True,
        source=GYMNASIUM,
    )


@rule()
def actions_without_effect(case: Case) -> Finding | None:
    """Whatever is done, the same follows."""
    effect = case.env.get("effect")
    if not effect or effect.get("obs") or effect.get("reward"):
        return None
    return Finding(
        "actions_without_effect",
        "actions change nothing",
        ("from one seed, every action led to the same observations, rewards and end",),
        "there is nothing to decide",
        advice="see that step(action) uses its argument; test: two actions from one seed must differ",
        weight=8.0,
        source=GYMNASIUM,
    )


@rule()
def effects_late(case: Case) -> Finding | None:
    """What an action does shows some steps later (Katsikopoulos and Engelbrecht 2003)."""
    after = case.env.get("effect", {}).get("after") or 0
    if after < T["late_effect"] or state(case) == "good" or case.env.get("obs", {}).get("choices"):
        return None  # one of a few is the same by chance
    return Finding(
        "effects_late",
        "what an action does is seen some steps later",
        (
            f"from one seed, other actions show in an observation after {after} steps at the earliest (usual: 1, or 2 "
            "where velocities are missing)",
        ),
        "the observation is old: what was done since is not in it, and the best action depends on that",
        {"frame_stack": int(after) + 1},
        "see that step() observes after it has acted; where the delay is real, memory (--encoder lstm) helps too",
        weight=4.2,
        hint=bool(case.env.get("obs", {}).get("image")),
        source="Katsikopoulos and Engelbrecht 2003",
    )


@rule()
def obs_rarely_change(case: Case) -> Finding | None:
    """Most steps change nothing that is seen (Zahavy et al. 2018, for actions without use)."""
    obs = case.env.get("obs", {})
    share = obs.get("unchanged", 0.0)
    if share < T["unchanged"] or obs.get("constant_share") == 1.0 or state(case) == "good":
        return None
    return Finding(
        "obs_rarely_change",
        "most steps change nothing that is seen",
        (
            f"{share:.0%} of random steps end in the observation that was there before (usual: below "
            f"{T['unchanged']:.0%})",
        ),
        "either most actions do nothing, or the observation is renewed now and then only",
        advice='leave out actions that do nothing, or give info["action_mask"]; see that each step observes anew',
        weight=3.4,
        hint=state(case) != "poor",
        source="Zahavy et al. 2018",
    )


@rule()
def hidden_randomness(case: Case) -> Finding | None:
    """The same seed takes another way (Henderson et al. 2018)."""
    if case.env.get("repeats") is not False or case.env.get("goes_on"):
        return None
    return Finding(
        "hidden_randomness",
        "the same seed and actions take another way",
        ("two episodes from one seed differ while Python's and NumPy's own generators stand elsewhere",),
        "runs cannot be repeated, and episodes of a checkpoint cannot go on",
        advice="draw from self.np_random, which reset(seed=...) seeds, and from nothing else; set all that step() "
        "changes anew in reset()",
        weight=3.2,
        hint=state(case) == "good",
        source=GYMNASIUM,
    )


@rule()
def no_reward_signal(case: Case) -> Finding | None:
    """Every episode scores the same, in random play and in training."""
    reward, ends = case.env.get("reward", {}), case.env.get("ends", {})
    if not reward or reward.get("std", 1.0) > 1e-12 * max(abs(reward.get("max", 0.0)), 1.0):
        return None
    vary = ends.get("length_max", 0) != ends.get("length_min", 0) and ends.get("terminated", 0.0) > 0
    if vary and reward.get("max") != 0.0:
        return None
    returns = case.returns
    if returns is not None and np.ptp(returns.values) > 1e-6 * max(abs(returns.values).max(), 1.0):
        return None
    if returns is None and case.curves and case.curve("rollout/reward_per_step", points=1) is not None:
        rate = case.curve("rollout/reward_per_step", points=1)
        if np.ptp(rate.values) > 1e-9:
            return None
    seen = f"every reward of {'training and of ' if case.curves else ''}random play is {reward.get('usual', 0.0):g}"
    return Finding(
        "no_reward_signal",
        "no reward tells one action from another",
        (seen,),
        "an agent learns from differences between rewards alone",
        advice="see that step() returns the reward that was computed; if the goal is only too far for chance, reward "
        "the way to it, start nearer to it, or explore longer",
        weight=7.6,
        hint=(not case.curves or early(case)) and (vary or reward.get("usual", 0.0) < 0),
        source="Ng et al. 1999",
    )


@rule()
def reward_sparse(case: Case) -> Finding | None:
    """Another reward than the usual one comes rarely (Ng et al. 1999)."""
    reward = case.env.get("reward", {})
    share = reward.get("other_share")
    if share is None or share == 0.0 or share > 0.002 or state(case) == "good" or reward.get("std", 0.0) == 0.0:
        return None
    return Finding(
        "reward_sparse",
        "rewards are sparse",
        (
            f"{share:.2%} of random steps have another reward than {reward['usual']:g}, in "
            f"{reward['episodes_with_other']:.0%} of episodes",
        ),
        "until chance finds one there is nothing to learn from",
        advice="reward the way there (a potential changes no best policy), or explore longer",
        weight=0.9,
        hint=True,
        source="Ng et al. 1999",
    )


@rule()
def reward_scale(case: Case) -> Finding | None:
    """Rewards of another size than learning rates are made for (Henderson et al. 2018, section 4.2)."""
    reward = case.env.get("reward", {})
    size = reward.get("size")
    setting = case.setting("normalize_returns")
    if not size or (case.config and setting in (True, "yes", "auto")) or setting is None and case.config:
        return None
    if T["reward_small"] <= size <= T["reward_large"] or (state(case) == "good" and case.gain() is not None):
        return None
    evidence = [f"size of a reward {size:.3g} (usual: 0.01 to 100), normalize_returns {setting}"]
    if loss := case.curve("train/value_loss", "train/q_loss"):
        evidence.append(f"loss of the values {loss.late():.3g}")
    return Finding(
        "reward_scale",
        f"rewards are very {'large' if size > 1 else 'small'}",
        tuple(evidence),
        "the loss of the values grows with the square of the reward, and drowns, or hardly moves, all else",
        {"normalize_returns": "yes" if isinstance(setting, str) else True},
        weight=6.4,
        hint=not case.config,
        tags=("train/value_loss", "train/q_loss"),
        source="Henderson et al. 2018, section 4.2; Engstrom et al. 2020",
    )


@rule()
def reward_outlier(case: Case) -> Finding | None:
    """A rare reward that drowns the rest (van Hasselt et al. 2016: Pop-Art)."""
    reward = case.env.get("reward", {})
    if reward.get("outlier", 0.0) < T["reward_outlier"] or (state(case) == "good" and case.gain() is not None):
        return None
    rare = reward.get("other_share", 1.0)
    return Finding(
        "reward_outlier",
        "a few rewards are far larger than all others",
        (
            f"before an end, the largest is {reward['outlier']:.3g} times what 95 % of steps stay below "
            f"({reward['min']:.3g} to {reward['max']:.3g}; usual: up to {T['reward_outlier']:g} times)",
            f"{rare:.1%} of steps have another reward than {reward['usual']:.3g}",
        ),
        "values and their scale follow the rare one, and what the agent can do about the rest is lost in it",
        {},
        "clip it in the environment or with --wrapper 'mymodule:Clip', unless it is the goal itself",
        weight=7.0,
        hint=state(case) == "good",
        source="van Hasselt et al. 2016, Pop-Art",
    )


@rule()
def action_bounds(case: Case) -> Finding | None:
    """Infinite, uneven or saturating bounds."""
    actions = case.env.get("actions", {})
    told = []
    if actions.get("finite") is False:
        told.append("bounds are infinite: actions are neither scaled nor clipped")
    elif actions.get("symmetric") is False:
        told.append(
            f"bounds are not symmetric: {actions['range'][0]:g} to {actions['range'][1]:g}; the middle is no rest"
        )
    if case.env.get("saturates"):
        told.append("the outer half of the range does nothing that half of it does not")
    if not told:
        return None
    return Finding(
        "action_bounds",
        "the bounds of the actions deserve a look",
        tuple(told),
        "exploration is measured by the range, and spends itself where nothing changes",
        advice="declare finite bounds at what the system can do, around rest",
        weight=0.8,
        hint=True,
        source="Raffin et al. 2021, RL tips and tricks",
    )
