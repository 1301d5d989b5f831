"""The state of the user's program that a run came from."""

from __future__ import annotations

import subprocess


def commit() -> str:
    """The commit of the folder that the process runs in; "" where there is none."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()
