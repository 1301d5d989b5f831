"""How many CPU threads an update is worth."""

from __future__ import annotations

import math
import os
from pathlib import Path

IMAGES = math.inf
LARGE = 4096  # numbers in an image from which on its convolutions are shared
WORTH_TWO = 2_000_000
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """CPUs that this process may run on; in a container with a quota, no more than that pays for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = QUOTA.read_text().split() if QUOTA.exists() else ("max", "1")
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def threads_for(work: float) -> int:
    """1 or 2 by the multiplications of a network's widest layer on one batch; IMAGES for convolutions of large images.

    Small layers lose more to the hand-off than they gain. Two threads took 0.65 of one's time at 256 rows of 256-256
    networks, 0.8 at 128 rows of 128-128, 0.6 at images of 84 × 84 × 4; a third and a fourth brought nothing or less.
    Where other programs want the cores, each hand-off waits for one: acting on 8 grids of 7 × 7 × 3 then took 348 ms
    instead of 0.6.
    """
    return 2 if work >= WORTH_TWO and usable_cores() > 1 else 1
