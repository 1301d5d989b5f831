"""PPO from a clone beside PPO alone: python -m benchmarks.learning.head_start RUN [--episodes 3] [--threshold 242].

RUN is an expert. A few of its episodes are recorded and cloned; then PPO trains with and without the clone's weights,
with the same preset, until an evaluation of 20 episodes reaches the threshold. Shown are the environment steps.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from agent_gym import BC, PPO
from agent_gym.commands.playing.record import main as record


class UntilReached:
    """Ends a run whose evaluation reaches the threshold."""

    def __init__(self, threshold: float) -> None:
        self.threshold, self.at = threshold, 0

    def on_evaluation(self, view) -> None:
        score = view.scalars["eval/episode_return"]
        print(f"    {view.steps:>9,} {score:8.1f}", flush=True)
        if score >= self.threshold and not self.at:
            self.at = view.steps
            view.stop()


def steps_to(threshold: float, env: str, options: argparse.Namespace, run_dir: Path, **settings) -> int:
    """Environment steps until an evaluation reaches the threshold; 0: never."""
    reached = UntilReached(threshold)
    settings |= {"eval_every": options.every, "periodic_eval_episodes": 20, "quiet": True, "num_threads": 1}
    agent = PPO(env, **settings)
    agent.learn(options.steps or None, run_dir=run_dir, callbacks=[reached])
    return reached.at


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--episodes", type=int, default=3)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--threshold", type=float, default=242.0)
    parser.add_argument("--every", type=int, default=16_384, help="steps between evaluations")
    parser.add_argument("--steps", type=int, default=0, help="of PPO at most; 0: the preset's")
    parser.add_argument("--learning-rate", type=float, default=0.0, help="of PPO from the clone; 0: the preset's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    config = json.loads((options.run / "config.json").read_text())
    env, shape = config["env"], {name: config[name] for name in ("hidden_sizes", "activation")}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            name = Path(folder) / "set"
            data = recorded(options, name, seed)
            common = {"quiet": True, "num_threads": 1, "seed": seed, "eval_every": "never"}
            shape |= {"hidden_sizes": tuple(shape["hidden_sizes"])}
            clone = BC(env, data=data, normalize_obs=False, **shape, **common)
            clone.learn(options.updates, run_dir=Path(folder) / "clone")
            score = clone.evaluate(episodes=20)["return_mean"]
            print(f"seed {seed}: a clone of {options.episodes} episodes scores {score:.1f}", flush=True)
            own = {"learning_rate": options.learning_rate} if options.learning_rate else {}
            start = str(Path(folder) / "clone")
            helped = steps_to(options.threshold, env, options, Path(folder) / "b", seed=seed, start_from=start, **own)
            alone = steps_to(options.threshold, env, options, Path(folder) / "a", seed=seed)
        print(f"seed {seed}: from the clone {helped:,} steps, alone {alone:,}", flush=True)


def recorded(options: argparse.Namespace, folder: Path, seed: int) -> str:
    import os

    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    flags = ["--episodes", str(options.episodes), "--dataset", "head/start-v0", "--seed", str(1000 + 100 * seed)]
    if record([str(options.run), *flags]):
        raise SystemExit("nothing could be recorded")
    return "minari:head/start-v0"


if __name__ == "__main__":
    main()
