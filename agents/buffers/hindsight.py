"""Replay of goals that were reached instead of those that were asked for (Andrychowicz et al. 2017, HER)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from agent_gym.agents.buffers.n_step import START, TERMINATED
from agent_gym.agents.buffers.replay import Replay
from agent_gym.envs.vector import Step

RUNNING = -1


class HindsightReplay(Replay):
    """In a `share` of what is drawn the goal is one that the same episode reached, and rewards are taken anew.

    strategy: "future", reached later than the step; "final", reached last; "episode", reached at any time of it.
    `rule`: see VectorEnv.relabel. Of a running episode the newest observation is its last.
    """

    def __init__(self, *args: Any, rule: Callable, strategy: str, share: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.rule, self.strategy, self.share = rule, strategy, share
        like = self.fields["flags"]
        self.first = torch.zeros(len(like), dtype=torch.int64, device=self.device)  # place of its episode's first entry
        self.final = torch.full_like(self.first, RUNNING)  # and of its last
        self.begun = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)

    def add(self, action: Tensor, step: Step, state: Tensor | None = None, rows: Tensor | None = None) -> None:
        ahead = self.base + (self.count + 1) % self.length
        self.final.index_fill_(0, ahead, RUNNING)
        self.first.index_copy_(0, ahead, self.begun)
        super().add(action, step, state, rows)

    def _mark_start(self, place: Tensor, start: Tensor, base: Tensor | None = None) -> None:
        super()._mark_start(place, start, base)
        for b in start.nonzero().flatten().tolist():
            self._close(b, int(self.begun[b]), int(place[b]))
            self.begun[b] = place[b]
            here = self.base[b] + place[b] % self.length
            self.first[here], self.final[here] = place[b], RUNNING

    def _close(self, b: int, begun: int, after: int) -> None:
        """The entries from `begun` on, to before `after`, are an episode."""
        begun = max(begun, after - self.length + 1)
        places = self.base[b] + torch.arange(begun, after, device=self.device) % self.length
        self.final[places] = after - 1

    def load_state_dict(self, state: dict) -> None:
        """Find the episodes in the streams, which have been put together before."""
        super().load_state_dict(state)
        for b, newest in enumerate(self.count.tolist()):
            places = torch.arange(max(newest - self.length + 1, 0), newest + 1, device=self.device)
            index = self.base[b] + places % self.length
            starts = places[self.fields["flags"][index] & START != 0].tolist()
            self.first[index], self.final[index] = int(places[0]) if len(places) else 0, RUNNING
            for begun, after in zip(starts, [*starts[1:], newest + 1], strict=True):
                self.first[self.base[b] + torch.arange(begun, after, device=self.device) % self.length] = begun
            edges = [int(places[0]) if len(places) else 0, *starts]
            for begun, after in zip(edges, edges[1:], strict=False):
                self._close(b, begun, after)
            self.begun[b] = starts[-1] if starts else 0

    def _look(self, base: Tensor, place: Tensor, index: Tensor, generator: torch.Generator | None):
        reward, flags, _ = super()._look(base, place, index, generator)
        drawn = torch.rand(2, len(place), generator=generator, device=self.device)
        chosen = drawn[0] < self.share
        goal = self._goals(base, place, index[0], drawn[1])
        steps = len(index) - 1
        achieved = self.obs["achieved_goal"][index[1:]]  # [n_step, n, ...]
        new, over = self.rule(achieved.flatten(0, 1), goal.unsqueeze(0).expand_as(achieved).flatten(0, 1))
        new, over = new.view(steps, -1), over.view(steps, -1)
        reward[:steps] = torch.where(chosen, new, reward[:steps])
        ends = flags[:steps] & (255 - TERMINATED) | TERMINATED * over.to(flags.dtype)
        flags[:steps] = torch.where(chosen, ends, flags[:steps])

        def relabel(obs: Any) -> Any:
            where = chosen.view(-1, *[1] * (goal.dim() - 1))
            return obs | {"desired_goal": torch.where(where, goal, obs["desired_goal"])}

        return reward, flags, relabel

    def _goals(self, base: Tensor, place: Tensor, index: Tensor, drawn: Tensor) -> Tensor:
        """What was achieved in another moment of the episode of each `place` [n]."""
        newest = self.count[base // self.length]
        final = self.final[index]
        final = torch.where(final == RUNNING, newest, final)
        if self.strategy == "final":
            at = final
        else:
            before = place if self.strategy == "future" else torch.maximum(self.first[index], newest - self.length + 1)
            at = before + 1 + ((final - before) * drawn).long()
        return self.obs["achieved_goal"][base + torch.minimum(at, final) % self.length]
