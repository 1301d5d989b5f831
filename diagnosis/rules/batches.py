"""How much is collected, kept and learned from at a time."""

from __future__ import annotations

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import rollout_ratio, rule, scored, state, unusual
from agent_gym.diagnosis.thresholds import T

ANDRYCHOWICZ = "Andrychowicz et al. 2021, section 3.5"


@rule(live=True)
def few_updates(case: Case) -> Finding | None:
    """Rollouts so long that the policy is improved a few times only (Andrychowicz et al. 2021)."""
    steps, envs, total = (case.setting(n) for n in ("num_steps", "num_envs", "total_steps"))
    if not (steps and envs and total) or (rollout_ratio(case) or 0.0) <= 1.0:
        return None
    rounds = total / (steps * envs)
    if rounds >= T["few_updates"]:
        return None
    enough = max(int(total / (2 * T["few_updates"] * envs)), 1)
    return Finding(
        "few_updates",
        "the policy is improved a few times only",
        (
            f"num_steps {steps} times num_envs {envs} is a rollout of {steps * envs:,} steps: {rounds:.1f} rollouts in "
            f"{total:,} steps (healthy runs: at least {T['few_updates']:.0f})",
            scored(case),
        ),
        "each rollout is learned from once, so a run is worth as much as it has rollouts",
        {"num_steps": min(case.usual["num_steps"], enough)},
        weight=6.0,
        hint=state(case) == "good" or (steps <= case.usual["num_steps"] and state(case) != "poor"),
        tags=("rollout/episode_return",),
        source=ANDRYCHOWICZ,
    )


@rule(live=True)
def rollout_short(case: Case) -> Finding | None:
    """Rollouts too short for advantages (Andrychowicz et al. 2021)."""
    steps = case.setting("num_steps")
    if not steps or "num_minibatches" not in case.config:
        return None
    envs, parts = case.config["num_envs"], case.config["num_minibatches"]
    return unusual(
        case,
        "num_steps",
        high=False,
        cause="rollout_short",
        title="rollouts are too short",
        why="advantages reach over a few steps only, and each update sees a handful of samples",
        source=ANDRYCHOWICZ,
        symptoms=[f"an update sees {max(steps * envs // parts, 1)} samples (usual: hundreds)"]
        if steps * envs < 256
        else [],
        weight=5.5,
        tags=("rollout/episode_return",),
    )


@rule("both", live=True)
def batch_small(case: Case) -> Finding | None:
    """Gradients of a few samples are mostly noise (McCandlish et al. 2018)."""
    size, usual = case.setting("batch_size"), case.usual.get("batch_size")
    if not size or not usual or size > 8 or usual / size < T["setting_times"]:
        return None
    if case.kind == "task":
        return None  # that is jagged's to tell
    return unusual(
        case,
        "batch_size",
        high=False,
        cause="batch_small",
        title="batches are too small",
        why="the gradient of a few transitions is mostly noise",
        source="McCandlish et al. 2018, section 2",
        symptoms=[f"an update sees {size} transitions (usual {usual})"],
        weight=6.0,
        tags=("train/q_loss",),
    )


@rule(live=True)
def minibatch_small(case: Case) -> Finding | None:
    """A rollout cut into crumbs (McCandlish et al. 2018)."""
    steps, envs, parts = (case.setting(n) for n in ("num_steps", "num_envs", "num_minibatches"))
    ratio = case.ratio("num_minibatches")
    if not (steps and envs and parts) or ratio is None or ratio < T["setting_times"]:
        return None
    size = steps * envs / parts
    if size >= 16:
        return None
    return Finding(
        "minibatch_small",
        "minibatches are too small",
        (f"{steps} x {envs} samples in {parts} parts: {size:.1f} in a minibatch (usual: 64 and more)", scored(case)),
        "the gradient of a few samples is mostly noise, and normalised advantages are nothing else",
        {"num_minibatches": case.usual["num_minibatches"]},
        weight=5.5,
        hint=state(case) == "good",
        source="McCandlish et al. 2018, section 2",
    )


@rule(live=True)
def num_epochs_many(case: Case) -> Finding | None:
    """Too many passes over a rollout (Schulman et al. 2017)."""
    kl = case.curve("train/approx_kl")
    return unusual(
        case,
        "num_epochs",
        high=True,
        cause="num_epochs_many",
        title="too many passes over each rollout",
        why="after many of them the policy has left the one that the rollout is of",
        source="Schulman et al. 2017, section 3",
        symptoms=[f"train/approx_kl {kl.early(0.5):.3g} (healthy runs: up to {T['kl_large']:g})"]
        if kl and kl.early(0.5) > T["kl_large"]
        else [],
        tags=("train/approx_kl",),
    )
