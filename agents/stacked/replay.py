"""The replay buffers of several runs as one, each run drawing from its own part with its own generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from agent_gym.agents.buffers.free_memory import require_room
from agent_gym.agents.buffers.replay import Replay
from agent_gym.envs.vector import Step
from agent_gym.ground.tree import tree_leaves, tree_map


def check_room(members: Sequence[Replay], capacity: int) -> None:
    """Raise UserError unless the buffers of all members, of `capacity` transitions each, have room together."""
    require_room(sum(member.num_bytes for member in members), capacity, members[0].device)


class StackedReplay(Replay):
    """The streams of S x B environments; those of a member lie beside each other, and its buffer has views of them.

    Slots are numbered member by member, as each numbers its own. Its steps all are valid, its observations vectors.
    """

    def adopt(self, members: Sequence[Replay]) -> None:
        """Take over what the buffers of all members hold; from now on they are parts of this one."""
        self.members, first = members, members[0]
        self.each, self.slots = first.num_envs, len(first.place)  # environments and slots of a member
        self.by_member = self.place.view(len(members), self.rows, self.each)
        self.env_of_slot = self.base.view(-1, 1, self.each).expand_as(self.by_member).flatten()
        self.starts = self.slots * torch.arange(len(members)).unsqueeze(1)
        self.added, self.size = first.added, first.size
        for s, member in enumerate(members):
            envs = slice(s * self.each, (s + 1) * self.each)
            part = slice(envs.start * self.length, envs.stop * self.length)
            used = [min(count + 1, self.length) for count in member.count.tolist()]
            if member.masks is not None:
                self.keep_masks(member.masks.shape[1])
            for whole, own in zip(self._stores(self), self._stores(member), strict=True):
                for e, entries in enumerate(used):  # what is not yet written takes no memory
                    at = e * self.length
                    whole[part][at : at + entries] = own[at : at + entries]
            self.by_member[s] = member.place.view_as(self.by_member[s])
            self.count[envs] = member.count
            member.place, member.count, member.in_place = self.by_member[s].flatten(), self.count[envs], True
            member.fields = {name: field[part] for name, field in self.fields.items()}
            member.obs = tree_map(lambda store, part=part: store[part], self.obs)
        self.shared = self.count
        self._show_masks()

    @staticmethod
    def _stores(replay: Replay) -> list[Tensor]:
        masks = [] if replay.masks is None else [replay.masks]
        return [*replay.fields.values(), *tree_leaves(replay.obs), *masks]

    def _show_masks(self) -> None:
        for s, member in enumerate(self.members if self.masks is not None else ()):
            member.masks = self.masks.view(len(self.members), -1, self.masks.shape[1])[s]

    def add(self, action: Tensor, step: Step, state: Tensor | None = None, rows: Tensor | None = None) -> None:
        had_masks = self.masks is not None
        super().add(action, step)
        self.shared.copy_(self.count)
        self.count = self.shared
        for member in self.members:
            member.added, member.size = self.added, self.size
        if not had_masks:
            self._show_masks()

    def _add_slots(self, place: Tensor, valid: Tensor | None, rows: Tensor | None) -> None:
        self.by_member[:, self.added % self.rows] = place.view(-1, self.each)
        self.added += 1
        self.size = min(self.size + 1, self.rows)

    def draw_each(self, n: int, generators: Sequence[torch.Generator]) -> Tensor:
        """Slots [S, n], as each member would draw its own."""
        drawn = [torch.randint(self.size * self.each, (n,), generator=generator) for generator in generators]
        slot, oldest = torch.stack(drawn), (self.added - self.size) * self.each
        if oldest % self.slots:
            slot = (slot + oldest) % self.slots
        return slot + self.starts

    def transitions(self, slot: Tensor, generator: Any = None) -> dict:
        """Of slots [S, n], leaves [1, S x n, ...]; see Replay."""
        return super().transitions(slot.flatten())
