"""An epoch of the smallest tables beside scikit-learn's networks: python -m benchmarks.speed.tiny_tables.

Both sides have the same rows, hidden layer, batch size, Adam and one thread, and run in turn; what counts is the
processor's time, which others on the machine change little. Ours is what `train.py` runs: Task.collect and Task.update.
"""

from __future__ import annotations

import statistics
import time
import warnings
from dataclasses import dataclass, replace

import torch
import tyro
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from agent_gym.tasks import config_class, task_class
from agent_gym.tasks.task import Task

TABLES = {"iris": MLPClassifier, "breast-cancer": MLPClassifier, "diabetes": MLPRegressor}


@dataclass(frozen=True)
class Options:
    """Epochs of tiny tables against scikit-learn's."""

    repeats: int = 9
    """Timings of each side."""
    epochs: int = 10
    """In each timing."""


def ours(task: Task, epochs: int) -> float:
    """Seconds of processor time an epoch."""
    start, end = time.process_time(), task.steps + epochs * task.steps_per_epoch
    while task.steps < end:
        task.collect()
        task.update()
    return (time.process_time() - start) / epochs


def theirs(network: MLPClassifier | MLPRegressor, x, y, epochs: int) -> float:
    """The same of a fit from the start."""
    start = time.process_time()
    network.fit(x, y)
    return (time.process_time() - start) / epochs


def shown(seconds: list[float]) -> str:
    return f"{1e3 * statistics.median(seconds):.2f} ms ({1e3 * min(seconds):.2f} to {1e3 * max(seconds):.2f})"


def main(options: Options) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name, kind in TABLES.items():
        config = replace(config_class(name)(), epochs=(options.repeats + 1) * options.epochs, quiet=True)
        task = task_class(name)(config)
        x, y = task.data.train.x.numpy(), task.data.train.y.numpy().ravel()
        network = kind(
            hidden_layer_sizes=config.hidden_sizes,
            batch_size=config.batch_size,
            learning_rate_init=config.learning_rate,
            alpha=config.weight_decay,
            max_iter=options.epochs,
            tol=0.0,
            n_iter_no_change=options.epochs + 1,
        )
        times = [
            (ours(task, options.epochs), theirs(network, x, y, options.epochs)) for _ in range(options.repeats + 1)
        ]
        our_times, their_times = (list(side) for side in zip(*times[1:], strict=True))
        print(f"{name:14} {task.rows:4} rows   ours {shown(our_times)}   scikit-learn {shown(their_times)}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options))
