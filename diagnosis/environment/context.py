"""Does every episode follow the same rules? Where one explains itself and all together do not, something that differs
between them, such as a goal or what the actions mean, is not seen."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from agent_gym.diagnosis.environment.episodes import Episode

FEWEST = 40  # steps of an episode that is looked at
EPISODES = 4  # of that length, at least
MOST = 12  # episodes that are looked at
STEPS = 200  # of each
ENTRIES = 6  # that change, of an observation
ENDS = 12  # episodes that the task ended, at least
ROWS = 1500  # steps that ended none, beside them


def episodes_differ(episodes: list[Episode]) -> dict[str, dict[str, float]] | None:
    """For "moves" (how observations change) and "pays" (rewards): the share of what happens within episodes that stays
    unexplained by observation and action, with trees grown on half the steps of all episodes ("all") and on half the
    steps of the same episode ("own"). Trees that know all episodes and still say less miss something that differs
    between them. None where there is too little to tell.
    """
    long = [episode for episode in episodes if len(episode) >= FEWEST][:MOST]
    if len(long) < EPISODES:
        return None
    inputs, changes, rewards = [], [], []
    for episode in long:
        obs = np.stack(episode.obs)[: STEPS + 1]
        inputs.append(np.hstack((obs[:-1], np.stack(episode.action)[:STEPS])))
        changes.append(np.diff(obs, axis=0))
        rewards.append(np.asarray(episode.reward, np.float64)[:STEPS, None])
    found = {}
    for name, targets in (("moves", changes), ("pays", rewards)):
        within = [target - target.mean(0) for target in targets]
        size = np.sqrt(np.square(np.concatenate(within)).mean(0))
        moving = np.flatnonzero(np.isfinite(size) & (size > 1e-9))[:ENTRIES]
        if len(moving):
            found[name] = _unexplained(inputs, [target[:, moving] / size[moving] for target in within])
    return found or None


def ends_told(episodes: list[Episode]) -> float | None:
    """How well the observation in which an episode ends, its action and its step tell that it ends there (the area
    under the ROC curve, 0.5: not at all), judged on other episodes. None where too few end by the task."""
    rows, ended, group = [], [], []
    for number, episode in enumerate(episodes):
        steps = np.arange(1, len(episode) + 1)
        rows.append(np.column_stack((np.stack(episode.obs)[1:], np.stack(episode.action), steps)))
        ended.append((steps == len(episode)) & episode.terminated)
        group.append(np.full(len(episode), number))
    x, y, of = np.nan_to_num(np.concatenate(rows)), np.concatenate(ended), np.concatenate(group)
    if y.sum() < ENDS or (~y).sum() < ENDS:
        return None
    others = np.random.default_rng(0).permutation(np.flatnonzero(~y))[:ROWS]
    kept = np.sort(np.concatenate((np.flatnonzero(y), others)))
    trees = ExtraTreesClassifier(60, min_samples_leaf=2, class_weight="balanced", random_state=0, n_jobs=1)
    said = cross_val_predict(trees, x[kept], y[kept], groups=of[kept], cv=GroupKFold(4), method="predict_proba")
    return float(roc_auc_score(y[kept], said[:, 1]))


def _unexplained(inputs: list[np.ndarray], targets: list[np.ndarray]) -> dict[str, float]:
    """Of the target that gains most by trees of its own: what is left with all and with its own."""
    rng = np.random.default_rng(0)
    halves = [np.array_split(rng.permutation(len(x)), 2) for x in inputs]
    all_x = np.concatenate([x[learn] for x, (learn, _) in zip(inputs, halves, strict=True)])
    all_y = np.concatenate([y[learn] for y, (learn, _) in zip(targets, halves, strict=True)])
    every = _trees(all_x, all_y)
    left = {"all": [], "own": []}
    for x, y, (learn, judge) in zip(inputs, targets, halves, strict=True):
        for name, trees in (("all", every), ("own", _trees(x[learn], y[learn]))):
            left[name].append(np.square(y[judge] - trees.predict(x[judge]).reshape(len(judge), -1)))
    size = np.square(np.concatenate([y[judge] for y, (_, judge) in zip(targets, halves, strict=True)])).mean(0)
    shares = {name: np.concatenate(errors).mean(0) / np.maximum(size, 1e-12) for name, errors in left.items()}
    best = int((shares["all"] - shares["own"]).argmax())
    return {name: float(min(share[best], 1.0)) for name, share in shares.items()}


def _trees(x: np.ndarray, y: np.ndarray) -> ExtraTreesRegressor:
    trees = ExtraTreesRegressor(30, min_samples_leaf=2, max_features=1.0, random_state=0, n_jobs=1)
    return trees.fit(x, y.squeeze(1) if y.shape[1] == 1 else y)
