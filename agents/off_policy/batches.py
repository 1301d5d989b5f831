"""What an update learns from: minibatches of a replay buffer, demonstrations among them, by priority if asked for."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from agent_gym.agents.buffers.replay import Replay
from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.ground.tree import tree_map

AT_ONCE = 8  # minibatches drawn together
LARGEST_SHARE = 0.9  # of a sequence's priority: the largest error, the rest their mean (Kapturowski et al. 2019)


def batch_mean(x: Tensor, batch: dict, weighted: bool = True) -> Tensor:
    """Mean of x [..., T, n] over the steps of the batch that carried an action, by importance weight if it has any."""
    if weighted and "weight" in batch:
        x = x * batch["weight"]
    if "valid" in batch:
        return (x * batch["valid"]).sum((-2, -1)) / batch["valid"].sum()
    return x.mean((-2, -1))


def beside(batch: dict, other: dict) -> dict:
    """Two batches as one: [T, n + m, ...], memories [n + m, S]."""
    return {
        name: tree_map(lambda a, b, dim=int(name != "state"): torch.cat((a, b), dim), part, other[name])
        for name, part in batch.items()
    }


def priorities(td_error: Tensor, batch: dict, alpha: float) -> Tensor:
    """Priorities [n] of what td_error [T, n] was found for, valid steps alone."""
    error = td_error.abs()
    if "valid" in batch:
        error = error * batch["valid"]
        mean = error.sum(0) / batch["valid"].sum(0).clamp(min=1)
        error = LARGEST_SHARE * error.amax(0) + (1.0 - LARGEST_SHARE) * mean
    return (error.flatten() + 1e-6) ** alpha


class Batches:
    """Draws minibatches and the slots that they come from."""

    def __init__(self, config: OffPolicyConfig, sequences: bool, generator: Generator) -> None:
        """sequences: of a memory, whole ones are drawn and no single transitions."""
        self.config, self.sequences, self.generator = config, sequences, generator

    def one(self, replay: Replay, n: int, beta: float | Tensor) -> tuple[Tensor, dict]:
        """A batch of `n`; `beta` is the exponent of importance weights."""
        slot, weight = replay.draw(n, self.generator, beta)
        if self.sequences:
            batch = replay.sequences(slot, self.config.burn_in, self.config.sequence_length)
        else:
            batch = replay.transitions(slot, self.generator)
        return slot, batch if weight is None else batch | {"weight": weight.expand_as(batch["reward"])}

    def draw(self, replay: Replay, shown: Replay | None, count: int, beta: float) -> Iterator[tuple[Tensor, dict]]:
        """`count` batches; those of `shown`, demonstrations, have their share of each, and slots are of `replay`."""
        config = self.config
        share = 0 if shown is None else round(config.demonstration_share * config.batch_size)
        if share == config.batch_size:
            yield from self._several(shown, share, count, beta)
            return
        batches = self._several(replay, config.batch_size - share, count, beta)
        if not share:
            yield from batches
            return
        for (slot, mine), (_, others) in zip(batches, self._several(shown, share, count, beta), strict=True):
            yield slot, beside(mine, others)

    def _several(self, replay: Replay, n: int, count: int, beta: float) -> Iterator[tuple[Tensor, dict]]:
        """`count` batches of `n`; several uniform ones are drawn at once."""
        if self.sequences or self.config.prioritized:
            for _ in range(count):
                yield self.one(replay, n, beta)
            return
        for first in range(0, count, AT_ONCE):
            slot, _ = replay.draw(n * min(AT_ONCE, count - first), self.generator)
            together = replay.transitions(slot, self.generator)
            if len(slot) == n:
                yield slot, together
                continue
            parts = tree_map(lambda x: x.split(n, dim=1), together)
            for k, slots in enumerate(slot.split(n)):
                yield slots, tree_map(lambda part, k=k: part[k], parts)
