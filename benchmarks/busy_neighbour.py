"""Runs parts of the test suite on one core beside a spinning process, three times: python -m benchmarks.busy_neighbour.

A test that waits for seconds instead of events fails here. Linux only, for it pins processes to a core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass

import tyro

PARTS = ("tests/training", "tests/storage", "tests/viewing", "tests/envs/test_env_recovery.py")
SPIN = "while True: pass"


@dataclass(frozen=True)
class Options:
    """Run parts of the test suite on one core beside a busy neighbour."""

    parts: tuple[str, ...] = PARTS
    """What pytest is to run."""
    rounds: int = 3
    """How often, one after the other."""
    core: int = 0
    """The core that all of it shares."""
    neighbours: int = 1
    """Processes that spin on it."""


def main(options: Options) -> int:
    cores = os.sched_getaffinity(0)
    if options.core not in cores:
        print(f"core {options.core} is not there: --core takes one of {', '.join(map(str, sorted(cores)))}")
        return 2
    os.sched_setaffinity(0, {options.core})  # and that of all processes from here on
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(options.neighbours)]
    failed = 0
    try:
        for number in range(1, options.rounds + 1):
            started = time.perf_counter()
            command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *options.parts]
            done = subprocess.run(command, capture_output=True, text=True)
            last = (done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]])[-1]
            print(f"round {number}: {last}; {time.perf_counter() - started:.0f} s by the clock", flush=True)
            if done.returncode:
                failed += 1
                print(done.stdout[-5000:])
    finally:
        for process in spinning:
            process.kill()
            process.wait()
    print(f"{options.rounds - failed} of {options.rounds} rounds passed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
