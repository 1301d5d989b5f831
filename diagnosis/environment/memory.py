"""Is what an observation shows enough? Where the one before tells more of the next one, velocities are missing; where
an earlier one tells the reward, something has to be remembered."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from agent_gym.diagnosis.environment.episodes import Episode

ROWS = 1500
ENTRIES = 12
FEWEST = 200
LAGS = (1, 2, 3, 4, 6, 8)  # steps ago that are looked at, beside an episode's first observation


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


def rewards_recall(episodes: list[Episode]) -> dict[str, float] | None:
    """How far back the observation lies that tells most of the rewards ("lag", 0: the episode's first), and the share
    of the rewards that remains unexplained by one observation and its action ("one"), and with that earlier one too
    ("two"). None where rewards never differ or there is too little to tell.

    Trees predict r[t] from (o[t], a[t]) and from (o[t], a[t], o[t - lag]); judged on the other half, and for the first
    observation, which is as good as the episode's name, on other episodes.
    """
    found: dict[str, float] | None = None
    for lag in (*LAGS, 0):
        rows = [_recalled(episode, lag) for episode in episodes if len(episode) > max(lag, 1)]
        if not rows:
            continue
        now, earlier, reward = (np.concatenate(part)[:ROWS] for part in zip(*rows, strict=True))
        of = np.concatenate([np.full(len(row[0]), number) for number, row in enumerate(rows)])[:ROWS]
        if len(reward) < FEWEST or not np.isfinite(reward).all() or reward.std() < 1e-9:
            continue
        order = np.random.default_rng(0).permutation(len(reward))
        learn, judge = order[: len(order) // 2], order[len(order) // 2 :]
        if not lag:
            learn, judge = np.flatnonzero(of % 2 == 0), np.flatnonzero(of % 2)
            if not len(judge):  # one episode alone
                continue
        left = []
        for x in (now, np.hstack((now, earlier))):
            trees = ExtraTreesRegressor(30, min_samples_leaf=2, max_features=1.0, random_state=0, n_jobs=1)
            error = reward[judge] - trees.fit(x[learn], reward[learn]).predict(x[judge])
            left.append(min(float(np.square(error).mean() / max(reward[judge].var(), 1e-12)), 1.0))
        if found is None or left[0] - left[1] > found["one"] - found["two"]:
            found = {"lag": lag, "one": left[0], "two": left[1]}
    return found


def _recalled(episode: Episode, lag: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(o[t], a[t]), the observation `lag` steps before (0: the first of all), and r[t], from where there is one."""
    obs, begin = np.stack(episode.obs[:-1]), max(lag, 1)
    now = np.hstack((obs, np.stack(episode.action)))[begin:]
    earlier = obs[: len(obs) - lag] if lag else np.repeat(obs[:1], len(now), 0)
    return now, earlier, np.asarray(episode.reward, np.float64)[begin:]
