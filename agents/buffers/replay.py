"""Experience of the past: one stream of entries an environment, in which the successor of an entry is the next one.

An entry holds an observation and, once the agent has acted, the action, the reward and how the step ended. An episode
ends with an entry for its true last observation, from which no action is taken, and the next episode starts behind it.
So every observation is stored once, and a truncated step finds its successor like any other. Of stacked images only
the newest frame is stored: an episode starts with the older frames of its first stack, as entries of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.buffers.free_memory import require_room
from agent_gym.agents.buffers.n_step import BARE, START, TERMINATED, TRUNCATED, n_step_return
from agent_gym.agents.buffers.sum_tree import SumTree
from agent_gym.envs.vector import Step
from agent_gym.ground.tree import tree_leaves, tree_map
from agent_gym.nets.learner.cuda_graphs import Recorded, records

SPARE = 1.08  # images stored for each transition
SELDOM = 64  # steps after which a GPU is asked what short episodes have pushed out


def _leaf_spaces(space: spaces.Space) -> Any:
    return {key: _leaf_spaces(part) for key, part in space.items()} if isinstance(space, spaces.Dict) else space


def _stored(space: spaces.Space, stacked: bool) -> tuple[tuple[int, ...], torch.dtype]:
    """Shape and type of an entry: of a stack one frame, and float32 where the environment gives float64."""
    dtype = np.float32 if space.dtype == np.float64 else space.dtype
    return space.shape[1 if stacked else 0 :], torch.from_numpy(np.empty(0, dtype)).dtype


def _like(mask: Tensor, leaf: Tensor) -> Tensor:
    """mask [B] as bool that broadcasts over frames of leaf [B, k, ...]."""
    return mask.bool().view(-1, *[1] * (leaf.dim() - 2))


class Replay:
    """The latest `capacity` transitions of B environments, uniformly sampled or by priority.

    frame_stack: frames in each image [frame_stack, H, W, ...] of the observation; 1 stores every image as it is.
    state_dim: size of the memory that is stored beside each entry. Raises UserError if it would not fit in memory.
    On a GPU `add` takes observations as environments give them, on any device, and `single` makes what is stored;
    `record`: by a graph.
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
        frame_stack: int = 1,
        state_dim: int = 0,
        prioritized: bool = False,
        record: bool = True,
    ) -> None:
        self.device, self.num_envs = torch.device(device), num_envs
        self.n_step, self.gamma, self.stack = n_step, gamma, frame_stack
        self.transform: Callable[[Tensor, Tensor], Tensor] | None = None  # of rewards to learn from, with real ends
        self.rows = max(capacity // num_envs, 1)  # transitions kept of each environment
        leaves = _leaf_spaces(obs_space)
        self.stacked = tree_map(lambda leaf: frame_stack > 1 and leaf.dtype == np.uint8, leaves)
        # Vectors are small: even episodes of one step, which take two entries each, leave room for all transitions.
        self.compact = frame_stack > 1 or any(len(leaf.shape) > 1 for leaf in tree_leaves(leaves))
        self.length = int((SPARE if self.compact else 2) * self.rows) + 64 * frame_stack  # entries of each
        self.late = SELDOM * (1 + frame_stack) if records(self.device) else 0  # entries that may be missing by then
        self.length += self.late
        fields: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
            "action": (tuple(action.shape[1:]), action.dtype),
            "reward": ((), torch.float32),
            "flags": ((), torch.uint8),
        }
        if state_dim:
            fields["state"] = ((state_dim,), torch.float32)
        layout = tree_map(_stored, leaves, self.stacked)
        all_fields = [*fields.values(), *tree_leaves(layout)]
        entry = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in all_fields)
        self.num_bytes = entry * num_envs * self.length
        require_room(self.num_bytes, capacity, self.device)
        self.fields = {name: self._empty(*field) for name, field in fields.items()}
        self.obs = tree_map(lambda leaf: self._empty(*leaf), layout)
        self.fields["flags"].fill_(BARE)
        self.masks: Tensor | None = None  # of the actions allowed, from the first that is told on
        self.base = torch.arange(num_envs, device=self.device) * self.length
        self.window = torch.arange(n_step + 1, device=self.device).unsqueeze(1)
        self.env_of_slot = torch.arange(num_envs, device=self.device).repeat(self.rows) * self.length
        self.count = torch.full((num_envs,), -1, dtype=torch.int64, device=self.device)  # place of the newest entry
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

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        shape = (self.num_envs * self.length, *shape)
        if self.device.type == "cpu":  # NumPy asks the system for zeros: what is not yet written takes no memory
            return torch.from_numpy(np.zeros(shape, torch.empty(0, dtype=dtype).numpy().dtype))
        return torch.zeros(shape, dtype=dtype, device=self.device)

    # Writing

    def _write_obs(self, obs: Any, place: Tensor, whole: Tensor | None = None, base: Tensor | None = None) -> None:
        """Write obs [B, ...] at its place [B]; of stacks the newest frame, and where `whole` [B] holds all of them.

        `base` [B]: where the streams begin, if they are not all.
        """
        base = self.base if base is None else base
        index = base + place % self.length

        def write(store: Tensor, leaf: Tensor, stacked: bool) -> None:
            if not stacked:
                store.index_copy_(0, index, leaf.to(store.device))
                return
            leaf = leaf.to(store.device)
            if whole is not None:
                for back in range(self.stack - 1, 0, -1):
                    # Elsewhere the newest frame is written to its own place again.
                    older = base + (place - back * whole) % self.length
                    store.index_copy_(0, older, torch.where(_like(whole, leaf), leaf[:, -1 - back], leaf[:, -1]))
            store.index_copy_(0, index, leaf[:, -1])

        tree_map(write, self.obs, obs, self.stacked)

    def keep_masks(self, size: int) -> None:
        """Keep the actions allowed in each observation too, [size] of them."""
        if self.masks is None:
            self.masks = self._empty((size,), torch.bool)

    def _write_mask(self, mask: Tensor | None, place: Tensor, base: Tensor | None = None) -> None:
        """Write mask [B, size] at its place [B]; `base` as in `_write_obs`."""
        if mask is not None:
            self.keep_masks(mask.shape[1])
            base = self.base if base is None else base
            self.masks.index_copy_(0, base + place % self.length, mask.to(self.device))

    def _read_masks(self, now: Tensor, then: Tensor) -> dict[str, Tensor]:
        """Actions allowed in the steps at index `now` and in those to bootstrap from, at index `then`."""
        return {} if self.masks is None else {"mask": self.masks[now], "next_mask": self.masks[then]}

    def begin(self, obs: Any, mask: Tensor | None = None) -> None:
        """A new episode starts in every environment, whether or not the one before had ended; `mask`: see Step."""
        everywhere = torch.ones_like(self.count)
        # One that has just started is replaced: restarts alone must not fill the streams.
        started = self.fields["flags"][self.base + self.count % self.length] & START != 0
        self.put_count(torch.where(started, self.count, self.count + self.stack))
        self._mark_start(self.count, everywhere)
        self._write_obs(obs, self.count, everywhere)
        self._write_mask(mask, self.count)

    def renew(self, obs: Any, mask: Tensor | None, rows: Tensor) -> None:
        """The newest entries of the streams `rows` [n], which nobody has acted on, show obs and mask [n, ...]."""
        place = self.count[rows]
        self._write_obs(obs, place, torch.ones_like(place), self.base[rows])
        self._write_mask(mask, place, self.base[rows])

    def _mark_start(self, place: Tensor, start: Tensor, base: Tensor | None = None) -> None:
        """Flag the entries at place [B] as bare, as starts where `start` [B] is 1, with bare older frames before."""
        flags, base = self.fields["flags"], self.base if base is None else base
        for back in range((self.stack - 1), 0, -1):
            flags.index_fill_(0, base + (place - back * start) % self.length, BARE)
        flags[base + place % self.length] = (BARE + START * start).to(torch.uint8)

    def add(self, action: Tensor, step: Step, state: Tensor | None = None, rows: Tensor | None = None) -> None:
        """The agent acted on the newest entries: action [B, ...], what followed, the memory [B, S] before.

        `rows` [n]: the streams that this is of, n instead of B, where it is not of all.
        """
        if self.recorded is not None:
            self._add_by_graph(action, step, state)
            return
        whole = slice(None) if rows is None else rows
        base, place, flags = self.base[whole], self.count[whole], self.fields["flags"]
        here, ahead = base + place % self.length, place + 1
        self.fields["action"].index_copy_(0, here, action.to(self.device))
        self.fields["reward"].index_copy_(0, here, step.reward.to(self.device))
        if state is not None:
            self.fields["state"].index_copy_(0, here, state)
        self._add_slots(place, step.valid, rows)
        started = flags.index_select(0, here) & START
        done = step.terminated | step.truncated
        flags.index_fill_(0, base + ahead % self.length, BARE)
        if self.device.type == "cpu" and step.valid is None and not done.any():
            flags.index_copy_(0, here, started)
            self._write_obs(step.obs, ahead, base=base)
            self._write_mask(step.mask, ahead, base)
        else:  # asking a GPU who is done would stall it: entries of those who go on are written twice instead
            ends = step.terminated.to(torch.uint8) + TRUNCATED * step.truncated.to(torch.uint8)
            if step.valid is not None:
                self.has_gaps = True
                done, ends = done | ~step.valid, torch.where(step.valid, ends, BARE)
            flags.index_copy_(0, here, started + ends)
            start = done.to(self.device, torch.int64)
            self._write_obs(step.final_obs, ahead, base=base)
            self._write_mask(step.final_mask, ahead, base)
            ahead = ahead + self.stack * start
            self._mark_start(ahead, start, base)
            self._write_obs(step.obs, ahead, start, base)
            self._write_mask(step.mask, ahead, base)
        self.count = ahead if rows is None else self.count.index_copy(0, rows, ahead)
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

    def put_count(self, count: Tensor) -> None:
        """The places of the newest entries; a graph finds them where they were."""
        if self.recorded is None:
            self.count = count
        else:
            self.count.copy_(count)

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

    def read_obs(self, base: Tensor, place: Tensor, index: Tensor | None = None) -> Any:
        """Observations at places [...] of the streams that begin at base [...]: leaves [..., *shape].

        `index`: where they stand in the store, if that is known.
        """
        index = base + place % self.length if index is None else index

        def read(store: Tensor, stacked: bool) -> Tensor:
            if not stacked:
                return self._at(store, index)
            back = torch.arange(1 - self.stack, 1, device=self.device)
            frames = base.unsqueeze(-1) + (place.unsqueeze(-1) + back) % self.length
            return self._at(store, frames)

        return tree_map(read, self.obs, self.stacked)

    @staticmethod
    def _at(store: Tensor, index: Tensor) -> Tensor:
        """store[index], at half the price of advanced indexing."""
        return store.index_select(0, index.flatten()).view(*index.shape, *store.shape[1:])

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
        masks = self._read_masks(index[:1], base + (place + ahead) % self.length)
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
