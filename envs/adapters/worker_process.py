"""What a worker process does with its share of the environments, and the memory it shares with the main process."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch

from agent_gym.envs.adapters.boundary.spaces import ObsLayout
from agent_gym.envs.adapters.episodes.snapshot import put_all_back, take_all
from agent_gym.envs.adapters.singles import FAULTS, Batch, discard, reset_envs, step_envs, trouble
from agent_gym.envs.conventions.infos import LONGEST, MOST, Scalars
from agent_gym.envs.failures import Trouble
from agent_gym.ground.chance import plain_state, seed_globals, set_plain_state
from agent_gym.ground.spaces import row_of

RESET, STEP, STEP_CHOSEN, REPLACE, TAKE, PUT_BACK, CLOSE = range(7)
PATIENCE = 0.5  # seconds between looks of a worker at whether the main process still lives


class Shared:
    """The arrays that all processes see. Their memory has no name, so that nothing is left behind."""

    def __init__(self, context, layout: ObsLayout, action_space: gymnasium.Space, num_envs: int, num_workers: int):
        def array(shape: Sequence[int], dtype) -> tuple[Any, Sequence[int], np.dtype]:
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            return context.RawArray(ctypes.c_byte, max(size, 1)), shape, np.dtype(dtype)

        shape, dtype = row_of(action_space)
        leaves = [((num_envs, *leaf.shape), leaf.dtype) for leaf in layout.leaves]
        self.blocks = {
            "obs": [array(*leaf) for leaf in leaves],
            "final_obs": [array(*leaf) for leaf in leaves],
            "action": [array((num_envs, *shape), dtype)],
            "reward": [array((num_envs,), np.float32)],
            "told": [array((num_envs, MOST), np.float32)],  # scalars, in columns that each worker names
            "names": [array((num_workers, MOST, LONGEST), np.uint8)],
            "flags": [array((2, num_envs), np.bool_)],  # terminated, truncated
            "seed": [array((num_envs,), np.int64)],  # of the next episode; -1: none
            "chosen": [array((num_envs,), np.bool_)],  # to be replaced, or stepped alone
            "at": [array((num_workers,), np.int64)],  # the environment that is being stepped
            "command": [array((2,), np.int64)],  # what to do; number of the command
            "done": [array((num_workers,), np.int64)],  # number of the last command carried out
            "failed": [array((num_workers,), np.bool_)],
        }

    def view(self) -> dict[str, list[np.ndarray]]:
        """NumPy arrays on the shared memory, made in each process for itself."""
        return {
            name: [np.frombuffer(raw, dtype)[: int(np.prod(shape))].reshape(shape) for raw, shape, dtype in blocks]
            for name, blocks in self.blocks.items()
        }


class Worker:
    """What a worker does with its rows, in its own process."""

    def __init__(
        self, make_env: Callable[[], gymnasium.Env], shared: Shared, layout: ObsLayout, rows: range, number, unfold
    ):
        self.make_env, self.layout, self.rows = make_env, layout, rows
        arrays = shared.view()
        mine = {key: [array[rows.start : rows.stop] for array in arrays[key]] for key in ("obs", "final_obs")}
        self.action, reward, self.seed, self.chosen = (
            arrays[key][0][rows.start : rows.stop] for key in ("action", "reward", "seed", "chosen")
        )
        flags = arrays["flags"][0][:, rows.start : rows.stop]
        self.out = Batch(mine["obs"], reward, flags[0], flags[1], mine["final_obs"])
        told = arrays["told"][0][rows.start : rows.stop]
        told[:] = np.nan
        self.scalars = Scalars(len(rows), told, arrays["names"][0][number])
        self.unfold = unfold
        self.at = arrays["at"][0][number : number + 1]
        self.envs: list[gymnasium.Env | None] = [None] * len(rows)
        self.looked = False  # at what a step returns
        self.new = True

    def carry_out(self, task: int) -> list[Trouble]:
        if task in (STEP, STEP_CHOSEN):
            looking, self.looked = not self.looked, True
            chosen = self.chosen if task == STEP_CHOSEN else None
            seeds = None if (self.seed < 0).any() else self.seed
            step = self.envs, self.layout, self.action.copy(), self.out, self.rows.start, self._begin, seeds, chosen
            self.scalars.clear()
            return step_envs(*step, looking, self.scalars, self.unfold)[1]
        if task == REPLACE:
            for i in np.flatnonzero(self.chosen).tolist():
                if self.envs[i] is not None:
                    discard(self.envs[i])
                    self.envs[i] = None
        if task == RESET or self.new:
            self.new = False
            seed_globals(int(self.seed[0]))
        troubles = []
        for i in range(len(self.rows)) if task == RESET else np.flatnonzero(self.chosen).tolist():
            self._begin(i)
            try:
                if self.envs[i] is None:
                    self.envs[i] = self.make_env()
            except FAULTS as error:
                troubles.append(trouble(self.rows.start + i, error, True))
                continue
            obs = [array[i : i + 1] for array in self.out.obs]
            troubles += reset_envs([self.envs[i]], self.layout, [int(self.seed[i])], obs, self.rows.start + i)
        return troubles

    def take(self) -> dict[str, Any]:
        """The state of its environments and of the process's generators; empty where it cannot be taken."""
        taken = take_all(self.envs)
        return {"envs": taken, "chance": plain_state()} if taken else {}

    def put_back(self, saved: dict[str, Any]) -> bool:
        """Bring them there; False where they do not get there."""
        if not saved or not put_all_back(self.envs, saved["envs"]):
            return False
        set_plain_state(saved["chance"])
        return True

    def _begin(self, i: int) -> None:
        self.at[0] = self.rows.start + i


def work(
    make_env: Callable[[], gymnasium.Env], shared: Shared, layout, rows: range, number: int, unfold, start, finish, pipe
) -> None:
    """The life of a worker: wait for a command, carry it out on its rows, tell that it is done."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the main process's to handle: it finishes its step and closes
        signal.signal(ignored, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = os.getppid()
    arrays = shared.view()
    command, done, failed = (arrays[key][0] for key in ("command", "done", "failed"))
    worker = Worker(make_env, shared, layout, rows, number, unfold)
    while os.getppid() == parent:
        if not start.acquire(True, PATIENCE) or done[number] == command[1]:
            continue
        task, current = command.tolist()
        if task == CLOSE:
            break
        if task in (TAKE, PUT_BACK):
            while task == PUT_BACK and not pipe.poll(PATIENCE):
                if os.getppid() != parent:
                    return
            answer: Any = worker.take() if task == TAKE else worker.put_back(pipe.recv())
            done[number] = current
            finish.release()
            pipe.send(answer)
            continue
        troubles = worker.carry_out(task)
        failed[number] = bool(troubles)
        done[number] = current
        finish.release()
        if troubles:
            pipe.send(troubles)  # last, because a long text waits for its reader
    for env in worker.envs:
        if env is not None:
            discard(env)
