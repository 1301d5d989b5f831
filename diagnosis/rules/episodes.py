"""How episodes begin and end, as random play shows it."""

from __future__ import annotations

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import MEMORIES, rule, state
from agent_gym.diagnosis.rules.environment import GYMNASIUM
from agent_gym.diagnosis.thresholds import T


@rule()
def reset_incomplete(case: Case) -> Finding | None:
    """An episode begins where the last one stood."""
    if not case.env.get("goes_on"):
        return None
    return Finding(
        "reset_incomplete",
        "reset() leaves things as they were",
        ("the first observation after reset(seed=...) is the last one of the episode before",),
        "episodes then depend on those before them, and ends and returns say nothing of one policy",
        advice="set all that step() changes anew in reset()",
        weight=7.4,
        source=GYMNASIUM,
    )


@rule()
def limit_short(case: Case) -> Finding | None:
    """A time limit after a few steps (Pardo et al. 2018)."""
    ends = case.env.get("ends", {})
    if ends.get("truncated", 0.0) < T["same_end"] or ends["length_max"] > T["short_limit"] or state(case) == "good":
        return None
    mine = case.setting("max_episode_steps")
    return Finding(
        "limit_short",
        "a time limit ends episodes after a few steps",
        (f"{ends['truncated']:.0%} of random episodes are cut off after at most {ends['length_max']} steps",),
        "what lies further from the start is never met",
        {"max_episode_steps": 0} if mine else {},
        "" if mine else "register it with a larger max_episode_steps, or give --max-episode-steps",
        weight=5.6,
        hint=state(case) != "poor",
        source="Pardo et al. 2018",
    )


@rule()
def episodes_end_at_once(case: Case) -> Finding | None:
    """Every episode is one step."""
    ends = case.env.get("ends", {})
    if not ends or ends["length_max"] > 1 or not ends.get("ended"):
        return None
    return Finding(
        "episodes_end_at_once",
        "every episode ends in its first step",
        (f"lengths {ends['length_min']} to {ends['length_max']}",),
        "there is no course of things to learn; only a bandit has such episodes",
        advice="see what sets terminated or truncated in step(), and that reset() clears it",
        weight=7.8,
        source=GYMNASIUM,
    )


@rule()
def episodes_never_end(case: Case) -> Finding | None:
    """No end and no time limit (Pardo et al. 2018)."""
    ends = case.env.get("ends", {})
    if not ends or ends.get("ended", 1.0) > 0.0 or (ends.get("limit") or 10**9) < 10**6:
        return None
    length = case.curve("rollout/episode_length", points=1)
    if length is not None and case.config:
        return None
    return Finding(
        "episodes_never_end",
        "episodes never end",
        (f"{ends['watched']:,} steps of random play without an end, and no time limit is known",),
        "without ends there are no returns to compare, and it may stay for ever in a corner of the world",
        {"max_episode_steps": 500},
        "or register it with max_episode_steps",
        weight=7.5,
        source="Pardo et al. 2018",
    )


@rule()
def time_limit_as_end(case: Case) -> Finding | None:
    """A time limit that is told as the task's own end (Pardo et al. 2018)."""
    ends = case.env.get("ends", {})
    share, longest = ends.get("terminated_at_longest"), ends.get("terminated_longest", 0)
    if share is None or longest < 5 or share < T["same_end"] or ends.get("terminated", 0.0) < T["same_end"]:
        return None
    if ends.get("paid_at_end", 0.0) > T["paid_at_end"]:  # a failure or a success, not a limit
        return None
    if ends["length_max"] != ends["length_min"] and share < 1.0 and ends["length_max"] > longest:
        return None
    alike = ends["length_max"] == ends["length_min"] and not case.config  # a hand of cards ends at one step too
    return Finding(
        "time_limit_as_end",
        "a time limit is told as the task's own end",
        (f"{share:.0%} of random episodes are terminated after exactly {longest} steps (a limit truncates)",),
        "the agent learns that nothing can come after that step, and cannot see when it comes",
        {} if alike else {"max_episode_steps": longest - 1},
        f"{'where the task itself does not end there, ' * alike}return truncated=True and terminated=False there",
        weight=6.3,
        hint=alike or state(case) == "good" and (case.gain() is not None or case.setting("encoder") in MEMORIES),
        source="Pardo et al. 2018",
    )


@rule()
def ends_by_chance(case: Case) -> Finding | None:
    """Ends that nothing in the observation announces (Pardo et al. 2018: the agent cannot see them come)."""
    told = case.env.get("ends", {}).get("told")
    if told is None or told > T["ends_told"] or (state(case) == "good" and case.gain() is not None):
        return None
    return Finding(
        "ends_by_chance",
        "episodes end where nothing in the observation tells why",
        (
            f"observation, action and step tell an end from other steps with an area under the ROC curve of {told:.2f} "
            "(0.5: not at all; healthy environments: above 0.75)",
        ),
        "an end is a loss of all that was to come, and no action can be blamed or praised for it",
        {},
        "look what sets terminated=True; show what it depends on, or set truncated=True where it is not the task",
        weight=5.8,
        hint=state(case) != "poor" and bool(case.config),
        source="Pardo et al. 2018",
    )
