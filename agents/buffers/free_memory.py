"""How much memory a buffer may take."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from agent_gym.ground.errors import UserError

CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """Bytes that are free on the device; in a container with a limit of its own, what that leaves."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available
    limit = CGROUP / "memory.max"
    if limit.exists() and limit.read_text().strip().isdigit():
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        used = int((CGROUP / "memory.current").read_text()) - int(stat["inactive_file"])  # a cache gives way
        free = min(free, int(limit.read_text()) - used)
    return free


def require_room(num_bytes: int, capacity: int, device: torch.device) -> None:
    """Raise UserError, with a size that fits, unless a buffer of `capacity` transitions has room on the device."""
    free = free_bytes(device)
    if num_bytes > free:
        raise UserError(
            f"--buffer-size {capacity} needs {num_bytes / 1e9:.1f} GB and {free / 1e9:.1f} GB are free on "
            f"{device}: --buffer-size {int(0.9 * capacity * free / num_bytes)} fits"
        )
