"""What rules have in common: how they are listed, and how well a run has done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.thresholds import T

Check = Callable[[Case], "Finding | None"]


class Rule(NamedTuple):
    """One function that finds one thing."""

    check: Check
    kind: Literal["agent", "task", "both"]
    live: bool
    """Whether it can judge a run that is under way, by settings and curves alone."""


RULES: list[Rule] = []


def rule(kind: Literal["agent", "task", "both"] = "agent", *, live: bool = False) -> Callable[[Check], Check]:
    """List a function among the rules."""

    def listed(check: Check) -> Check:
        RULES.append(Rule(check, kind, live))
        return check

    return listed


def state(case: Case) -> str:
    """ "good" where the run has learned well, "poor" where it has not, "unknown" where nothing tells."""
    if case.kind == "task":
        skill, forest = case.data.get("skill", {}).get("val"), case.data.get("forest_skill")
        if skill is None:
            return "unknown"
        if forest is not None and skill < forest - T["low_skill"]:
            return "poor"
        return "good" if skill > 0.5 or (forest is not None and skill > forest - 0.05) else "unknown"
    gain = case.gain()
    if gain is not None:
        return "good" if gain >= T["learned_gain"] else "poor" if gain < T["poor_gain"] else "unknown"
    lift = case.lift()
    if lift is None:
        return "unknown"
    if lift >= T["learned_lift"] or (lift >= T["learned_lift"] / 3 and rose(case)):
        return "good"
    return "poor" if lift < T["learned_lift"] / 3 else "unknown"


MEMORIES = ("rnn", "lstm", "gru", "transformer")  # encoders that have one


def early(case: Case) -> bool:
    """Whether the run is so short beside its preset or default that it need not have learned anything yet."""
    total, usual = case.setting("total_steps"), case.usual.get("total_steps")
    return bool(total and usual and total < T["short_run"] * usual)


def rollout_ratio(case: Case) -> float | None:
    """The steps of a rollout over those that it would have had."""
    sizes = [(of.get("num_steps") or 0) * (of.get("num_envs") or 0) for of in (case.config, case.usual)]
    return sizes[0] / sizes[1] if all(sizes) else None


def rose(case: Case) -> bool:
    """Whether the return went up far beyond its own noise and stayed there."""
    returns = case.returns
    if returns is None or len(returns.values) < 12:
        return False
    smooth = returns.smooth()
    gain = smooth[-1] - smooth[0]
    noise = float(np.median(np.abs(np.diff(returns.values))))
    return bool(gain > T["rise_over_noise"] * noise and smooth[-1] > smooth.max() - 0.2 * (smooth.max() - smooth[0]))


def times(ratio: float) -> str:
    """A ratio in words."""
    return f"{ratio:.3g} times" if ratio >= 1 else f"1/{1 / ratio:.3g} of" if ratio > 0 else "0 times"


def scored(case: Case) -> str:
    """The score beside what random actions and healthy runs reach, as far as known."""
    if case.score is None:
        return ""
    beside = []
    if case.random_return is not None:
        beside.append(f"random actions {case.random_return:.4g}")
    if case.reference is not None:
        beside.append(f"healthy runs {case.reference:.4g}")
    return f"score {case.score:.4g}" + (f" ({', '.join(beside)})" if beside else "")


def unusual(
    case: Case,
    name: str,
    *,
    cause: str,
    title: str,
    why: str,
    source: str,
    high: bool,
    symptoms: Iterator[str] | list[str] = (),
    far: float | None = None,
    weight: float = 5.0,
    tags: tuple[str, ...] = (),
    remedy: dict[str, Any] | None = None,
) -> Finding | None:
    """A finding where a setting lies far above (`high`) or below its usual value, and a symptom or a poor score agree.

    Where the run has done well all the same it is a hint.
    """
    value, usual = case.setting(name), case.usual.get(name)
    ratio = case.ratio(name)
    if ratio is None or value == usual:
        return None
    beyond = ratio if high else (1.0 / ratio if ratio > 0 else float("inf"))
    if beyond < T["setting_times"]:
        return None
    seen = list(symptoms)
    how = state(case)
    if not seen and case.live:
        return None
    if not seen and how != "poor" and beyond < (far or T["setting_far"]):
        return None
    harmless = how == "good" or (how == "unknown" and not seen)
    evidence = [f"{name} {value:g} is {times(ratio)} the {usual:g} that the run would have had", *seen]
    if told := scored(case):
        evidence.append(told)
    strength = min(np.log10(max(beyond, 1.0)), 6.0) if np.isfinite(beyond) else 6.0
    return Finding(
        cause,
        title,
        tuple(evidence),
        why,
        remedy or {name: usual},
        weight=weight + 0.2 * strength + (0.5 if seen else 0.0 if beyond >= T["setting_absurd"] else -3.0),
        hint=harmless,
        tags=tags,
        source=source,
    )


def seen(curve: Any, tag: str, value: float, healthy: str, share: float = 0.9) -> str:
    """A line of evidence: a metric, its value, where, and what healthy runs show."""
    return f"{tag} {value:.4g} around step {curve.step_of(share):,} (healthy runs: {healthy})"
