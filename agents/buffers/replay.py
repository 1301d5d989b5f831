"""Experience of the past, to draw batches from: which transitions the streams hold, and how likely each is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import torch
from torch import Tensor

from agent_gym.agents.buffers.n_step import BARE, START, TERMINATED, TRUNCATED, n_step_return
from agent_gym.agents.buffers.streams import SELDOM, Streams
from agent_gym.agents.buffers.sum_tree import SumTree
from agent_gym.envs.vector import Step
from agent_gym.ground.tree import tree_map
from agent_gym.nets.learner.cuda_graphs import Recorded, records


class Replay(Streams):
    """The latest `capacity` transitions of B environments, uniformly sampled or by priority.

    `options` are those of Streams. Raises UserError if it would not fit in memory. On a GPU `add`
    takes observations as environments give them, on any device, and `single` makes what is stored; `record`: by a
    graph.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        obs_space: gymnasium.Space,
        action: Tensor,
        device: torch.device | str = "cpu",
        *,
        n_step: int = 1,
        gamma: float = 0.99,
        prioritized: bool = False,
        record: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(capacity, num_envs, obs_space, action, device, **options)
        self.n_step, self.gamma = n_step, gamma
        self.transform: Callable[[Tensor, Tensor], Tensor] | None = None  # of rewards to learn from, with real ends
        self.window = torch.arange(n_step + 1, device=self.device).unsqueeze(1)
        self.env_of_slot = torch.arange(num_envs, device=self.device).repeat(self.rows) * self.length
        self.place = torch.full((self.rows * num_envs,), -1, dtype=torch.int64, device=self.device)  # by slot
        self.added = 0  # rows of transitions ever added
        self.size = 0  # rows that can be sampled: the latest ones
        self.has_gaps = False  # whether a step without action left a slot empty
        self.tree = SumTree(self.rows * num_envs, self.device) if prioritized else None
        self.max_priority = torch.ones((), dtype=torch.float64, device=self.device)
        # For graphs: the row to write, and how many slots there are to draw from, behind which one.
        self.row = torch.zeros((), dtype=torch.int64, device=self.device)
        self.drawable = torch.zeros(2, dtype=torch.int64, device=self.device)
        self.known = [0, 0, 0]  # what they hold
        self.single: Callable[[Any], Any] = lambda obs: obs
        self.recorded: Recorded | None = None
        if records(self.device):
            self.recorded = Recorded("the replay buffer", self._write, self.device, self._changed, record=record)

    def __len__(self) -> int:
        return self.size * self.num_envs

    # Writing

    def add(self, action: Tensor, step: Step, state: Tensor | None = None, rows: Tensor | None = None) -> None:
        if self.recorded is not None:
            self._add_by_graph(action, step, state)
            return
        self._add_slots(self.count if rows is None else self.count[rows], step.valid, rows)
        self.has_gaps = self.has_gaps or step.valid is not None
        super().add(action, step, state, rows)
        if self.compact:
            self._drop_overwritten()

    def _add_by_graph(self, action: Tensor, step: Step, state: Tensor | None) -> None:
        self.tell_drawable()
        self.recorded(action, step._replace(info={}), state)
        self.has_gaps = self.has_gaps or step.valid is not None
        self.added += 1
        self.size = min(self.size + 1, self.rows)
        count, behind, row = self.known  # what the graph makes of them
        self.known = [min(count + self.num_envs, len(self.place)), behind, (row + 1) % self.rows]
        if self.compact and self.added % SELDOM == 0:
            self._drop_overwritten()

    def tell_drawable(self) -> None:
        """Let graphs know which slots there are, where they cannot know it by themselves."""
        oldest = (self.added - self.size) * self.num_envs % len(self.place) if self.size < self.rows else 0
        numbers = [len(self), oldest, self.added % self.rows]
        for place, number, known in zip((*self.drawable.unbind(0), self.row), numbers, self.known, strict=True):
            if number != known:
                place.fill_(number)
        self.known = numbers

    def _write(self, action: Tensor, step: tuple, state: Tensor | None) -> None:
        """What `add` does, for any step and row."""
        obs, reward, terminated, truncated, final_obs, _, valid, mask, final_mask = step
        obs, final_obs = self.single(obs), self.single(final_obs)
        place, flags = self.count.clone(), self.fields["flags"]
        here, ahead = self.base + place % self.length, place + 1
        self.fields["action"].index_copy_(0, here, action)
        self.fields["reward"].index_copy_(0, here, reward)
        if state is not None:
            self.fields["state"].index_copy_(0, here, state)
        slots = self.row * self.num_envs + torch.arange(self.num_envs, device=self.device)
        self.place.index_copy_(0, slots, place if valid is None else torch.where(valid, place, -1))
        if self.tree is not None:
            fresh = self.max_priority.expand(self.num_envs)
            self.tree.update(slots, fresh if valid is None else fresh * valid)
        done, ends = terminated | truncated, terminated.to(torch.uint8) + TRUNCATED * truncated.to(torch.uint8)
        if valid is not None:
            done, ends = done | ~valid, torch.where(valid, ends, BARE)
        started = flags.index_select(0, here) & START
        flags.index_fill_(0, self.base + ahead % self.length, BARE)
        flags.index_copy_(0, here, started + ends)
        start = done.to(torch.int64)
        self._write_obs(final_obs, ahead)
        self._write_mask(final_mask, ahead)
        ahead = ahead + self.stack * start
        self._mark_start(ahead, start)
        self._write_obs(obs, ahead, start)
        self._write_mask(mask, ahead)
        self.count.copy_(ahead)
        self.row.copy_((self.row + 1) % self.rows)
        self.drawable[0].copy_((self.drawable[0] + self.num_envs).clamp(max=len(self.place)))

    def _changed(self) -> list[Tensor]:
        """What `_write` changes, but for what it would only write again."""
        priorities = [] if self.tree is None else self.tree.levels
        return [self.count, self.place, self.fields["flags"], self.row, self.drawable, *priorities]

    def changed(self) -> list[Tensor]:
        """What `set_priority` changes."""
        return [] if self.tree is None else [self.max_priority, *self.tree.levels]

    def _add_slots(self, place: Tensor, valid: Tensor | None, rows: Tensor | None) -> None:
        if rows is not None:  # the slots of the others stay empty
            self.has_gaps = True
            there = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
            valid = there.index_fill(0, rows, True) if valid is None else there.index_copy(0, rows, valid)
            place = torch.zeros_like(self.count).index_copy(0, rows, place)
        row = self.added % self.rows
        slots = slice(row * self.num_envs, (row + 1) * self.num_envs)
        self.place[slots] = place if valid is None else torch.where(valid, place, -1)
        self.added += 1
        self.size = min(self.size + 1, self.rows)
        if self.tree is not None:
            fresh = self.max_priority.expand(self.num_envs)
            index = torch.arange(slots.start, slots.stop, device=self.device)
            self.tree.update(index, fresh if valid is None else fresh * valid)

    def _drop_overwritten(self) -> None:
        """Forget the oldest transitions whose images short episodes have pushed out."""
        while self.size:
            row = (self.added - self.size) % self.rows
            slots = slice(row * self.num_envs, (row + 1) * self.num_envs)
            place = self.place[slots]
            oldest_frame = place - (self.stack - 1)
            if not ((place >= 0) & (oldest_frame <= self.count - self.length + self.late)).any():
                return
            self.size -= 1
            if self.tree is not None:
                index = torch.arange(slots.start, slots.stop, device=self.device)
                self.tree.update(index, torch.zeros(self.num_envs, dtype=torch.float64, device=self.device))

    # Sampling

    def draw(
        self, batch_size: int, generator: torch.Generator, beta: float | Tensor = 1.0
    ) -> tuple[Tensor, Tensor | None]:
        """Slots [n] of transitions, and their importance weights [n] if they are drawn by priority."""
        if self.tree is not None:
            slot, probability = self.tree.sample(batch_size, generator)
            weight = ((len(self) if self.recorded is None else self.drawable[0]) * probability).clamp(
                min=1e-12
            ) ** -beta
            return slot, (weight / weight.max()).float()
        slot = self._uniform(batch_size, generator)
        while self.has_gaps and bool((gaps := self.place[slot] < 0).any()):
            slot = torch.where(gaps, self._uniform(batch_size, generator), slot)
        return slot, None

    def _uniform(self, batch_size: int, generator: torch.Generator) -> Tensor:
        if self.recorded is not None:  # numbers that change must lie on the GPU
            drawn = torch.rand(batch_size, generator=generator, device=self.device, dtype=torch.float64)
            return ((drawn * self.drawable[0]).long() + self.drawable[1]) % len(self.place)
        slot = torch.randint(len(self), (batch_size,), generator=generator, device=self.device)
        oldest = self.added - self.size
        return slot if oldest % self.rows == 0 else (slot + oldest * self.num_envs) % len(self.place)

    def _look(
        self, base: Tensor, place: Tensor, index: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Callable[[Any], Any]]:
        """Rewards and flags at index [n_step + 1, n], fresh, and what is to become of observations read there."""
        return self._at(self.fields["reward"], index), self._at(self.fields["flags"], index), lambda obs: obs

    def transitions(self, slot: Tensor, generator: torch.Generator | None = None) -> dict:
        """Single transitions: obs, action, next_obs, reward and discount over n steps, each [1, n, ...]."""
        base, place = self.env_of_slot.index_select(0, slot), self.place.index_select(0, slot)
        steps = place + self.window  # [n_step + 1, n]
        index = base + steps % self.length
        reward, flags, changed = self._look(base, place, index, generator)
        reward, discount, ahead = self._returns(reward, flags)
        if self.n_step == 1:
            obs = self.read_obs(base, steps, index)
        else:
            obs = self.read_obs(base, torch.stack((place, place + ahead[0])))
        action = self._at(self.fields["action"], index[:1])
        masks = {} if self.masks is None else self._read_masks(index[:1], base + (place + ahead) % self.length)
        obs, next_obs = (changed(tree_map(lambda x, k=k: x[k : k + 1], obs)) for k in (0, 1))
        batch = {"obs": obs, "action": action, "next_obs": next_obs, "reward": reward, "discount": discount}
        return batch | masks

    def _returns(self, reward: Tensor, flags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.transform is not None:
            reward = self.transform(reward, flags & TERMINATED != 0)
        return n_step_return(reward, flags, self.n_step, self.gamma)

    def sequences(self, slot: Tensor, burn_in: int, length: int) -> dict:
        """Stretches of the streams around transitions, for agents with memory (Kapturowski et al. 2019).

        obs and reset [length + n_step, n, ...]; "burn_in": obs and reset of the steps before, if there are any; the
        memory `state` [n, S] before the first of all. For `length` steps: action, reward and discount over n steps,
        `ahead` (how many entries later the bootstrap stands) and `valid` (whether an action was taken), each
        [length, n, ...].
        """
        total = burn_in + length + self.n_step
        base, place = self.env_of_slot[slot], self.place[slot]
        newest = self.count[slot % self.num_envs]
        oldest = (newest - self.length + self.stack).clamp(min=self.stack - 1)
        first = torch.minimum((place - burn_in).clamp(min=oldest), newest - total + 1)
        window = first + torch.arange(total, device=self.device).unsqueeze(1)  # [total, n]
        index = base + window % self.length
        flags = self.fields["flags"][index]
        obs, reset = self.read_obs(base.expand_as(window), window), flags & START != 0
        batch = {"state": self.fields["state"][index[0]]}
        if burn_in:
            batch["burn_in"] = {"obs": tree_map(lambda x: x[:burn_in], obs), "reset": reset[:burn_in]}
            obs, reset, flags, index = (tree_map(lambda x: x[burn_in:], part) for part in (obs, reset, flags, index))
        reward, discount, ahead = self._returns(self.fields["reward"][index], flags)
        batch |= {"obs": obs, "reset": reset, "action": self.fields["action"][index[:length]]}
        valid = flags[:length] & BARE == 0
        batch |= self._read_masks(index[:length], base + (window[burn_in : burn_in + length] + ahead) % self.length)
        return batch | {"reward": reward, "discount": discount, "ahead": ahead, "valid": valid}

    def set_priority(self, slot: Tensor, priority: Tensor) -> None:
        """Priorities [n], already raised to alpha, of the drawn slots [n]."""
        priority = priority.double()
        self.max_priority.copy_(torch.maximum(self.max_priority, priority.max()))
        self.tree.update(slot, priority)

    def state_dict(self) -> dict:
        """All but the streams themselves, which agents.history cuts into segments."""
        priorities = None if self.tree is None else {"leaves": self.tree.leaves, "largest": self.max_priority}
        return {"size": self.size, "has_gaps": self.has_gaps, "priorities": priorities}

    def load_state_dict(self, state: dict) -> None:
        self.size, self.has_gaps = state["size"], state["has_gaps"]
        if self.tree is not None:
            self.tree.leaves.copy_(state["priorities"]["leaves"])
            self.tree.rebuild()
            self.max_priority.copy_(state["priorities"]["largest"])
