"""DAgger beside behaviour cloning: python -m benchmarks.learning.dagger RUN [--labels 1000 4000] [--seeds 0 1 2].

RUN is an expert. Both get so many of its answers: cloning those of whole episodes of the expert's (the last may exceed
the number), DAgger those for the states that it meets itself. As many updates of one network; the last weights play 50
episodes of other seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from agent_gym import BC, DAgger
from agent_gym.commands.playing.record import main as record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--labels", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    env = json.loads((options.run / "config.json").read_text())["env"]
    common = {"quiet": True, "num_threads": 1, "eval_every": "never", "hidden_sizes": (128, 128), "batch_size": 128}
    for seed in options.seeds:
        for labels in options.labels:
            with tempfile.TemporaryDirectory() as folder:
                name, steps = recorded(options.run, labels, seed, Path(folder) / "sets")
                clone = BC(env, data=name, seed=seed, **common).learn(options.updates, run_dir=Path(folder) / "bc")
                rate = {"num_envs": 1, "train_every": 50, "utd": options.updates / labels}  # whole episodes
                taught = DAgger(env, teacher=str(options.run), seed=seed, buffer_size=10 * labels, **rate, **common)
                taught.learn(labels, run_dir=Path(folder) / "dagger")
                scores = [agent.evaluate(episodes=50)["return_mean"] for agent in (clone, taught)]
            print(
                f"RESULT seed {seed}, {labels} answers ({steps} of the clone's): bc {scores[0]:.1f}, "
                f"dagger {scores[1]:.1f}",
                flush=True,
            )


def recorded(run: Path, labels: int, seed: int, folder: Path) -> tuple[str, int]:
    """A set of as many episodes as hold so many steps, and how many they hold."""
    import minari

    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    episodes = 1
    while True:
        name = f"few/e{episodes}-v0"
        if record([str(run), "--episodes", str(episodes), "--dataset", name, "--seed", str(1000 * (seed + 1))]):
            raise SystemExit("nothing could be recorded")
        steps = int(minari.load_dataset(name).total_steps)
        if steps >= labels:
            return f"minari:{name}", steps
        episodes += max(1, (labels - steps) * episodes // (2 * steps))  # not past it


if __name__ == "__main__":
    main()
