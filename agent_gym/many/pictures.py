"""Pictures of groups of runs: intervals, performance profiles, sample efficiency, every seed's curve."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from agent_gym.many.comparison import Comparison
from agent_gym.many.reading import Group, curves_of
from agent_gym.many.statistics import along, interval, iqm, profile, profile_band
from agent_gym.tasks.plots import pixels

A, B = "tab:blue", "tab:orange"
RESAMPLES = 500  # for bands, which are seen and not read


def pictures(found: Comparison) -> dict[str, np.ndarray]:
    """By title, uint8 [H, W, 3]; no sample efficiency where runs have no evaluations on the way."""
    shown = {"interquartile means": intervals(found), "performance profiles": profiles(found)}
    for env in found.shared:
        if (picture := efficiency(found, env)) is not None:
            shown[f"sample efficiency on {env}"] = picture
    return shown


def sides(found: Comparison) -> tuple[tuple[str, str, Group], ...]:
    return (("A", A, found.a), ("B", B, found.b))


def intervals(found: Comparison) -> np.ndarray:
    """The IQM of both groups with 95 % intervals."""
    figure = Figure(figsize=(7, 1.8), layout="constrained")
    axes = figure.subplots()
    for place, (name, colour, group) in enumerate(sides(found)):
        scores = found.scaled(group)
        low, high = interval(scores)
        axes.barh(-place, max(high - low, 1e-9), left=low, height=0.5, color=colour, alpha=0.4)
        axes.plot([iqm(scores)] * 2, [-place - 0.25, -place + 0.25], color=colour, linewidth=3, label=name)
    axes.set_yticks([0, -1], [f"{name} {group.folder.name}" for name, _, group in sides(found)])
    axes.set_xlabel(score_label(found))
    return pixels(figure)


def profiles(found: Comparison) -> np.ndarray:
    """The share of runs above each score."""
    scores = {name: found.scaled(group) for name, _, group in sides(found)}
    every = np.concatenate([values for part in scores.values() for values in part.values()])
    margin = 0.02 * (np.ptp(every) or 1.0)
    thresholds = np.linspace(every.min() - margin, every.max() + margin, 101)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, colour, group in sides(found):
        low, high = profile_band(scores[name], thresholds, resamples=RESAMPLES)
        axes.step(thresholds, profile(scores[name], thresholds), color=colour, label=f"{name} {group.folder.name}")
        axes.fill_between(thresholds, low, high, step="pre", color=colour, alpha=0.2)
    axes.set_xlabel(score_label(found))
    axes.set_ylabel("share of runs above")
    axes.legend()
    return pixels(figure)


def efficiency(found: Comparison, env: str) -> np.ndarray | None:
    """The IQM of the evaluations on the way."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, colour, group in sides(found):
        if (curves := curves_of(group.paths[env])) is None:
            return None
        steps, values = curves
        middle, low, high = along({env: values}, resamples=RESAMPLES)
        axes.plot(steps, middle, color=colour, label=f"{name} {group.folder.name}")
        axes.fill_between(steps, low, high, color=colour, alpha=0.2)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return in evaluation, IQM")
    axes.legend()
    return pixels(figure)


def seed_curves(steps: np.ndarray, values: np.ndarray, title: str) -> np.ndarray:
    """Curves [N, K] of all seeds, their median and the quartiles around it."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, values.T, color="grey", linewidth=0.6, alpha=0.6)
    low, middle, high = np.percentile(values, (25, 50, 75), axis=0)
    axes.fill_between(steps, low, high, color=A, alpha=0.25, label="quartiles")
    axes.plot(steps, middle, color=A, linewidth=2, label=f"median of {len(values)} seeds")
    axes.set_title(title)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return in evaluation")
    axes.legend()
    return pixels(figure)


def score_label(found: Comparison) -> str:
    return f"score on {found.shared[0]}" if len(found.shared) == 1 else "score, 0 to 1 in each environment"
