"""What is kept in a replay buffer, how much is learned from it, and targets."""

from __future__ import annotations

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import rule, scored, state, unusual
from agent_gym.diagnosis.thresholds import T

FEDUS = "Fedus et al. 2020, section 4"


@rule(live=True)
def updates_few(case: Case) -> Finding | None:
    """Too few updates for the steps taken (Fedus et al. 2020: the replay ratio)."""
    utd = case.setting("utd")
    total = case.setting("total_steps")
    if utd is None or total is None:
        return None
    count = utd * max(total - (case.setting("learning_starts") or 0), 0)
    return unusual(
        case,
        "utd",
        high=False,
        cause="updates_few",
        title="there are too few updates for the steps taken",
        why="experience is collected and hardly ever learned from",
        source=FEDUS,
        symptoms=[f"utd {utd:g}: {count:,.0f} updates in the whole run"] if count < 1000 else [],
        weight=6.3,
        tags=("train/q_loss",),
    )


@rule(live=True)
def updates_many(case: Case) -> Finding | None:
    """So many updates a step that the first experience is learned by heart (Nikishin et al. 2022)."""
    still = max(case.layers.get("still", {}).values(), default=0.0)
    loss = case.curve("train/q_loss", points=8)
    symptoms = []
    if still > T["still_units"] / 2:
        symptoms.append(f"{still:.0%} of a layer's units no longer learn")
    if loss is not None and abs(loss.late()) > T["loss_grows"] * abs(loss.early()) > 0:
        symptoms.append(f"train/q_loss grew from {loss.early():.3g} to {loss.late():.3g} (healthy runs: it levels out)")
    return unusual(
        case,
        "utd",
        high=True,
        cause="updates_many",
        title="each step is learned from too often",
        why="before anything new is in the buffer, the networks know the old by heart and have lost what they need to "
        "learn on",
        source="Nikishin et al. 2022, section 3",
        symptoms=symptoms,
        weight=5.4,
        tags=("train/q_loss", "rollout/episode_return"),
    )


@rule(live=True)
def rounds_few(case: Case) -> Finding | None:
    """Learning in a few rounds, with no new experience within each (Fedus et al. 2020)."""
    steps, envs, total = (case.setting(n) for n in ("train_every", "num_envs", "total_steps"))
    ratio = case.ratio("train_every")
    if not (steps and envs and total) or ratio is None or ratio < T["setting_times"]:
        return None
    rounds = total / (steps * envs)
    if rounds >= T["few_updates"]:
        return None
    return Finding(
        "few_updates",
        "it learns in a few rounds only",
        (
            f"train_every {steps:,} times num_envs {envs}: {rounds:.1f} rounds of updates in {total:,} steps (healthy "
            f"runs: at least {T['few_updates']:.0f})",
            scored(case),
        ),
        "within a round of updates nothing new comes into the buffer, and what was learned is not tried before its end",
        {"train_every": case.usual["train_every"]},
        weight=6.0,
        hint=state(case) == "good",
        tags=("rollout/episode_return",),
        source=FEDUS,
    )


@rule(live=True)
def buffer_small(case: Case) -> Finding | None:
    """A buffer that forgets too early (Fedus et al. 2020)."""
    size, total = case.setting("buffer_size"), case.setting("total_steps")
    usual = case.usual.get("buffer_size")
    if not size or not total or not usual or usual / size < T["setting_times"]:
        return None
    if size >= T["buffer_share"] * total or state(case) == "good" and case.gain() is None and size > 5000:
        return None
    length = case.curve("rollout/episode_length", points=1)
    whole = f", {size / length.late():.2g} episodes" if length and length.late() > 0 else ""
    return Finding(
        "buffer_small",
        "the replay buffer forgets too early",
        (
            f"buffer_size {size:,} holds {size / total:.1%} of the run{whole} (healthy runs: at least "
            f"{T['buffer_share']:.0%})",
            scored(case),
        ),
        "what it has just done is all that the agent learns from, and it forgets the rest",
        {"buffer_size": usual},
        weight=6.4,
        hint=state(case) == "good",
        tags=("rollout/episode_return",),
        source=FEDUS,
    )


