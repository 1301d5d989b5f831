"""What is learned from recorded sets: python -m benchmarks.learning.offline RUN [--agents bc iql] [--updates 10000].

RUN is a trained agent. Sets are recorded in its environment (once, under $MINARI_DATASETS_PATH): what random actions
do, what the agent does with half of its actions random (medium), what it does (expert), what it does with drawn actions
(drawn), the first three together (mixed), and five of its episodes among random and medium ones (scarce). Each agent
learns from each set without a look at the environment; its last weights play 50 episodes of other seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

FEW = 5  # episodes
PLAYED: dict[str, tuple] = {  # set: who plays (None: the run) and how
    "random": ("random",),
    "medium": (None, "--random-share", 0.5),
    "expert": (None,),
    "drawn": (None, "--stochastic"),
    "few": (None,),
}
MIXED = {"mixed": ("random", "medium", "expert"), "scarce": ("random", "medium", "few")}


def command(*arguments: object) -> None:
    """Run the command; its own line of error ends this program."""
    line = [sys.executable, "-m", "agent_gym", *map(str, arguments)]
    done = subprocess.run(line, check=False, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(line)}")


def folder(env: str, name: str) -> Path:
    return Path(os.environ["MINARI_DATASETS_PATH"]) / env / f"{name}-v0"


def make_sets(run: Path, env: str, name: str, episodes: int, wanted: list[str]) -> None:
    """Record what is not there yet."""
    needed = {part for kind in wanted for part in MIXED.get(kind, (kind,))}
    for seed, (kind, (player, *flags)) in enumerate(PLAYED.items()):
        if kind in needed and not folder(name, kind).exists():
            how = (*flags, "--episodes", FEW if kind == "few" else episodes, "--seed", 1000 * seed)
            who = (run,) if player is None else (player, "--env", env)
            command("record", *who, *how, "--dataset", f"{name}/{kind}-v0")
    for kind in MIXED.keys() & set(wanted):
        if not folder(name, kind).exists():
            from minari import combine_datasets, load_dataset

            parts = [load_dataset(f"{name}/{part}-v0") for part in MIXED[kind]]
            combine_datasets(parts, f"{name}/{kind}-v0")


def mean_return(name: str, kind: str) -> float:
    """The mean return of a set's episodes."""
    from minari import load_dataset

    return float(np.mean([episode.rewards.sum() for episode in load_dataset(f"{name}/{kind}-v0")]))


def learn(agent: str, flags: list[str], name: str, kind: str, options: argparse.Namespace, seed: int) -> float:
    run = options.out / f"{name}-{agent}{''.join(flags)}-{kind}-{seed}"
    if not (run / "result.json").exists():
        sizes = ("--hidden-sizes", *options.hidden_sizes)
        common = ("--total-steps", options.updates, "--eval-every", "never", "--eval-episodes", 50, "--num-threads", 1)
        where = ("--data", f"minari:{name}/{kind}-v0", "--run-dir", run, "--seed", seed, "--device", options.device)
        command("train", agent, *flags, *sizes, *common, *where, "--quiet")
    return json.loads((run / "result.json").read_text())["return_mean"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--agents", nargs="+", default=["bc", "iql", "cql"], help='"dqn --conservative 1" for flags')
    parser.add_argument("--sets", nargs="+", default=["expert", "mixed"], choices=[*PLAYED, *MIXED])
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--hidden-sizes", nargs="+", type=int, default=[64, 64])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--out", type=Path, default=Path("runs/offline"))
    options = parser.parse_args()
    env = json.loads((options.run / "config.json").read_text())["env"]
    name = env.partition("-v")[0].replace("/", "-")
    make_sets(options.run, env, name, options.episodes, options.sets)
    print(f"{'agent':<24}" + "".join(f"{kind:>16}" for kind in options.sets))
    print(
        f"{'(the set itself)':<24}" + "".join(f"{mean_return(name, kind):>16.1f}" for kind in options.sets), flush=True
    )
    cells = [(text, kind, seed) for text in options.agents for kind in options.sets for seed in options.seeds]
    with ThreadPoolExecutor(options.jobs) as pool:

        def score(cell: tuple) -> float:
            text, kind, seed = cell
            agent, *flags = text.split()
            return learn(agent, flags, name, kind, options, seed)

        scores = dict(zip(cells, pool.map(score, cells), strict=True))
    for text in options.agents:
        means = [np.mean([scores[text, kind, seed] for seed in options.seeds]) for kind in options.sets]
        print(f"{text:<24}" + "".join(f"{mean:>16.1f}" for mean in means))


if __name__ == "__main__":
    main()
