"""Numbers that describe recorded episodes: observations, rewards, ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from agent_gym.diagnosis.environment.episodes import Episode

LISTED = 5  # entries that are named
ROWS = 300  # observations among which different ones are counted
CELLS = 4  # to a deviation
SLIGHTLY = 0.05  # of its range, by which an observation may lie beyond its space and be no other than it
FAR = 0.75  # of all that an entry's values span
MANY = 64  # entries, of which no two observations are alike


def observations(episodes: list[Episode], space: spaces.Space) -> dict[str, Any]:
    """Sizes, constants, outliers and bounds of the entries of an observation."""
    x = np.concatenate([np.stack(e.obs) for e in episodes])
    finite = np.isfinite(x)
    found: dict[str, Any] = {"entries": x.shape[1], "nonfinite": float(1.0 - finite.all(1).mean())}
    x = np.where(finite, x, 0.0)
    std, size = x.std(0), np.abs(x).max(0)
    moving = std > 1e-9 * np.maximum(size, 1.0)
    found["constant"] = _some(~moving)
    found["constant_share"] = float((~moving).mean())
    found["unchanged"] = float(np.mean(np.concatenate([[np.array_equal(*o) for o in pairs(e)] for e in episodes])))
    found["largest"] = float(size.max())
    if x.shape[1] <= MANY:
        found["mean"], found["std"] = x.mean(0).tolist(), std.tolist()
        found["different"] = different(x, x.mean(0), std)
    if moving.any():
        rms = np.sqrt(np.square(x).mean(0))
        found["scale_ratio"] = float(std[moving].max() / std[moving].min())
        found["widest"] = int(np.where(moving, rms, 0.0).argmax())
        found["widest_rms"] = float(rms[moving].max())
    # Entries that jump: far outside what nine tenths of the observations span, or, where those are all alike (such as
    # a force that is mostly 0), of the others.
    low, high = np.quantile(x, (0.05, 0.95), axis=0)
    for k in np.flatnonzero((high <= low) & moving):
        low[k], high[k] = np.quantile(x[x[:, k] != low[k], k], (0.05, 0.95))
    span = np.maximum(high - low, 1e-9 * np.maximum(size, 1.0))
    beyond = np.maximum(x.max(0) - high, low - x.min(0)) / np.maximum(span, 1e-12)
    image = isinstance(space, spaces.Box) and space.dtype == np.uint8  # everybody knows how large a byte is
    jump = np.where((span > 0) & (size > 100.0), 0.0 if image else beyond, 0.0)
    found["jump"], found["jump_entry"] = float(jump.max()), int(jump.argmax())
    found["choices"] = isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary)
    found["wraps"] = [] if image and len(space.shape) == 3 else _some(wrapping(episodes))
    if isinstance(space, spaces.Box):
        with np.errstate(over="ignore", invalid="ignore"):
            found["unbounded"] = float((~np.isfinite(space.low) | ~np.isfinite(space.high)).mean())
        found["image"] = len(space.shape) == 3
    return found


def wrapping(episodes: list[Episode]) -> np.ndarray:
    """Which entries [n] go in small steps, but for a few from one end of their values to the other."""
    each = [np.nan_to_num(np.stack(e.obs), posinf=0.0, neginf=0.0) for e in episodes]
    x, step = np.concatenate(each), np.concatenate([np.abs(np.diff(obs, axis=0)) for obs in each])
    span = x.max(0) - x.min(0)
    far = step > FAR * span
    many = np.array([len(np.unique(column)) > CELLS**2 for column in x.T])
    small = np.quantile(step, 0.5, axis=0) < (1.0 - FAR) / 2 * span
    between = ((step > (1.0 - FAR) * span) & ~far).sum(0) == 0
    return (span > 0) & many & (far.sum(0) >= 3) & small & between


def rewards(episodes: list[Episode]) -> dict[str, Any]:
    """Size and sparsity of the rewards."""
    r = np.concatenate([np.asarray(e.reward) for e in episodes])
    found: dict[str, Any] = {"nonfinite": float(1.0 - np.isfinite(r).mean())}
    r = r[np.isfinite(r)]
    if not len(r):
        return found
    values, counts = np.unique(r, return_counts=True)
    usual = values[counts.argmax()]
    found |= {
        "mean": float(r.mean()),
        "std": float(r.std()),
        "min": float(r.min()),
        "max": float(r.max()),
        "usual": float(usual),
        "other_share": float(1.0 - counts.max() / len(r)),
        "size": float(np.sqrt(np.square(r).mean())),
    }
    with_other = [bool(np.any(np.asarray(e.reward) != usual)) for e in episodes]
    found["episodes_with_other"] = float(np.mean(with_other))
    # What comes with the task's own end is meant to differ.
    within = np.concatenate([np.asarray(e.reward[:-1] if e.terminated else e.reward) for e in episodes])
    within = np.abs(within[np.isfinite(within)])
    typical = np.quantile(within, 0.95) if len(within) else 0.0
    found["outlier"] = float(within.max() / typical) if typical > 0 else 0.0
    return found


def ends(episodes: list[Episode], limit: int | None) -> dict[str, Any]:
    """Lengths, and how episodes end."""
    lengths = np.array([len(e) for e in episodes])
    found: dict[str, Any] = {
        "length_mean": float(lengths.mean()),
        "length_max": int(lengths.max()),
        "length_min": int(lengths.min()),
        "ended": float(np.mean([e.ended for e in episodes])),
        "terminated": float(np.mean([e.terminated for e in episodes])),
        "truncated": float(np.mean([e.truncated for e in episodes])),
        "limit": limit,
    }
    terminated = np.array([len(e) for e in episodes if e.terminated and not e.truncated])
    if len(terminated) >= 4:
        longest = terminated.max()
        found["terminated_at_longest"] = float((terminated == longest).mean())
        found["terminated_longest"] = int(longest)
        found["paid_at_end"] = float(np.mean([_paid(e) for e in episodes if len(e) == longest and e.terminated]))
    return found


def _paid(episode: Episode) -> bool:
    """Whether the last reward lies outside the range of all before it, as for a failure or a success."""
    *before, last = episode.reward
    return bool(before) and not min(before) <= last <= max(before)


def pairs(episode: Episode) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each observation with the next one."""
    return zip(episode.obs[:-1], episode.obs[1:], strict=True)


def different(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> float | None:
    """The share of ROWS of the rows x [N, n], evenly chosen, that differ by a cell of a quarter of `std` [n] or more;
    None where there are fewer."""
    if len(x) < ROWS:
        return None
    x = x[np.linspace(0, len(x) - 1, ROWS).astype(int)]
    cells = np.round(np.nan_to_num((x - mean) / np.where(std > 0, std, 1.0)).clip(-1e6, 1e6) * CELLS)
    return len(np.unique(cells, axis=0)) / ROWS


def _some(which: np.ndarray) -> list[int]:
    return [int(i) for i in np.flatnonzero(which)[:LISTED]]
