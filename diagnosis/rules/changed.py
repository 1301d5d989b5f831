"""Settings without a rule of their own that were changed in a run that does not learn."""

from __future__ import annotations

from typing import Any

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding, as_flag
from agent_gym.diagnosis.rules.base import rule, scored, state
from agent_gym.diagnosis.thresholds import T

NUMBERS = (
    *("eps", "weight_decay", "gae_lambda", "n_step", "policy_delay", "target_noise", "initial_alpha", "target_entropy"),
    *("reward_scale", "clip_reward", "target_kl", "clip_value_coef", "conservative", "sde_every", "reset_every"),
    *("max_episode_steps", "frame_stack", "recurrent_size", "sequence_length", "burn_in", "dropout", "quantiles"),
    *("attention_size", "attention_window", "critic_dropout", "demonstration_share", "priority_alpha", "bc_alpha"),
)
"""Numbers that decide what is learned."""
CHOICES = (
    "optimizer",
    "activation",
    "normalize_obs",
    "normalize_returns",
    "normalize_advantage",
    "double",
    "orthogonal",
)
"""Others, which matter less often."""


@rule("both")
def settings_changed(case: Case) -> Finding | None:
    """Far from what the run would have had, where it has not learned (Henderson et al. 2018; Engstrom et al. 2020)."""
    how = state(case)
    numbers = [name for name in NUMBERS if far(case.setting(name), case.usual.get(name))]
    choices = [n for n in CHOICES if n in case.config and n in case.usual and case.config[n] != case.usual[n]]
    if not numbers and not choices:
        return None
    names = [*numbers, *choices]
    absurd = any(far(case.config[n], case.usual[n], T["setting_absurd"]) and case.usual[n] for n in numbers)
    if how == "good" or (how == "unknown" and not absurd):
        return None
    return Finding(
        "settings_changed",
        f"{' and '.join(names[:3])} {'is' if len(names) == 1 else 'are'} far from what the run would have had",
        (*(f"{n} {case.config[n]} (usual {case.usual[n]})" for n in names), scored(case)),
        "what presets and defaults say was seen to learn; a change of one of these can undo that by itself",
        {name: case.usual[name] for name in names},
        f"first of all try {as_flag(names[0], case.usual[names[0]])} alone" if len(names) > 1 else "",
        weight=5.0 if absurd else 3.6 if numbers else 2.7,
        tags=("rollout/episode_return",),
        source="Henderson et al. 2018, section 4; Engstrom et al. 2020",
    )


def far(value: Any, usual: Any, times: float = T["setting_far"]) -> bool:
    """Whether one of two numbers is so many times the other; one of them may be 0."""
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in (value, usual)) or value == usual:
        return False
    if value * usual <= 0:
        return True
    ratio = value / usual
    return not 1.0 / times < ratio < times
