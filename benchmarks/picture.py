"""The README's picture: an agent at work beside its curves. python -m benchmarks.picture RUN OUT.png"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import imageio.v3 as imageio
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent_gym import load

CURVES = {"rollout/episode_return": "training", "eval/episode_return": "evaluation"}


def main(run: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        film = load(run).record(Path(folder) / "x.gif")
        frames = list(imageio.imiter(film))
    events = EventAccumulator(str(run)).Reload()
    figure = Figure(figsize=(9.6, 3.6), layout="constrained", dpi=100)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    left.imshow(frames[len(frames) // 3])
    left.axis("off")
    for tag, label in CURVES.items():
        points = events.Scalars(tag)
        right.plot([p.step for p in points], [p.value for p in points], label=label)
    right.set_xlabel("environment steps")
    right.set_ylabel("episode return")
    right.legend()
    figure.savefig(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
