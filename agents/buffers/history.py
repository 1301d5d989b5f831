"""What a checkpoint needs of a replay buffer: only what is new since the one before."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from agent_gym.agents.buffers.replay import Replay
from agent_gym.ground.tree import tree_leaves
from agent_gym.nets.ranks import RANKS


class ReplayHistory:
    """Cuts a replay buffer's streams into segments and puts them together again.

    A mark is a position in the streams, {"count": [B], "added": int}; a segment is what was written behind one.
    """

    def __init__(self, replay: Replay) -> None:
        self.replay = replay

    def mark(self) -> dict:
        """The position of everything written so far."""
        return {"count": self.replay.count.clone(), "added": self.replay.added}

    def since(self, mark: dict | None) -> dict:
        """What was written after `mark` and is still held, as tensors; None: everything held."""
        replay = self.replay
        start, added = (torch.zeros_like(replay.count), 0) if mark is None else (mark["count"], mark["added"])
        # The newest entry of the mark had no action yet, so it belongs to what follows.
        start = torch.maximum(start.to(replay.count), replay.count - replay.length + 1).clamp(min=0)
        added = max(added, replay.added - replay.rows)
        return {
            "start": start,
            "count": replay.count.clone(),
            "added": [added, replay.added],
            "entries": [store[self._entries(start, replay.count)] for store in self._stores()],
            "place": replay.place[self._slots(added, replay.added)],
            "masks": None if replay.masks is None else replay.masks[self._entries(start, replay.count)],
        }

    def extend(self, segment: dict) -> None:
        """Write a segment back; segments come in the order in which they were made."""
        replay = self.replay
        start, count = (segment[name].to(replay.count) for name in ("start", "count"))
        index = self._entries(start, count)
        for store, rows in zip(self._stores(), segment["entries"], strict=True):
            store[index] = rows.to(store)
        if segment["masks"] is not None:
            replay.keep_masks(segment["masks"].shape[1])
            replay.masks[index] = segment["masks"].to(replay.masks)
        replay.place[self._slots(*segment["added"])] = segment["place"].to(replay.place)
        replay.put_count(count.clone())
        replay.added = segment["added"][1]

    def alive(self, mark: dict) -> bool:
        """Whether anything written before `mark` is still held."""
        oldest = self.replay.count - self.replay.length
        return bool((mark["count"].to(oldest) > oldest).any()) or mark["added"] > self.replay.added - self.replay.rows

    def _stores(self) -> list[Tensor]:
        return [*self.replay.fields.values(), *tree_leaves(self.replay.obs)]

    def _entries(self, start: Tensor, count: Tensor) -> Tensor:
        """Indices of the entries from places `start` to `count` [B], one environment after the other."""
        replay = self.replay
        spans = [
            base + torch.arange(first, last + 1, device=replay.device) % replay.length
            for base, first, last in zip(replay.base, start.tolist(), count.tolist(), strict=True)
        ]
        return torch.cat(spans)

    def _slots(self, first: int, last: int) -> Tensor:
        """Indices of the slots of rows `first` to before `last`."""
        rows = torch.arange(first, last, device=self.replay.device) % self.replay.rows
        columns = torch.arange(self.replay.num_envs, device=self.replay.device)
        return (rows.unsqueeze(1) * self.replay.num_envs + columns).flatten()


class RankedHistory:
    """The histories of all ranks as one, for the files that the first rank writes.

    Every rank makes the same calls in the same order. Marks and segments are {rank: the rank's own}; beside the first
    rank they hold the own one alone.
    """

    def __init__(self, own: ReplayHistory) -> None:
        self.own = own

    def mark(self) -> dict:
        return self._together(self.own.mark())

    def since(self, mark: dict | None) -> dict:
        return self._together(self.own.since(None if mark is None else mark[RANKS.rank]))

    def extend(self, segment: dict) -> None:
        self.own.extend(segment[RANKS.rank])

    def alive(self, mark: dict) -> bool:
        return bool(RANKS.largest(self.own.alive(mark[RANKS.rank]))[0])

    def _together(self, part: Any) -> dict:
        return {RANKS.rank: part} | dict(enumerate(RANKS.of_others(part), 1))
