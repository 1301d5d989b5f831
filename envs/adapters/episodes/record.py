"""What brings the running episodes back after a restart of the program: their seeds, their actions, and a proof.

An environment that is deterministic, given its seed and its actions, is saved as just these. A digest of everything
that it returned tells afterwards whether it took the same way again.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

from agent_gym.envs.adapters.boundary.spaces import Arrays

CHUNK = 1024  # steps that are put together into one array, which holds them in a fraction of the memory
LONG = 5000  # steps of an episode that are told before they are played again
PRIME = np.uint64(0x100000001B3)


class Record:
    """Actions [T, B, ...] of B environments since the oldest of their running episodes began.

    Row b is to be stepped from `starts[b]` on, after a reset with `seeds[b]`; `digest[b]` is of all that it returned
    since. With `common_start` all rows begin together, and what is recorded goes on over the ends of episodes.
    """

    def __init__(self, num_envs: int, shape: tuple[int, ...], dtype: np.dtype, *, common_start: bool) -> None:
        """shape, dtype: of one environment's action."""
        self.num_envs, self.common_start = num_envs, common_start
        self.shape, self.dtype, self.size = (num_envs, *shape), dtype, int(np.prod(shape))
        self.weights: dict[int, np.ndarray] = {}
        self.begin(0, [0] * num_envs)

    def begin(self, seed: int, seeds: list[int]) -> None:
        """All episodes have begun anew, from a reset with `seed`, which gave `seeds`."""
        self.seed = seed
        self.seeds = np.array(seeds, np.int64)
        self.counts = np.zeros(self.num_envs, np.int64)  # episodes of each row since `seed`
        self.starts = np.zeros(self.num_envs, np.int64)  # position of the first action in what is kept
        self.digest = np.zeros(self.num_envs, np.uint64)
        self.ended = np.zeros(self.num_envs, np.bool_)  # has an episode ended since the start?
        self.chunks: list[np.ndarray] = []
        self.tail: list[np.ndarray] = []

    def __len__(self) -> int:
        return CHUNK * len(self.chunks) + len(self.tail)

    def next_seed(self, row: int) -> int:
        """The seed of the episode that follows the running one of a row."""
        entropy = (self.seed, 2, row, int(self.counts[row]))
        return int(np.random.SeedSequence(entropy).generate_state(1)[0]) % 2**31

    def restarted(self, rows: Any, seeds: Any) -> None:
        """These rows have begun a new episode with `seeds`, after the last action."""
        self.seeds[rows] = seeds
        self.counts[rows] += 1
        self.starts[rows] = len(self)
        self.digest[rows] = 0
        self._forget()

    def add(self, action: np.ndarray) -> None:
        """An action [B, ...] as the environments take it."""
        self.tail.append(action)
        if len(self.tail) == CHUNK:
            self.chunks.append(np.stack(self.tail))
            self.tail = []

    def saw(self, *parts: Arrays, rows: Any = slice(None)) -> None:
        """What the environments returned, arrays [B, ...]: taken into the digests of `rows`."""
        total = self.digest[rows]
        for arrays in parts:
            for array in arrays:
                total = total * PRIME + self._digest(array[rows])
        self.digest[rows] = total

    def _digest(self, array: np.ndarray) -> np.ndarray:
        """A number for each row, of its bytes."""
        flat = np.ascontiguousarray(array).reshape(len(array), -1)
        size = next(n for n in (8, 4, 2, 1) if flat.shape[1] * flat.itemsize % n == 0)
        numbers = flat.view(np.uint8).view(f"u{size}") if flat.size else flat.astype(np.uint8)
        count = numbers.shape[1]
        if count not in self.weights:
            drawn = np.random.default_rng(0).integers(2**63, size=count, dtype=np.uint64)
            self.weights[count] = 2 * drawn + np.uint64(1)
        return (numbers * self.weights[count]).sum(axis=1, dtype=np.uint64)

    def _forget(self) -> None:
        """Let go of chunks from before the oldest running episode."""
        gone = int(self.starts.min()) // CHUNK
        if gone and not self.common_start:
            del self.chunks[:gone]
            self.starts -= gone * CHUNK

    def actions(self) -> np.ndarray:
        """[T, B, ...] since the oldest start; T is 0 where nothing was recorded."""
        parts = [*self.chunks, np.stack(self.tail)] if self.tail else self.chunks
        if not parts:
            return np.zeros((0, *self.shape), self.dtype)
        return np.concatenate(parts)[int(self.starts.min()) :]

    def state_dict(self) -> dict[str, Any]:
        actions = self.actions()
        return {
            "seed": self.seed,
            "actions": torch.from_numpy(actions.reshape(len(actions), self.num_envs, self.size).copy()),
            "seeds": torch.from_numpy(self.seeds.copy()),
            "counts": torch.from_numpy(self.counts.copy()),
            "starts": torch.from_numpy(self.starts - self.starts.min()),
            "digest": torch.from_numpy(self.digest.view(np.int64).copy()),
            "ended": torch.from_numpy(self.ended.copy()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Take over all but what is to be seen again: the actions [T, B, ...] and the digests [B], which are returned.

        Raises ValueError where the state is of other environments.
        """
        names = ("seeds", "counts", "starts", "ended", "digest", "actions")
        seeds, counts, starts, ended, digest, actions = (state[name].cpu().numpy() for name in names)
        if any(part.shape != (self.num_envs,) for part in (seeds, counts, starts, ended, digest)):
            raise ValueError("the episodes under way are of another number of environments")
        if actions.shape[1:] != (self.num_envs, self.size) or actions.dtype != self.dtype:
            raise ValueError("the actions of the episodes under way are of another kind")
        if not ((starts >= 0) & (starts <= len(actions))).all() or not ((seeds >= 0) & (seeds < 2**31)).all():
            raise ValueError("the episodes under way have no possible starts or seeds")
        self.begin(int(state["seed"]), seeds.tolist())
        self.counts, self.starts, self.ended = counts.copy(), starts.copy(), ended.copy()
        return actions.reshape(-1, *self.shape), digest.view(np.uint64)


def tell_of(steps: int, env_id: str) -> None:
    """Say that something takes its time."""
    if steps >= LONG:
        print(f"{env_id}: playing the running episodes again, {steps:,} steps", file=sys.stderr, flush=True)


def tell_of_snapshot(env_id: str) -> None:
    """Say that the proof failed and what was done."""
    print(
        f"{env_id}: playing the running episodes again led elsewhere (something that no seed sets); they go on from "
        "the attributes that were saved",
        file=sys.stderr,
        flush=True,
    )
