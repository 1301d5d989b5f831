"""How long `python train.py` takes beside what it must: python -m benchmarks.speed.quick_start."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
ROUNDS = 5


def seconds(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    rows = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            torch = seconds("-c", "import torch")
            helped = seconds("train.py", "ppo", "--help")
            whole = seconds("train.py", "--run-dir", f"{folder}/x", "--quiet")
            training = json.loads((Path(folder) / "x" / "result.json").read_text())["wall_time"]
        rows.append((torch, helped, whole, training, whole / (torch + training)))
    names = ("import torch", "train.py ppo --help", "train.py", "of it training", "train.py / (torch + training)")
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        print(f"{name:<30} {median(values):6.2f}   ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
