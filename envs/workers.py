"""Gymnasium environments stepped by a few worker processes, a contiguous share each, through shared memory.

Starting and finishing a step costs two semaphores a worker and no pickling. Workers are forked where the system
allows it, so they start at once: make the environments before other threads are started.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from envs.gymnasium_env import ArrayVectorEnv, Batch, env_seeds, reset_envs, step_envs
from envs.spaces import ObsLayout
from envs.vector import EnvFailure, Obs, Step

RESET, STEP, CLOSE = range(3)
PATIENCE = 0.5  # seconds between looks at whether the other side still lives


class Shared:
    """The arrays that all processes see. Their memory has no name, so that nothing is left behind."""

    def __init__(self, context, layout: ObsLayout, action_space: gymnasium.Space, num_envs: int, num_workers: int):
        def array(shape: Sequence[int], dtype) -> tuple[Any, Sequence[int], np.dtype]:
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            return context.RawArray(ctypes.c_byte, max(size, 1)), shape, np.dtype(dtype)

        leaves = [((num_envs, *leaf.shape), leaf.dtype) for leaf in layout.leaves]
        self.blocks = {
            "obs": [array(*leaf) for leaf in leaves],
            "final_obs": [array(*leaf) for leaf in leaves],
            "action": [array((num_envs, *action_space.shape), action_space.dtype)],
            "reward": [array((num_envs,), np.float32)],
            "flags": [array((2, num_envs), np.bool_)],  # terminated, truncated
            "seed": [array((num_envs,), np.int64)],
            "command": [array((3,), np.int64)],  # what to do; number of the step; number of the command
            "done": [array((num_workers,), np.int64)],  # number of the last command carried out
            "failed": [array((num_workers,), np.bool_)],
        }

    def view(self) -> dict[str, list[np.ndarray]]:
        """NumPy arrays on the shared memory, made in each process for itself."""
        return {
            name: [np.frombuffer(raw, dtype)[: int(np.prod(shape))].reshape(shape) for raw, shape, dtype in blocks]
            for name, blocks in self.blocks.items()
        }


def work(
    make_env: Callable[[], gymnasium.Env], shared: Shared, layout, rows: range, worker: int, env_id, start, finish, pipe
):
    """The life of a worker: wait for a command, carry it out on its rows, tell that it is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    torch.set_num_threads(1)
    parent = os.getppid()
    arrays = shared.view()
    mine = {key: [array[rows.start : rows.stop] for array in arrays[key]] for key in ("obs", "final_obs")}
    action, reward, seed = (arrays[key][0][rows.start : rows.stop] for key in ("action", "reward", "seed"))
    flags = arrays["flags"][0][:, rows.start : rows.stop]
    command, done, failed = (arrays[key][0] for key in ("command", "done", "failed"))
    out = Batch(mine["obs"], reward, flags[0], flags[1], mine["final_obs"])
    envs: list[gymnasium.Env] = []
    while os.getppid() == parent:
        if not start.acquire(True, PATIENCE) or done[worker] == command[2]:
            continue
        task, step, number = command.tolist()
        if task == CLOSE:
            break
        try:
            if task == RESET:
                envs = envs or [make_env() for _ in rows]
                reset_envs(envs, layout, seed.tolist(), out.obs, env_id, rows.start)
            else:
                step_envs(envs, layout, action.copy(), out, env_id, rows.start, step)
        except EnvFailure as failure:
            pipe.send((failure.index, failure.step, failure.reason, failure.traceback))
            failed[worker] = True
        done[worker] = number
        finish.release()
    for env in envs:
        env.close()


class WorkerEnv(ArrayVectorEnv):
    """Environments of one kind, in at most as many processes as there are cores."""

    backend = "async"

    def __init__(
        self,
        make_env: Callable[[], gymnasium.Env],
        num_envs: int,
        env_id: str,
        device: torch.device | str = "cpu",
        num_workers: int | None = None,
    ):
        example = make_env()
        super().__init__(env_id, example.observation_space, example.action_space, num_envs, device)
        action_space = example.action_space
        example.close()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = min(num_envs, num_workers or cores)
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        shared = Shared(context, self.layout, action_space, num_envs, count)
        self.arrays = shared.view()
        self.rows = [range(num_envs * i // count, num_envs * (i + 1) // count) for i in range(count)]
        self.starts, self.finishes, self.pipes, self.processes = [], [], [], []
        self.pending = False  # a command has been given and not been waited for
        for i, rows in enumerate(self.rows):
            start, finish = context.Semaphore(0), context.Semaphore(0)
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(
                target=work,
                args=(make_env, shared, self.layout, rows, i, env_id, start, finish, sender),
                daemon=True,
                name=f"{env_id}-{i}",
            )
            process.start()
            sender.close()
            for group, item in zip(
                (self.starts, self.finishes, self.pipes, self.processes),
                (start, finish, receiver, process),
                strict=True,
            ):
                group.append(item)

    def reset(self, seed: int) -> Obs:
        self.steps = 0
        self.arrays["seed"][0][:] = env_seeds(seed, self.num_envs)
        self._run(RESET)
        return self.first_obs([array.copy() for array in self.arrays["obs"]])

    def step(self, action: Tensor) -> Step:
        self.steps += 1
        self._finish_pending()
        self.arrays["action"][0][:] = self.decode(action)
        self._run(STEP)
        obs = final_obs = [array.copy() for array in self.arrays["obs"]]
        terminated, truncated = self.arrays["flags"][0].copy()
        done = terminated | truncated
        if done.any():
            final_obs = [array.copy() for array in obs]
            for final, ended in zip(final_obs, self.arrays["final_obs"], strict=True):
                final[done] = ended[done]
        return self.to_step(Batch(obs, self.arrays["reward"][0].copy(), terminated, truncated, final_obs))

    def _run(self, command: int) -> None:
        self._finish_pending()
        self.arrays["command"][0][:] = command, self.steps, self.arrays["command"][0][2] + 1
        self.pending = True
        self._finish_pending()

    def _finish_pending(self) -> None:
        """Have the last command carried out, also when an interrupt came in the middle of an earlier try."""
        if not self.pending:
            return
        number, done, failed = self.arrays["command"][0][2], self.arrays["done"][0], self.arrays["failed"][0]
        for start in self.starts:
            start.release()  # a worker that has carried out this command already ignores it
        for i, (finish, process) in enumerate(zip(self.finishes, self.processes, strict=True)):
            while not finish.acquire(True, PATIENCE) or done[i] != number:
                if done[i] == number:  # the interrupt came after the semaphore was taken
                    break
                if not process.is_alive():
                    reason = f"its worker process died (exit code {process.exitcode})"
                    raise EnvFailure(self.id, self.rows[i].start, self.steps, reason)
        self.pending = False
        if failed.any():
            failures = [self.pipes[i].recv() for i in np.flatnonzero(failed)]
            failed[:] = False
            raise EnvFailure(self.id, *failures[0])

    def close(self) -> None:
        command = self.arrays["command"][0]
        command[:] = CLOSE, self.steps, command[2] + 1
        for start in self.starts:
            start.release()
        for process in self.processes:
            process.join(timeout=2)
            if process.is_alive():
                process.kill()
                process.join()
        self.processes, self.starts, self.finishes, self.pending = [], [], [], False
