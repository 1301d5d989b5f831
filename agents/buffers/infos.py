"""What environments tell in `info`, over many steps: means, and how often the task was solved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

WINDOW = 100  # latest episodes of which the success rate is
EVERY = 1000  # environment steps between two readings, which wait for a GPU


class InfoMeans:
    """Sums of scalars since the last reading, and the latest successes; tensors stay where they are until then."""

    def __init__(self, means: bool) -> None:
        """means: whether means are wanted, beside successes."""
        self.means = means
        self.names: tuple[str, ...] = ()
        self.sums: Tensor | None = None  # [2, k]: of values and of how many there were
        self.ended: list[tuple[Tensor, Tensor]] = []  # (success, whether an episode ended) [B] of steps not looked at
        self.successes = torch.zeros(0)
        self.latest: dict[str, float] = {}
        self.read_at = 0

    def add(self, info: Mapping[str, Tensor], ends: Tensor) -> None:
        """Take in a step: scalars [B] each, see envs.vector.Told, and which episodes it ended."""
        if (success := info.success) is not None and (ends.device.type != "cpu" or ends.any()):
            self.ended.append((success, ends))
        if not self.means:
            return
        there = info.table.isfinite()
        sums = torch.stack((torch.where(there, info.table, 0.0).sum(0), there.sum(0).to(info.table.dtype))).double()
        if self.sums is None:
            self.names, self.sums = info.names, sums
        elif info.names == self.names:
            self.sums = self.sums + sums
        else:
            self._extend(info.names, sums)

    def _extend(self, names: tuple[str, ...], sums: Tensor) -> None:
        known = {name: self.sums[:, i] for i, name in enumerate(self.names)}
        for i, name in enumerate(names):
            known[name] = known.get(name, 0.0) + sums[:, i]
        self.names, self.sums = tuple(known), torch.stack(list(known.values()), dim=1)

    def flush(self) -> None:
        """Take the successes out of the steps that were not looked at."""
        if self.ended:
            found = [success[ends].cpu().float() for success, ends in self.ended]
            whole = torch.cat((self.successes, *found))
            self.successes, self.ended = whole[whole.isfinite()][-WINDOW:], []

    def read(self, steps: int) -> dict[str, float]:
        """The scalars under their tags, read anew once in EVERY steps."""
        if steps - self.read_at < EVERY and self.latest:
            return self.latest
        if self.sums is None and not self.ended and not len(self.successes):
            return self.latest
        self.flush()
        self.read_at, found = steps, dict(self.latest)
        if len(self.successes):
            found["rollout/success_rate"] = float(self.successes.mean())
        if self.sums is not None:
            total, count = self.sums.tolist()
            for name, value, times in zip(self.names, total, count, strict=True):
                if times:
                    found[f"rollout/info/{name}"] = value / times
            self.sums = None
        self.latest = found
        return found

    def state_dict(self) -> dict[str, Any]:
        self.flush()
        sums = torch.zeros(2, 0, dtype=torch.float64) if self.sums is None else self.sums
        names = list(self.names) if self.sums is not None else []
        own = {"names": names, "sums": sums, "successes": self.successes}
        return own | {"latest": dict(self.latest), "read_at": self.read_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.names = tuple(str(name) for name in state["names"])
        self.sums = state["sums"].double() if self.names else None
        self.successes, self.ended = state["successes"].cpu(), []
        self.latest = {str(name): float(value) for name, value in state["latest"].items()}
        self.read_at = int(state["read_at"])
