"""Settings that lie far from what the run would have had, where the curves agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import rule, scored, seen, state, unusual
from agent_gym.diagnosis.thresholds import T

SCHULMAN = "Schulman et al. 2017; Andrychowicz et al. 2021, section 3"


def overstepping(case: Case) -> Iterator[str]:
    """Signs of steps that are too large."""
    if (kl := case.curve("train/approx_kl")) and (value := float(np.median(kl.part(0.0, 0.5)))) > T["kl_large"]:
        yield seen(kl, "train/approx_kl", value, f"0.002 to {T['kl_large']:g}", 0.25)
    if (clip := case.curve("train/clip_fraction")) and (value := float(np.median(clip.part(0.0, 0.5)))) > T[
        "clip_large"
    ]:
        yield seen(clip, "train/clip_fraction", value, f"below {T['clip_large']:g}", 0.25)
    loss = case.curve("train/q_loss", "train/value_loss", "train/loss")
    if loss and (first := abs(loss.early())) > 0 and abs(loss.late()) > T["loss_grows"] * first:
        yield f"the loss grew from {loss.early():.3g} to {loss.late():.3g} (healthy runs: it falls or stays)"
    if (entropy := case.curve("train/entropy")) and case.env.get("actions", {}).get("n"):
        full = float(np.log(case.env["actions"]["n"]))
        if full and float(np.median(entropy.part(0.1, T["entropy_gone_by"]))) < T["entropy_gone"] * full:
            yield seen(
                entropy, "train/entropy", entropy.late(), f"above {T['entropy_gone'] * full:.2g} this early", 0.3
            )
    still = max(case.layers.get("still", {}).values(), default=0.0)
    if still > T["still_units"]:
        yield f"{still:.0%} of a layer's units no longer learn (healthy runs: below {T['still_units']:.0%})"


def idling(case: Case) -> Iterator[str]:
    """Signs of updates that change nothing."""
    if (kl := case.curve("train/approx_kl")) and (value := abs(float(np.median(kl.part(0.0, 0.6))))) < T["kl_small"]:
        yield seen(kl, "train/approx_kl", value, f"above {T['kl_small']:g}", 0.3)
    loss = case.curve("train/q_loss", "train/value_loss", "train/loss")
    if loss and case.kind == "task" and loss.late() > 0.9 * loss.early():
        yield f"train/loss went from {loss.early():.3g} to {loss.late():.3g} only"


@rule("both", live=True)
def learning_rate_high(case: Case) -> Finding | None:
    """Steps so large that each undoes the last (Goodfellow et al. 2016, section 11.4.1)."""
    ratio = case.ratio("learning_rate")
    symptoms = list(overstepping(case))
    lower = {"learning_rate": case.usual.get("learning_rate")}
    found = unusual(
        case,
        "learning_rate",
        high=True,
        cause="learning_rate_high",
        title="the learning rate is too high",
        why="each step overshoots what it should mend, so that policy and values jump about or break",
        source="Goodfellow et al. 2016, section 11.4.1",
        symptoms=symptoms,
        remedy=lower,
        weight=6.5,
        tags=("train/approx_kl", "train/clip_fraction", "train/loss", "train/q_loss"),
    )
    if found is not None or case.kind == "task" or ratio is None or len(symptoms) < 2 or state(case) == "good":
        return found
    if ratio <= 1.0 or not any("approx_kl" in line for line in symptoms):
        return None
    return Finding(
        "learning_rate_high",
        "updates move the policy too far",
        (*symptoms, scored(case)),
        "the clipped objective holds near the old policy alone",
        {"learning_rate": float(case.config["learning_rate"]) / 3, "target_kl": 0.02},
        weight=4.0,
        tags=("train/approx_kl", "train/clip_fraction"),
        source=SCHULMAN,
    )


def rate_that_moves(case: Case) -> dict[str, Any] | None:
    """The learning rate by which an update would move the policy as far as healthy ones do, from the usual one to ten
    times that: the divergence grows with the square of the step."""
    kl, usual = case.curve("train/approx_kl"), case.usual.get("learning_rate")
    value = abs(float(np.median(kl.part(0.0, 0.6)))) if kl else 0.0
    if not value or not usual:
        return None
    rate = float(case.config["learning_rate"]) * (T["kl_healthy"] / value) ** 0.5
    return {"learning_rate": float(f"{np.clip(rate, usual, 10.0 * usual):.1g}")}


@rule("both", live=True)
def learning_rate_low(case: Case) -> Finding | None:
    """Steps so small that nothing changes (Goodfellow et al. 2016, section 11.4.1)."""
    return unusual(
        case,
        "learning_rate",
        high=False,
        cause="learning_rate_low",
        title="the learning rate is too low",
        why="the weights hardly move within the run",
        source="Goodfellow et al. 2016, section 11.4.1",
        symptoms=idling(case),
        remedy=rate_that_moves(case),
        weight=6.5,
        tags=("train/approx_kl", "train/loss", "train/q_mean"),
    )


def horizon(gamma: float) -> float:
    """Steps that a discount sees."""
    return 1.0 / max(1.0 - gamma, 1e-6)


@rule(live=True)
def discount_short(case: Case) -> Finding | None:
    """A discount that does not see as far as the reward lies (Sutton and Barto 2018, section 3.3)."""
    gamma, usual = case.setting("gamma"), case.usual.get("gamma")
    if gamma is None or usual is None or gamma >= usual:
        return None
    sees, would = horizon(gamma), horizon(usual)
    length = case.curve("rollout/episode_length", points=1)
    longest = max(length.values.max() if length else 0.0, case.env.get("ends", {}).get("length_mean", 0.0))
    if would / sees < T["setting_times"] or not longest or sees > T["horizon"] * longest:
        return None
    evidence = [
        f"gamma {gamma:g} sees {sees:.3g} steps ahead, the usual {usual:g} sees {would:.3g}",
        f"episodes take up to {longest:.0f} steps (healthy runs see at least {T['horizon']:.0%} of that)",
    ]
    if told := scored(case):
        evidence.append(told)
    return Finding(
        "discount_short",
        "the discount is too short",
        tuple(evidence),
        "what an action brings about later does not count for it",
        {"gamma": usual},
        weight=6.0,
        hint=state(case) == "good" and case.gain() is not None,
        tags=("rollout/episode_return", "rollout/episode_length"),
        source="Sutton and Barto 2018, section 3.3",
    )


@rule(live=True)
def discount_long(case: Case) -> Finding | None:
    """No discount at all, and values that grow without end (Sutton and Barto 2018, section 10.3)."""
    gamma, usual = case.setting("gamma"), case.usual.get("gamma")
    if gamma is None or usual is None or horizon(gamma) / horizon(usual) < 2 * T["setting_far"]:
        return None
    values = case.curve("train/q_mean")
    grows = values is not None and abs(values.late()) > 3.0 * abs(values.values[len(values.values) // 3]) > 0
    variance = case.curve("train/explained_variance")
    blind = variance is not None and variance.late() < T["variance_poor"]
    if not (grows or blind or state(case) == "poor"):
        return None
    evidence = [f"gamma {gamma:g} sees {horizon(gamma):.3g} steps, the usual {usual:g} sees {horizon(usual):.3g}"]
    if grows:
        evidence.append(seen(values, "train/q_mean", values.late(), "it levels out"))
    if blind:
        evidence.append(seen(variance, "train/explained_variance", variance.late(), f"above {T['variance_poor']:g}"))
    return Finding(
        "discount_long",
        "the discount is too long",
        (*evidence, scored(case)),
        "values have to sum up more steps than can be learned from, and noise adds up with them",
        {"gamma": usual},
        weight=6.0,
        hint=state(case) == "good",
        tags=("train/q_mean", "train/explained_variance"),
        source="Sutton and Barto 2018, section 10.3",
    )


def _clip(case: Case, size: str, **told: Any) -> Finding | None:
    """Too "small" or too "large" a clip of the probability ratio."""
    title, source = f"the clip of the probability ratio is too {size}", "Schulman et al. 2017, equation 7"
    return unusual(case, "clip_coef", high=size == "large", cause=f"clip_{size}", title=title, source=source, **told)


@rule(live=True)
def clip_small(case: Case) -> Finding | None:
    """A clip that stops the policy at once (Schulman et al. 2017, equation 7)."""
    why, tags = (
        "after the smallest change of the policy its gradient is cut off",
        ("train/clip_fraction", "train/approx_kl"),
    )
    return _clip(case, "small", why=why, symptoms=idling(case), weight=6.0, tags=tags)


@rule(live=True)
def clip_large(case: Case) -> Finding | None:
    """A clip that never holds the policy back (Schulman et al. 2017, equation 7)."""
    why = "nothing holds an update near the policy that the data come from"
    return _clip(case, "large", why=why, symptoms=overstepping(case), weight=5.5, tags=("train/approx_kl",))


@rule("both", live=True)
def max_grad_norm_small(case: Case) -> Finding | None:
    """Gradients clipped to nothing (Pascanu et al. 2013, section 3.2)."""
    if not case.setting("max_grad_norm"):
        return None
    symptoms = list(idling(case))
    norm = case.curve("train/grad_norm")
    if norm and norm.late() > 100 * float(case.config["max_grad_norm"]):
        symptoms.append(
            f"train/grad_norm {norm.late():.3g} is clipped to {case.config['max_grad_norm']:g} in every update"
        )
    return unusual(
        case,
        "max_grad_norm",
        high=False,
        cause="max_grad_norm_small",
        title="gradients are clipped to almost nothing",
        why="what is left of them is no larger than the optimizer's own eps",
        source="Pascanu et al. 2013, section 3.2",
        symptoms=symptoms,
        weight=6.0,
        tags=("train/grad_norm",),
    )


@rule(live=True)
def entropy_bonus_large(case: Case) -> Finding | None:
    """A bonus for chance that outweighs the reward (Schulman et al. 2017, equation 9; Haarnoja et al. 2018)."""
    name = "entropy_coef" if "entropy_coef" in case.config else "alpha"
    value, usual = case.setting(name), case.usual.get(name)
    if not value or value <= (usual or 0.0):
        return None
    entropy = case.curve("train/entropy")
    evidence = [f"{name} {value:g} (usual {usual:g})"]
    stays = (
        entropy is not None and abs(entropy.values[0]) > 0 and entropy.late() >= T["entropy_full"] * entropy.values[0]
    )
    if stays:
        evidence.append(
            f"train/entropy is {entropy.late():.3g} at the end and was {entropy.values[0]:.3g} at the start (healthy "
            f"runs: below {T['entropy_full']:.0%} of that)"
        )
    large = value >= 10 * max(usual or 0.0, 0.01)
    if not large or (name == "alpha" and value < 1.0) or not (stays or state(case) != "good"):
        return None
    return Finding(
        "entropy_bonus_large",
        "chance is paid more than the task",
        (*evidence, scored(case)),
        "the agent is rewarded for never deciding",
        {name: usual if name == "alpha" else usual or 0.01},
        weight=6.2,
        hint=state(case) == "good",
        tags=("train/entropy",),
        source="Schulman et al. 2017, equation 9; Haarnoja et al. 2018, section 5",
    )


@rule(live=True)
def value_not_learned(case: Case) -> Finding | None:
    """No weight on the value's loss (Schulman et al. 2017, equation 9)."""
    value, usual = case.setting("value_coef"), case.usual.get("value_coef")
    variance = case.curve("train/explained_variance")
    if value is None or not usual or value > usual / T["setting_far"]:
        return None
    poor = variance is not None and variance.late() < T["variance_poor"]
    if not poor and value > 0:
        return None
    evidence = [f"value_coef {value:g} (usual {usual:g})"]
    if variance is not None:
        evidence.append(seen(variance, "train/explained_variance", variance.late(), f"above {T['variance_poor']:g}"))
    return Finding(
        "value_not_learned",
        "the value function is not learned",
        (*evidence, scored(case)),
        "without values every advantage is only the noise of one return",
        {"value_coef": usual},
        weight=6.3,
        tags=("train/explained_variance", "train/value_loss"),
        source="Schulman et al. 2017, equation 9",
    )