@rule(live=True)
def learning_late(case: Case) -> Finding | None:
    """Most of the run is spent before learning begins (Mnih et al. 2015, table 1: a thousandth of it)."""
    starts, total, usual = (
        case.setting("learning_starts"),
        case.setting("total_steps"),
        case.usual.get("learning_starts"),
    )
    if starts is None or not total or usual is None or starts <= T["late_start"] * total or starts <= usual:
        return None
    return Finding(
        "learning_late",
        "learning begins too late",
        (
            f"learning_starts {starts:,} is {starts / total:.0%} of total_steps {total:,} (healthy runs: below "
            f"{T['late_start']:.0%})",
            scored(case),
        ),
        "until then actions are random and nothing is learned",
        {"learning_starts": min(usual, int(0.1 * total))},
        weight=6.6,
        tags=("rollout/episode_return", "train/q_loss"),
        source="Mnih et al. 2015, extended data table 1",
    )


@rule(live=True)
def target_slow(case: Case) -> Finding | None:
    """A target network that stays where it was (Mnih et al. 2015; Lillicrap et al. 2016)."""
    total = case.setting("total_steps")
    tau, usual = case.setting("tau"), case.usual.get("tau")
    every, usual_every = case.setting("target_every"), case.usual.get("target_every")
    evidence, remedy = [], {}
    if every and total and usual_every and every >= T["setting_times"] * usual_every and every > total / 4:
        evidence.append(f"target_every {every:,}: {total / every:.2g} times in {total:,} steps (usual {usual_every:,})")
        remedy["target_every"] = usual_every
    if tau and usual and usual / tau >= T["setting_far"]:
        updates = (case.setting("utd") or 1.0) * (total or 0)
        share = 1.0 - (1.0 - tau) ** (updates / max(every or 1, 1) if every else updates)
        if share < 0.9:
            evidence.append(
                f"tau {tau:g}: the target goes {share:.1%} of the way in the whole run (usual tau {usual:g})"
            )
            remedy["tau"] = usual
    if not evidence:
        return None
    return Finding(
        "target_slow",
        "the target network hardly follows",
        (*evidence, scored(case)),
        "every value is built on the target's, which stays that of random weights",
        remedy,
        weight=6.6,
        hint=state(case) == "good" and case.gain() is not None,
        tags=("train/q_mean", "train/q_loss"),
        source="Mnih et al. 2015; Lillicrap et al. 2016, section 3",
    )


@rule(live=True)
def target_fast(case: Case) -> Finding | None:
    """A target network that is the network itself (Mnih et al. 2015)."""
    tau, usual = case.setting("tau"), case.usual.get("tau")
    every, usual_every = case.setting("target_every"), case.usual.get("target_every")
    remedy, evidence = {}, []
    if every is None and tau and usual and tau / usual >= 20:
        evidence.append(f"tau {tau:g} (usual {usual:g})")
        remedy["tau"] = usual
    if every and usual_every and usual_every / every >= 20 and (tau or 1.0) > 0.5:
        evidence.append(f"target_every {every} (usual {usual_every})")
        remedy["target_every"] = usual_every
    q = case.curve("train/q_mean")
    wild = (
        q is not None
        and case.play.get("greedy", {}).get("achieved") is not None
        and abs(q.late() - case.play["greedy"]["achieved"])
        > T["q_over"] * max(abs(case.play["greedy"]["achieved"]), 1.0)
    )
    if not evidence or (state(case) == "good" and not wild):
        return None
    if wild:
        evidence.append(f"train/q_mean {q.late():.3g}, achieved {case.play['greedy']['achieved']:.3g}")
    return Finding(
        "target_fast",
        "the target network follows at once",
        (*evidence, scored(case)),
        "values chase themselves, and errors feed on each other",
        remedy,
        weight=5.8,
        tags=("train/q_mean",),
        source="Mnih et al. 2015, methods",
    )
