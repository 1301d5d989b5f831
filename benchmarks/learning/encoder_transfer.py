"""Does an encoder trained on labels help an agent? python -m benchmarks.learning.encoder_transfer

PPO walks along handwritten numbers (digit_walk.py) three times a seed: from random weights, from the encoder of
`train.py digits`, and with that encoder kept as it is. Same flags otherwise; all runs lie in one folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train

NETWORK = ("--conv-layers", "16", "3", "2", "1", "8", "3", "2", "1", "--cnn-hidden-sizes", "30", "20")
SETTINGS = ("--share-encoder", "no", "--learning-rate", "3e-3", "--num-epochs", "4", "--gamma", "0.9")
WAYS = {
    "random weights": (),
    "digits' encoder": ("--encoder-from", "{digits}"),
    "digits' encoder, frozen": ("--encoder-from", "{digits}", "--freeze-encoder"),
}


@dataclass(frozen=True)
class Options:
    """Curves of an agent with and without an encoder that has learned from labels."""

    folder: Path = Path("runs/encoder-transfer")
    """Where the runs go."""
    seeds: int = 3
    """Runs of each way."""
    first_seed: int = 1
    """Seed of the first run of each way."""
    total_steps: int = 16_384
    """Environment steps of each run."""
    plot: str = ""
    """Write the curves to this image too."""


def curve(run: Path, marks: np.ndarray) -> np.ndarray:
    """The mean return of 10 deterministic episodes at the steps `marks`, between evaluations linearly."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload().Scalars("eval/episode_return")
    return np.interp(marks, [e.step for e in events], [e.value for e in events])


def main(options: Options) -> None:
    digits = options.folder / "digits"
    if not digits.exists():
        require(train.main(["digits", "--quiet", "--run-dir", str(digits)]))
    marks = np.linspace(0, options.total_steps, 9)[1:]
    curves = {}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for number, (way, flags) in enumerate(WAYS.items()):
            path = options.folder / f"{number}-{seed}"
            steps = ("--env", "benchmarks.learning.digit_walk:DigitWalk-v0", "--total-steps", str(options.total_steps))
            steps += ("--eval-every", str(options.total_steps // 8), "--eval-episodes", "50")
            own = [flag.format(digits=digits) for flag in flags]
            require(
                train.main(
                    ["ppo", *steps, *NETWORK, *SETTINGS, *own, "--seed", str(seed), "--run-dir", str(path), "--quiet"]
                )
            )
            curves.setdefault(way, []).append(curve(path, marks))
    table = Table("mean return at step", *(f"{int(mark):,}" for mark in marks), title=f"{options.seeds} seeds")
    for way, rows in curves.items():
        cells = zip(np.mean(rows, 0), np.std(rows, 0), strict=True)
        table.add_row(way, *(f"{mean:.1f} ± {std:.1f}" for mean, std in cells))
    Console(width=160).print(table)
    if options.plot:
        draw(curves, marks, options.plot)


def require(code: int) -> None:
    if code:
        raise SystemExit(code)


def draw(curves: dict[str, list[np.ndarray]], marks: np.ndarray, path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for way, rows in curves.items():
        axes.plot(marks, np.mean(rows, 0), ".-", label=way)
        axes.fill_between(marks, np.min(rows, 0), np.max(rows, 0), alpha=0.2)
    axes.set(xlabel="environment steps", ylabel="return of evaluation episodes")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main(tyro.cli(Options))
