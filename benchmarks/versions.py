"""The suite under other versions: python -m benchmarks.versions 3.11:2.14.1 3.12:2.13.0 [-- pytest arguments]

Each pair is a Python (python3.N on the path, or a file) and a torch. A fresh virtual environment for each, installed
as the README says, then the tests. Takes gigabytes and, where torch has no build for CPUs alone, many minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def check(python: str, torch: str, arguments: list[str]) -> bool:
    """Whether the suite passes with this Python and this torch."""
    command = python if "/" in python else f"python{python}"
    with tempfile.TemporaryDirectory() as folder:
        run = [f"{folder}/bin/python", "-m"]
        steps = (
            [command, "-m", "venv", folder],
            [*run, "pip", "install", "-q", f"torch=={torch}"],
            [*run, "pip", "install", "-q", "-e", f"{ROOT}[test]"],
            [*run, "pytest", *arguments],
        )
        return all(subprocess.run(step, cwd=ROOT).returncode == 0 for step in steps)


def main(argv: list[str]) -> int:
    split = argv.index("--") if "--" in argv else len(argv)
    passed = True
    for pair in argv[:split] or ["3.11:2.14.1", "3.12:2.13.0"]:
        python, _, torch = pair.rpartition(":")
        good = check(python, torch, argv[split + 1 :])
        print(f"Python {python}, torch {torch}: {'passed' if good else 'FAILED'}", flush=True)
        passed &= good
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
