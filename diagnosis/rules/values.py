"""Values that explain nothing, explode, or promise more than was ever achieved."""

from __future__ import annotations

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import early, rule, scored, seen, state
from agent_gym.diagnosis.thresholds import T


@rule()
def q_overestimated(case: Case) -> Finding | None:
    """Values far above what follows (Thrun and Schwartz 1993; van Hasselt et al. 2016)."""
    play = case.play.get("greedy", {})
    value, achieved, size = play.get("value"), play.get("achieved"), play.get("reward_size")
    if value is None or achieved is None or "utd" not in case.config:
        return None
    scale = max(abs(achieved), abs(play.get("achieved_max", 0.0)), size or 0.0, 1e-6)
    if value - max(achieved, play.get("achieved_max", achieved)) < T["q_over"] * scale or state(case) == "good":
        return None
    remedy = {"double": True} if case.setting("double") is False else {}
    if case.setting("critics") == 1:
        remedy = {"critics": 2}
    remedy = remedy or {"learning_rate": float(case.config["learning_rate"]) / 3, "layer_norm": True}
    return Finding(
        "q_overestimated",
        "values promise more than was ever achieved",
        (
            f"the critic expects {value:.4g} of an episode's start, and {achieved:.4g} followed (at most "
            f"{play.get('achieved_max', achieved):.4g}; healthy runs: within {T['q_over']:g} times)",
            scored(case),
        ),
        "the largest of noisy estimates is too large, and bootstrapping hands the error on",
        remedy,
        weight=3.5,
        tags=("train/q_mean",),
        source="van Hasselt et al. 2016",
    )


@rule(live=True)
def values_explode(case: Case) -> Finding | None:
    """A value's loss that grows by orders of magnitude (van Hasselt et al. 2018)."""
    loss = case.curve("train/q_loss", "train/value_loss", points=8)
    if loss is None or state(case) == "good":
        return None
    first, last = abs(loss.early()), abs(loss.late())
    mean = case.curve("train/q_mean", points=8)
    large = mean is not None and abs(mean.late()) > 1e5 and abs(mean.late()) > 100 * abs(mean.early())
    if not large and (first <= 0 or last < T["loss_grows"] ** 2 * first):
        return None
    return Finding(
        "values_explode",
        "values grow without end",
        (
            f"loss of the values {first:.3g} at first, {last:.3g} at the end (healthy runs: below "
            f"{T['loss_grows'] ** 2:g} times)",
        ),
        "each target is larger than the one before",
        {"learning_rate": float(case.config["learning_rate"]) / 3},
        weight=3.4,
        tags=("train/q_loss", "train/q_mean", "train/value_loss"),
        source="van Hasselt et al. 2018",
    )


@rule(live=True)
def value_explains_nothing(case: Case) -> Finding | None:
    """explained_variance near 0 to the end (Schulman et al. 2017; Andrychowicz et al. 2021)."""
    variance = case.curve("train/explained_variance", points=8)
    if variance is None or variance.late(0.5) >= T["variance_poor"] or state(case) != "poor" or case.done < 0.5:
        return None
    return Finding(
        "value_explains_nothing",
        "the value function explains nothing",
        (seen(variance, "train/explained_variance", variance.late(0.5), f"above {T['variance_poor']:g}"), scored(case)),
        "advantages are then returns with all their noise",
        {"normalize_returns": True} if case.setting("normalize_returns") is False else {"num_epochs": 10},
        weight=1.8,
        hint=early(case),
        tags=("train/explained_variance", "train/value_loss"),
        source="Andrychowicz et al. 2021, section 3.3",
    )
