"""Gymnasium environments stepped by a few worker processes, a contiguous share each, through shared memory.

Starting and finishing a step costs two semaphores a worker and no pickling. Workers are forked where the system
allows it, so they start at once: make the environments before other threads are started.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.util import Finalize
from typing import Any

import gymnasium
import numpy as np
import torch

from agent_gym.envs.adapters.arrays import ArrayVectorEnv
from agent_gym.envs.adapters.boundary.spaces import Arrays, ObsLayout
from agent_gym.envs.adapters.episodes.snapshot import has_own
from agent_gym.envs.adapters.singles import Batch, discard, spaces_of
from agent_gym.envs.adapters.worker_process import (
    CLOSE,
    PUT_BACK,
    REPLACE,
    RESET,
    STEP,
    STEP_CHOSEN,
    TAKE,
    Shared,
    work,
)
from agent_gym.envs.conventions.goals import goal_rule
from agent_gym.envs.conventions.infos import together
from agent_gym.envs.conventions.masks import layout_of
from agent_gym.envs.failures import Trouble
from agent_gym.ground.spaces import METHOD

ALARM = 0.1  # seconds between looks of the main process at whether a worker still lives


def _threads() -> int:
    """Threads of this process, as far as the system tells."""
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count()


WITH_THREADS: weakref.WeakSet[gymnasium.Env] = weakref.WeakSet()  # environments that started threads when made


def counting_threads(make: Callable[[], gymnasium.Env]) -> gymnasium.Env:
    """What `make` makes; what starts threads is put down in WITH_THREADS."""
    before = _threads()
    env = make()
    if _threads() > before:
        WITH_THREADS.add(env)
    return env


class Once:
    """Gives one thing the first time it is called, and what `make` makes from then on."""

    def __init__(self, first: gymnasium.Env, make: Callable[[], gymnasium.Env]):
        self.first: gymnasium.Env | None = first
        self.make = make

    def __call__(self) -> gymnasium.Env:
        first, self.first = self.first, None
        return self.make() if first is None else first


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
        first: gymnasium.Env | None = None,
        masks: str = "auto",
    ):
        self.first = counting_threads(make_env) if first is None else first
        spaces = spaces_of(self.first, env_id)
        layout = layout_of(*spaces, env_id, masks, self.first.has_wrapper_attr(METHOD))
        super().__init__(env_id, layout, spaces[1], num_envs, device)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = min(num_envs, num_workers or cores)
        self.make_env, self.relabel = make_env, goal_rule(self.first)
        self.context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self.shared = Shared(self.context, self.layout, spaces[1], num_envs, count)
        self.arrays = self.shared.view()
        self.rows = [range(num_envs * i // count, num_envs * (i + 1) // count) for i in range(count)]
        self.first_rows = np.array([rows.start for rows in self.rows])
        self.starts = [self.context.Semaphore(0) for _ in self.rows]
        self.finishes = [self.context.Semaphore(0) for _ in self.rows]
        self.pipes: list[Any] = [None] * count
        self.processes: list[Any] = [None] * count
        self.dead: set[int] = set()  # workers without a process
        self.pending = False  # a command has been given and not been waited for
        # The first environment goes to a forked worker as it is; threads of it would not go along.
        given = self.context.get_start_method() == "fork" and self.first not in WITH_THREADS
        if not given:
            discard(self.first)
        for i in range(count):
            self._hire(i, self.first if given and i == 0 else None)
        # At exit multiprocessing ends its processes by the signal that these ignore; this comes before.
        self.finalizer = Finalize(self, WorkerEnv.close, (self,), exitpriority=1)

    def _hire(self, i: int, first: gymnasium.Env | None = None) -> None:
        """Start the process of worker i, which has its first environment already if `first` is one."""
        receiver, sender = self.context.Pipe()
        process = self.context.Process(
            target=work,
            args=(
                self._maker(first),
                self.shared,
                self.layout,
                self.rows[i],
                i,
                self.unfold,
                self.starts[i],
                self.finishes[i],
                sender,
            ),
            daemon=True,
            name=f"{self.id}-{i}",
        )
        process.start()
        sender.close()
        self.pipes[i], self.processes[i] = receiver, process

    def _maker(self, first: gymnasium.Env | None) -> Callable[[], gymnasium.Env]:
        return self.make_env if first is None else Once(first, self.make_env)

    def _reset(self, seeds: list[int], obs: Arrays) -> list[Trouble]:
        self.arrays["seed"][0][:] = seeds
        troubles = self._run(RESET)
        self._copy_to(obs)
        return troubles

    def _step(self, action: np.ndarray) -> tuple[Batch, list[Trouble]]:
        self._finish_pending()
        self.arrays["action"][0][:] = action
        self.arrays["seed"][0][:] = self.seeds
        troubles = self._run(STEP)
        return self._batch(), troubles

    def _step_some(self, action: np.ndarray, chosen: np.ndarray) -> tuple[Batch, list[Trouble]]:
        self._finish_pending()
        self.arrays["action"][0][:] = action
        self.arrays["chosen"][0][:] = chosen
        self.arrays["seed"][0][:] = -1
        troubles = self._run(STEP_CHOSEN)
        return self._batch()._replace(final_obs=[array.copy() for array in self.arrays["obs"]]), troubles

    def _batch(self) -> Batch:
        """What the workers left, as fresh arrays."""
        obs = final_obs = [array.copy() for array in self.arrays["obs"]]
        terminated, truncated = self.arrays["flags"][0].copy()
        done = terminated | truncated
        if done.any():
            final_obs = [array.copy() for array in obs]
            for final, ended in zip(final_obs, self.arrays["final_obs"], strict=True):
                final[done] = ended[done]
        told = together(self.arrays["names"][0], self.arrays["told"][0], self.rows)
        return Batch(obs, self.arrays["reward"][0].copy(), terminated, truncated, final_obs, told=told)

    def _replace(self, rows: list[int], seeds: list[int], obs: Arrays) -> list[Trouble]:
        for i in self.dead:
            self.arrays["done"][0][i] = self.arrays["command"][0][1]  # not to repeat what its predecessor died of
            self._hire(i)
        self.dead.clear()
        chosen = self.arrays["chosen"][0]
        chosen[:] = False
        chosen[rows] = True
        self.arrays["seed"][0][rows] = seeds
        troubles = self._run(REPLACE)
        self._copy_to(obs, rows)
        return troubles

    @property
    def own_state(self) -> bool:
        return has_own(self.first)

    def _take(self) -> dict[str, Any]:
        taken = self._ask(TAKE)
        return {"workers": taken} if taken and all(taken) else {}

    def _put_back(self, saved: dict[str, Any]) -> bool:
        return len(saved["workers"]) == len(self.rows) and all(self._ask(PUT_BACK, saved["workers"]))

    def _ask(self, command: int, told: Sequence[Any] = ()) -> list[Any]:
        """What the workers answer to a command, each told its part; [False] where one has died."""
        self._finish_pending()
        self.arrays["command"][0][:] = command, self.arrays["command"][0][1] + 1
        self.pending = True
        for start in self.starts:
            start.release()
        try:
            for pipe, part in zip(self.pipes, told, strict=False):
                pipe.send(part)  # read at once, for the command is given
            self._finish_pending()
            return [False] if self.dead else [pipe.recv() for pipe in self.pipes]
        except (OSError, EOFError):
            return [False]

    def _lost(self, troubles: Iterable[Trouble]) -> list[int]:
        """With a worker all its environments are lost."""
        rows = set(super()._lost(troubles))
        for i in self.dead:
            if not rows.isdisjoint(self.rows[i]):
                rows.update(self.rows[i])
        return sorted(rows)

    def _settle(self, layout: ObsLayout) -> None:
        super()._settle(layout)
        for name in ("obs", "final_obs"):  # the workers leave the rest be
            del self.arrays[name][len(layout.leaves) :]

    def _copy_to(self, obs: Arrays, rows: Any = slice(None)) -> None:
        for array, shared in zip(obs, self.arrays["obs"], strict=True):
            array[rows] = shared[rows]

    def _run(self, command: int) -> list[Trouble]:
        self._finish_pending()
        self.arrays["at"][0][:] = self.first_rows
        self.arrays["command"][0][:] = command, self.arrays["command"][0][1] + 1
        self.pending = True
        return self._finish_pending()

    def _finish_pending(self) -> list[Trouble]:
        """Have the last command carried out, also when an interrupt came in the middle of an earlier try."""
        if not self.pending:
            return []
        number, done = self.arrays["command"][0][1], self.arrays["done"][0]
        for start in self.starts:
            start.release()  # a worker that has carried out this command already ignores it
        for i, (finish, process) in enumerate(zip(self.finishes, self.processes, strict=True)):
            while i not in self.dead and (not finish.acquire(True, ALARM) or done[i] != number):
                if done[i] == number:  # the interrupt came after the semaphore was taken
                    break
                if not process.is_alive():
                    self.dead.add(i)
        self.pending = False
        if not (self.dead or self.arrays["failed"][0].any()):
            return []
        return [one for i in range(len(self.processes)) for one in self._troubles(i)]

    def _troubles(self, i: int) -> list[Trouble]:
        """What went wrong in worker i during the last command."""
        failed = self.arrays["failed"][0]
        told = bool(failed[i])
        failed[i] = False
        if i not in self.dead:
            try:
                return self.pipes[i].recv() if told else []
            except EOFError:  # it died before it could tell
                self.dead.add(i)
        self.processes[i].join()
        code = self.processes[i].exitcode
        return [Trouble(int(self.arrays["at"][0][i]), f"its worker process died (exit code {code})")]

    def close(self) -> None:
        self.finalizer.cancel()
        command = self.arrays["command"][0]
        command[:] = CLOSE, command[1] + 1
        for start in self.starts:
            start.release()
        for process in self.processes:
            process.join(timeout=2)
            if process.is_alive():
                process.kill()
                process.join()
        self.processes, self.starts, self.finishes, self.pending = [], [], [], False
