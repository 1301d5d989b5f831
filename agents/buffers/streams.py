"""Streams of entries, one an environment, in which the successor of an entry is the next one.

An entry holds an observation and, once the agent has acted, the action, the reward and how the step ended. An episode
ends with an entry for its true last observation, from which no action is taken, and the next episode starts behind it.
So every observation is stored once, and a truncated step finds its successor like any other. Of stacked images only
the newest frame is stored: an episode starts with the older frames of its first stack, as entries of their own.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.buffers.free_memory import require_room
from agent_gym.agents.buffers.n_step import BARE, START, TRUNCATED
from agent_gym.envs.vector import Step
from agent_gym.ground.tree import tree_leaves, tree_map
from agent_gym.nets.learner.cuda_graphs import records

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


class Streams:
    """Room for the latest `capacity` steps of B environments and for the observations behind their last ones.

    frame_stack: frames in each image [frame_stack, H, W, ...] of the observation; 1 stores every image as it is.
    state_dim: size of the memory that is stored beside each entry. Raises UserError if it would not fit in memory.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        obs_space: gymnasium.Space,
        action: Tensor,
        device: torch.device | str = "cpu",
        *,
        frame_stack: int = 1,
        state_dim: int = 0,
    ) -> None:
        self.device, self.num_envs, self.stack = torch.device(device), num_envs, frame_stack
        self.rows = max(capacity // num_envs, 1)  # steps kept of each environment
        self.in_place = records(self.device)  # graphs find the places of the newest entries where they were
        leaves = _leaf_spaces(obs_space)
        self.stacked = tree_map(lambda leaf: frame_stack > 1 and leaf.dtype == np.uint8, leaves)
        # Vectors are small: even episodes of one step, which take two entries each, leave room for all transitions.
        self.compact = frame_stack > 1 or any(len(leaf.shape) > 1 for leaf in tree_leaves(leaves))
        self.length = int((SPARE if self.compact else 2) * self.rows) + 64 * frame_stack  # entries of each
        self.late = SELDOM * (1 + frame_stack) if self.in_place else 0  # entries that may be missing by then
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
        self.count = torch.full((num_envs,), -1, dtype=torch.int64, device=self.device)  # place of the newest entry

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
        whole = slice(None) if rows is None else rows
        base, place, flags = self.base[whole], self.count[whole], self.fields["flags"]
        here, ahead = base + place % self.length, place + 1
        self.fields["action"].index_copy_(0, here, action.to(self.device))
        self.fields["reward"].index_copy_(0, here, step.reward.to(self.device))
        if state is not None:
            self.fields["state"].index_copy_(0, here, state)
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

    def put_count(self, count: Tensor) -> None:
        """The places of the newest entries; a graph finds them where they were."""
        if self.in_place:
            self.count.copy_(count)
        else:
            self.count = count

    # Reading

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

    def _read_masks(self, now: Tensor, then: Tensor) -> dict[str, Tensor]:
        """Actions allowed in the steps at index `now` and in those to bootstrap from, at index `then`."""
        return {} if self.masks is None else {"mask": self.masks[now], "next_mask": self.masks[then]}
