"""Is what an observation shows enough to tell the next one? If the one before helps much, velocities are missing."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from agent_gym.diagnosis.environment.episodes import Episode

ROWS = 1500
ENTRIES = 12
FEWEST = 200


def history_helps(episodes: list[Episode]) -> dict[str, float] | None:
    """Of the entry that it helps most: its number, and the share of its changes that remains unexplained
    by one observation and its action ("one"), and by two ("two"). Of the entry that is told best, the share of the next
    value that remains unexplained ("all_two"); the largest correlation of an entry with its own next value
    ("persistence"). None where there is too little to tell.

    Trees predict o[t+1] - o[t] from (o[t], a[t]) and from (o[t], o[t] - o[t-1], a[t]); judged on the other half.
    """
    now, before, after, action = [], [], [], []
    for episode in episodes:
        if len(episode) < 2:
            continue
        obs = np.stack(episode.obs)
        before.append(obs[:-2])
        now.append(obs[1:-1])
        after.append(obs[2:])
        action.append(np.stack(episode.action)[1:])
    if not now or sum(map(len, now)) < FEWEST:
        return None
    o, p, q, a = (np.concatenate(part)[:ROWS] for part in (now, before, after, action))
    change = q - o
    size = change.std(0)
    spread = o.std(0)
    moving = np.flatnonzero((size > 1e-4 * np.maximum(spread, 1e-12)) & np.isfinite(size) & (size > 0))
    if not len(moving):
        return None
    moving = moving[:ENTRIES]
    y = change[:, moving] / size[moving]
    order = np.random.default_rng(0).permutation(len(o))
    half = len(o) // 2
    learn, judge = order[:half], order[half:]
    left = {}
    for name, x in (("one", np.hstack((o, a))), ("two", np.hstack((o, o - p, a)))):
        trees = ExtraTreesRegressor(60, min_samples_leaf=3, random_state=0, n_jobs=1).fit(x[learn], y[learn].squeeze())
        error = y[judge] - trees.predict(x[judge]).reshape(len(judge), -1)
        left[name] = np.minimum(np.square(error).mean(0) / np.maximum(y[judge].var(0), 1e-12), 2.0)
    gain = left["one"] - left["two"]
    best = int(gain.argmax())
    centred = o[:, moving] - o[:, moving].mean(0), q[:, moving] - q[:, moving].mean(0)
    follows = (centred[0] * centred[1]).mean(0) / np.maximum(centred[0].std(0) * centred[1].std(0), 1e-12)
    value = left["two"] * y[judge].var(0) * np.square(size[moving]) / np.maximum(q[:, moving].var(0), 1e-12)
    return {
        "entry": int(moving[best]),
        "one": float(left["one"][best]),
        "two": float(left["two"][best]),
        "all_two": float(np.minimum(value, 1.0).min()),
        "persistence": float(np.abs(follows).max()),
    }
