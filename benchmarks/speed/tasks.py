"""One epoch of table and of digits beside a plain PyTorch loop with a DataLoader: python -m benchmarks.speed.tasks.

Both sides have the same rows, the same network (ours, deep-copied), batch size, Adam and number of threads, and run in
turn, one warm-up each. Ours is what `train.py` runs: Task.collect and Task.update.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table as RichTable
from torch.utils.data import DataLoader, TensorDataset

from agent_gym.tasks.senses.digits import Digits
from agent_gym.tasks.senses.settings import DigitsConfig
from agent_gym.tasks.tables.settings import TableConfig
from agent_gym.tasks.tables.table import Table
from agent_gym.tasks.task import Task
from benchmarks.learning.airline import write_airline


@dataclass(frozen=True)
class Options:
    """Epochs of tasks against a DataLoader loop."""

    repeats: int = 5
    """Epochs timed on each side."""
    batch_size: int = 64
    """Rows in a minibatch."""
    threads: int = 1
    """CPU threads of torch."""


def our_epoch(task: Task) -> float:
    """Seconds of one epoch of `task`."""
    start, end = time.perf_counter(), task.steps + task.steps_per_epoch
    while task.steps < end:
        task.collect()
        task.update()
    return time.perf_counter() - start


def plain_epoch(model: torch.nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader, loss_fn) -> float:
    """Seconds of one epoch as a tutorial writes it."""
    start = time.perf_counter()
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model.rows(x), y)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def compare(task: Task, loss_fn, options: Options) -> tuple[list[float], list[float]]:
    """Seconds of each timed epoch, ours and the plain loop's."""
    model = copy.deepcopy(task.model)
    loader = DataLoader(TensorDataset(*task.data.train), options.batch_size, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=task.config.learning_rate)
    ours, plain = [], []
    for _ in range(options.repeats + 1):
        ours.append(our_epoch(task))
        plain.append(plain_epoch(model, optimizer, loader, loss_fn))
    return ours[1:], plain[1:]


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    common = {"batch_size": options.batch_size, "epochs": options.repeats + 1, "quiet": True}
    with tempfile.TemporaryDirectory() as folder:
        path = write_airline(Path(folder) / "airline.csv")
        start = time.perf_counter()
        table = Table(TableConfig(data=str(path), target="satisfaction", **common))
        loading = time.perf_counter() - start
    digits = Digits(replace(DigitsConfig(), shift=0, **common))
    report = RichTable("epoch of", "rows", "ours, s", "DataLoader loop, s", "times faster", title="median (min to max)")
    losses = torch.nn.BCEWithLogitsLoss(), torch.nn.CrossEntropyLoss()
    for name, task, loss_fn in zip(("table", "digits"), (table, digits), losses, strict=True):
        ours, plain = compare(task, loss_fn, options)
        cells = [f"{statistics.median(side):.3f} ({min(side):.3f} to {max(side):.3f})" for side in (ours, plain)]
        report.add_row(name, f"{task.rows:,}", *cells, f"{statistics.median(plain) / statistics.median(ours):.1f}")
    console = Console()
    console.print(f"129,880 rows of CSV read, encoded and split in {loading:.1f} s")
    console.print(report)


if __name__ == "__main__":
    main(tyro.cli(Options))
