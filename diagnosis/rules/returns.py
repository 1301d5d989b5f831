"""What the curve of returns says by itself, and one run beside others."""

from __future__ import annotations

import math

import numpy as np

from agent_gym.diagnosis.case import Case, Curve
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import early, rollout_ratio, rule, scored, state
from agent_gym.diagnosis.thresholds import T

HENDERSON = "Henderson et al. 2018"
WINDOW = 100  # episodes behind a value of rollout/episode_return


@rule()
def run_short(case: Case) -> Finding | None:
    """Fewer than ten episodes, or a small part of what the task is known to take."""
    total, usual = case.setting("total_steps"), case.usual.get("total_steps")
    length = case.curve("rollout/episode_length", points=1)
    episodes = case.step / max(length.values.mean(), 1.0) if length else 0.0
    few = length is not None and episodes < T["few_episodes"]
    preset = usual and usual != 100_000 and total and usual / total >= 2 * T["setting_far"]
    rounds = (case.setting("num_steps") or 0) * (case.setting("num_envs") or 1)
    updates = case.step / rounds if rounds else None
    tiny = updates is not None and updates <= 3
    if not (few or preset or tiny) or state(case) == "good" or (rollout_ratio(case) or 1.0) > 1.0:
        return None
    evidence = [f"{case.step:,} steps, about {episodes:.0f} episodes (healthy runs: at least {T['few_episodes']:.0f})"]
    if preset:
        evidence.append(f"the preset takes {usual:,} steps")
    if tiny:
        evidence.append(f"{updates:.1f} rollouts of {rounds:,} steps")
    return Finding(
        "run_short",
        "the run is too short to tell anything",
        tuple(evidence),
        "the first episodes of any agent are those of a random one",
        {"total_steps": max(int(usual or 0), 10 * case.step)},
        weight=7.1 if few or tiny else 5.5,
        hint=not few and not tiny,
        tags=("rollout/episode_return",),
        source=HENDERSON,
    )


@rule()
def still_rising(case: Case) -> Finding | None:
    """The return still rises at the end."""
    returns = case.returns
    if returns is None or len(returns.values) < 10:
        return None
    smooth = returns.smooth()
    cut = int(0.8 * len(smooth))
    gain, late = smooth[-1] - smooth[0], smooth[-1] - smooth[cut]
    if gain <= 0 or late < T["rising"] * gain or smooth[-1] < smooth.max() - 0.05 * gain:
        return None
    if case.gain() is not None and case.gain() > 0.95:
        return None
    return Finding(
        "still_rising",
        "the return is still rising: train longer",
        (
            f"rollout/episode_return rose from {smooth[0]:.4g} to {smooth[-1]:.4g}, {late / gain:.0%} of it in the "
            "last fifth",
        ),
        "the end of the run is not the end of what it can learn",
        {"total_steps": 2 * int(case.setting("total_steps") or case.step)},
        weight=1.0,
        hint=True,
        tags=("rollout/episode_return",),
        source=HENDERSON,
    )


def wander(case: Case, returns: Curve) -> float:
    """The standard deviation of the curve's values where nothing changes.

    They are means over the latest `WINDOW` episodes. Neighbours share most of those, so they differ by less than either
    is off: by the root of two over the number of points that a window spans, for independent episodes.
    """
    step = float(np.abs(np.diff(returns.values)).mean()) * (math.pi / 2) ** 0.5  # of normal numbers
    length = case.curve("rollout/episode_length", points=1)
    points = float(length.values.mean()) / max(float(np.diff(returns.steps).mean()), 1.0) if length else 0.0
    return step * max(WINDOW * points / 2.0, 0.5) ** 0.5


@rule(live=True)
def peaked_and_fell(case: Case) -> Finding | None:
    """The return was higher and fell for good (Dohare et al. 2024: loss of plasticity; Henderson et al. 2018)."""
    curve = case.curve("eval/episode_return", points=6) or case.curve("rollout/episode_return", points=12)
    returns = case.returns
    if curve is None or returns is None or len(returns.values) < 12 or case.done < 0.4:
        return None
    smooth = returns.smooth()
    start, top, end = smooth[0], smooth.max(), smooth[-1]
    best = int(smooth.argmax())
    if top <= start or best > 0.8 * len(smooth) or top - end < T["fell"] * (top - start):
        return None
    played = case.play.get("greedy", {}).get("return_mean")
    if played is not None and top - played < T["fell"] * (top - start):  # the curve is a mean over past episodes
        return None
    spread = case.env.get("random_std") or 0.0
    if top - end < max(4.0 * wander(case, returns), 1.0 * spread) or state(case) == "good" and case.gain() is not None:
        return None
    remedy = {"learning_rate": float(case.config["learning_rate"]) / 3} if "learning_rate" in case.config else {}
    if case.setting("schedule") == "constant":
        remedy["schedule"] = "linear"
    return Finding(
        "peaked_and_fell",
        "the return had been higher and fell",
        (
            f"rollout/episode_return {top:.4g} at step {int(returns.steps[best]):,}, {end:.4g} at the end (start "
            f"{start:.4g}; healthy runs keep at least {1 - T['fell']:.0%} of what they gained)",
        ),
        "steps are too large for what is left to learn; best.pt holds the weights of the best evaluation",
        remedy,
        weight=2.6,
        hint=state(case) == "good",
        tags=("rollout/episode_return", "eval/episode_return"),
        source=HENDERSON,
    )


