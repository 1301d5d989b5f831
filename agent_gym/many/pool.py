"""Runs as processes, a few at a time: started, listened to, stopped; none outlives the process that started it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import agent_gym
from agent_gym.ground.threads import usable_cores
from agent_gym.many.group import Group

PACKAGE = Path(agent_gym.__file__).parent.parent
# What glibc gives back to the system it has to ask for again, page by page: seeds as one program, whose tensors are of
# megabytes, take a tenth longer with its usual limits.
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}


Part = tuple[Group, tuple[int, ...]]
"""Seeds of a group."""


class Worker:
    """A seed of a group that is being trained, or several together, perhaps of other groups too."""

    def __init__(self, *parts: Part) -> None:
        (group, seeds), *_ = self.parts = parts
        self.seeds, self.step, self.buffer = seeds, 0, b""
        self.alone = ""
        """Why its seeds have to be trained one by one, once it has said so."""
        self.log = group.log(seeds[0], seeds[-1])
        paths = filter(None, (str(PACKAGE), os.environ.get("PYTHONPATH", "")))
        memory = KEEPS_MEMORY if len(seeds) > 1 or len(parts) > 1 else {}
        told = [word for each, own in parts for word in (str(each.path), ",".join(map(str, own)))]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent_gym.many.worker", *told],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**memory, **os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # Ctrl-C is for the parent, which passes it on
            )
        os.set_blocking(self.process.stdout.fileno(), False)

    @property
    def seed(self) -> int:
        """Of those that it trains, the first."""
        return self.seeds[0]

    @property
    def places(self) -> list[tuple[Group, int]]:
        """All that it trains."""
        return [(group, seed) for group, seeds in self.parts for seed in seeds]

    def reports(self) -> list[dict[str, Any]] | None:
        """What it has said since the last call; None once it has closed its pipe."""
        data = self.process.stdout.read()
        if data == b"":
            return None
        *lines, self.buffer = (self.buffer + (data or b"")).split(b"\n")
        found = [json.loads(line) for line in lines if line]
        self.step = max([self.step, *(report["step"] for report in found)])
        self.alone = next((report["alone"] for report in found if "alone" in report), self.alone)
        return found

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def problem(self) -> str:
        """What it said of its failure: the last error in its log, else its last line."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return (said or [line for line in lines if line.strip()] or ["it said nothing"])[-1]


class Pool:
    """Workers that run side by side."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.selector = selectors.DefaultSelector()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        for worker in self.workers:  # left behind by an error
            worker.kill()
        self.selector.close()

    def capacity(self) -> int:
        """Runs that go on side by side."""
        return usable_cores()

    def start(self, *parts: Part) -> Worker:
        """Train a seed, or several together, in a process of their own."""
        worker = Worker(*parts)
        self.workers.append(worker)
        self.selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        return worker

    def events(self, timeout: float) -> list[tuple[Worker, dict[str, Any] | int]]:
        """Reports of workers, and the exit codes of those that have ended; waits for the first of them."""
        found: list[tuple[Worker, dict[str, Any] | int]] = []
        for key, _ in self.selector.select(timeout):
            worker = key.data
            reports = worker.reports()
            if reports is not None:
                found += [(worker, report) for report in reports]
                continue
            self.selector.unregister(worker.process.stdout)
            self.workers.remove(worker)
            found.append((worker, worker.process.wait()))
            worker.process.stdin.close()
            worker.process.stdout.close()
        return found

    def stop(self, workers: list[Worker] | None = None) -> None:
        """Ask workers, or all, to save and leave; `events` tells when they have."""
        for worker in self.workers if workers is None else workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