@rule()
def flat_from_the_start(case: Case) -> Finding | None:
    """The return never left that of random actions."""
    returns = case.returns
    if returns is None or len(returns.values) < 8 or case.done < 0.5 or state(case) != "poor":
        return None
    lift = case.lift()
    if lift is None or lift > 0.5:
        return None
    return Finding(
        "flat_from_the_start",
        "nothing was learned",
        (f"rollout/episode_return {returns.early():.4g} at first, {returns.late():.4g} at the end", scored(case)),
        "either nothing tells good actions from bad ones, or the settings do not let it learn",
        {"total_steps": 4 * int(case.setting("total_steps") or case.step)},
        "start with the first of the other findings; with none, simplify the task until it is learned",
        weight=1.2,
        hint=early(case),
        tags=("rollout/episode_return",),
        source=HENDERSON,
    )


@rule()
def evaluation_below_training(case: Case) -> Finding | None:
    """Without chance the policy scores far less than with it (Sutton and Barto 2018, example 13.1)."""
    greedy, sampled = case.play.get("greedy", {}), case.play.get("sampled", {})
    a, b = greedy.get("return_mean"), sampled.get("return_mean")
    if a is None or b is None or min(greedy["episodes"], sampled["episodes"]) < 5:
        return None
    spread = np.hypot(greedy["return_std"], sampled["return_std"]) / np.sqrt(
        min(greedy["episodes"], sampled["episodes"])
    )
    floor = case.random_return
    if b - a < max(4.0 * spread, 0.3 * abs(b), 1e-9) or (
        floor is not None and b < floor + 2 * (case.env.get("random_std") or 0)
    ):
        return None
    return Finding(
        "evaluation_below_training",
        "without chance it scores far less than with it",
        (f"return {a:.4g} with the likeliest action, {b:.4g} with drawn ones (healthy runs: alike)",),
        "where situations look alike, always the same action can lead in circles",
        {},
        "score it with evaluate.py --stochastic; memory (--encoder lstm) or more training may make it decide",
        weight=2.8,
        hint=True,
        tags=("eval/episode_return", "rollout/episode_return"),
        source="Sutton and Barto 2018, example 13.1",
    )


@rule()
def evaluation_elsewhere(case: Case) -> Finding | None:
    """Scores far from the returns of training, with chance and without it: it is not the same environment, or not with
    the same statistics (Engstrom et al. 2020; Machado et al. 2018, section 3)."""
    returns = case.curve("rollout/episode_return", points=12)
    sampled, greedy = (case.play.get(name, {}) for name in ("sampled", "greedy"))
    scores = case.curve("eval/episode_return")
    if returns is None or scores is None or "return_mean" not in sampled or "return_mean" not in greedy:
        return None
    floor = case.random_return if case.random_return is not None else returns.early()
    last = returns.part(0.9)
    training = float(np.median(last))
    played = max(sampled["return_mean"], greedy["return_mean"], float(scores.part(0.5).max()))
    spread = max(sampled["return_std"], float(last.std()), 0.5 * (case.env.get("random_std") or 0.0))
    gap, gained = training - played, training - floor
    if gained <= 0 or gap < 0.5 * gained or gap < 3.0 * spread:
        return None
    changed = {n: case.usual[n] for n in ("eval_kwargs", "eval_env") if case.setting(n) != case.usual.get(n)}
    return Finding(
        "evaluation_elsewhere",
        "scores are far below the returns of training",
        (
            f"rollout/episode_return {training:.4g} at the end; scores in the second half of the run, and now with "
            f"chance and without it, {played:.4g} at best (healthy runs: alike)",
            *(f"{name} {case.setting(name)}" for name in changed),
        ),
        "what is scored is then not what was trained in: other arguments, another limit, a reward that a wrapper makes",
        changed,
        "see that wrappers which change rewards or observations, and arguments, are the same for both",
        weight=3.8,
        tags=("eval/episode_return", "rollout/episode_return"),
        source="Machado et al. 2018, section 3",
    )


@rule()
def unlucky_seed(case: Case) -> Finding | None:
    """One seed among several that went wrong (Henderson et al. 2018, figure 5; Agarwal et al. 2021)."""
    if len(case.siblings) < 2 or case.score is None:
        return None
    others = np.array(case.siblings)
    middle, spread = float(np.median(others)), float(np.ptp(others))
    floor = case.random_return if case.random_return is not None else float(others.min())
    if middle - case.score < max(0.3 * abs(middle - floor), 2.0 * spread, 1e-9):
        return None
    return Finding(
        "unlucky_seed",
        "this seed went wrong, others did not",
        (f"score {case.score:.4g}; the same settings with {len(others)} other seeds: median {middle:.4g}",),
        "chance decides between runs of the same settings: report several",
        {"seed": int(case.setting("seed") or 0) + 1},
        weight=3.0,
        hint=True,
        source="Henderson et al. 2018, figure 5",
    )
