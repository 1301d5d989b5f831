"""Kills training processes and compares what they leave with runs left alone: python -m benchmarks.torture.

Every kind of run is trained once undisturbed and once killed (SIGKILL) at random moments, about half of them while a
checkpoint is written, and resumed each time. Weights, optimizers, normalisers, replay buffers, generators, episode
statistics, results and TensorBoard's curves of the two must agree to the last bit.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.contents import contents, count, differing
from benchmarks.killing import Kills, event_bytes, killed, left_alone

ON_POLICY = "--total-steps 6144 --num-envs 8 --num-steps 32 --num-epochs 2 --hidden-sizes 16 --checkpoint-every 512"
OFF_POLICY = "--total-steps 1600 --num-envs 2 --hidden-sizes 16 --learning-starts 200 --batch-size 16 --utd 0.5"
OFF_POLICY += " --buffer-size 500 --checkpoint-every 150"  # the buffer wraps: old segments are dropped
AGENT = "--eval-episodes 2 --eval-every 100000 --seed 7"
MEMORY = "--recurrent-size 8"
ATTENTION = "--encoder transformer --attention-size 8 --attention-window 6"
STRETCHES = "--sequence-length 8 --burn-in 4 --batch-size 4"
SEQUENCES = f"{MEMORY} {STRETCHES}"
BOARD = "--env AgentGym/TicTacToe-v0 --encoder mlp --num-envs 8 --num-threads 1"
SELF_PLAY = "--total-steps 1600 --hidden-sizes 16 --simulations 4 --num-steps 4 --batch-size 32 --match-games 2"
SCREEN = '--backend sync --env-kwargs {"max_num_frames_per_episode":240} --encoder cnn --cnn-hidden-sizes 16'

KINDS = {
    "PPO, native": f"ppo --env CartPole-v1 {ON_POLICY}",
    "PPO, normalised, native": f"ppo --env Pendulum-v1 {ON_POLICY} --normalize-obs --normalize-returns --sde-every 4",
    "PPO, sync": f"ppo --env Pendulum-v1 {ON_POLICY} --backend sync",
    "PPO, sync, default interval": f"ppo --env Acrobot-v1 {ON_POLICY.partition(' --checkpoint')[0]} --backend sync",
    "PPO, async": f"ppo --env Pendulum-v1 {ON_POLICY} --num-envs 2 --num-steps 128 --backend async",
    "PPO, MuJoCo, sync": f"ppo --env InvertedPendulum-v5 {ON_POLICY} --backend sync",
    "PPO, EnvPool": f"ppo --env CartPole-v1 {ON_POLICY} --backend envpool",
    "PPO, one vector object": f"ppo --env CartPole-v1 {ON_POLICY} --backend gymnasium",
    "PPO, LSTM, native": f"ppo --env AgentGym/CartPoleNoVel-v1 {ON_POLICY} {MEMORY} --encoder lstm",
    "PPO, GRU, sync": f"ppo --env Acrobot-v1 {ON_POLICY} {MEMORY} --encoder gru --backend sync",
    "PPO, CNN, native": f"ppo --env AgentGym/Snake-v0 {ON_POLICY} --encoder cnn",
    "A2C, native": f"a2c --env CartPole-v1 {ON_POLICY}",
    "PQN, native": f"pqn --env CartPole-v1 {ON_POLICY}",
    "PQN, GRU, sync": f"pqn --env Acrobot-v1 {ON_POLICY} {MEMORY} --encoder gru --backend sync",
    "DQN, prioritised, native": f"dqn --env CartPole-v1 {OFF_POLICY} --prioritized",
    "DQN, prioritised, sync": f"dqn --env Acrobot-v1 {OFF_POLICY} --prioritized --backend sync",
    "DQN, layer norm, native": f"dqn --env Acrobot-v1 {OFF_POLICY} --layer-norm",
    "DQN, CNN, native": f"dqn --env AgentGym/Snake-v0 {OFF_POLICY} --encoder cnn",
    "DQN, stacked frames, sync": f"dqn --env ALE/Pong-v5 {OFF_POLICY} {SCREEN} --total-steps 800",
    "DQN, LSTM, native": f"dqn --env AgentGym/CartPoleNoVel-v1 {OFF_POLICY} {SEQUENCES} --encoder lstm",
    "QR-DQN, native": f"qrdqn --env CartPole-v1 {OFF_POLICY} --quantiles 5",
    "DQN, noisy chances, native": f"dqn --env CartPole-v1 {OFF_POLICY} --noisy --atoms 11 --prioritized",
    "IQN, native": f"dqn --env CartPole-v1 {OFF_POLICY} --quantiles 5 --implicit",
    "SAC, native": f"sac --env Pendulum-v1 {OFF_POLICY}",
    "TQC, native": f"tqc --env Pendulum-v1 {OFF_POLICY}",
    "CrossQ, native": f"crossq --env Pendulum-v1 {OFF_POLICY}",
    "SimBa, sync": f"simba --env Pendulum-v1 {OFF_POLICY} --backend sync",
    "DroQ with resets, native": f"sac --env Pendulum-v1 {OFF_POLICY} --critic droq --reset-every 200",
    "SAC, sync": f"sac --env Pendulum-v1 {OFF_POLICY} --backend sync",
    "SAC, layer norm, native": f"sac --env Pendulum-v1 {OFF_POLICY} --layer-norm",
    "PPO, transformer, native": f"ppo --env AgentGym/TMaze-v0 {ON_POLICY} {ATTENTION}",
    "DQN, transformer, native": f"dqn --env AgentGym/CartPoleNoVel-v1 {OFF_POLICY} {STRETCHES} {ATTENTION}",
    "SAC, GRU, native": f"sac --env AgentGym/PendulumNoVel-v1 {OFF_POLICY} {SEQUENCES} --encoder gru",
    "TD3, native": f"td3 --env Pendulum-v1 {OFF_POLICY} --prioritized",
    "TD3, EnvPool": f"td3 --env Pendulum-v1 {OFF_POLICY} --backend envpool",
    "PPO, many agents in turns": f"ppo --env pettingzoo.classic:connect_four_v3 {ON_POLICY} --total-steps 2048",
    "PPO, many agents, central value": f"ppo --env mpe2:simple_tag_v3 {ON_POLICY} --central-value --total-steps 2048",
    "PPO, against itself": f"ppo {ON_POLICY} {BOARD} --self-play --self-play-every 2",
    "AlphaZero": f"alphazero {BOARD} {SELF_PLAY} --checkpoint-every 160 --resign 0.9",
    "iris": "iris --epochs 60 --checkpoint-every 4",
    "digits": "digits --epochs 20 --checkpoint-every 1",
}


def flags(kind: str) -> list[str]:
    """What `train.py` gets for a kind of run."""
    return KINDS[kind].split() + (AGENT.split() if "--env" in KINDS[kind] else ["--seed", "7"])


@dataclass
class Outcome:
    """What became of one kind."""

    kills: Kills
    values: int
    """Numbers that were compared."""
    differing: list[str]
    """Names of those that differ."""


def torture(kind: str, folder: Path, kills: int, rng: random.Random, rounds: int = 1) -> Outcome:
    """Compare a run left alone with `rounds` runs killed about `kills` times each. Raises RuntimeError."""
    left_alone(flags(kind), folder / "alone")
    alone = contents(folder / "alone")
    outcome = Outcome(Kills(), 0, [])
    for number in range(rounds):
        run = folder / f"killed-{number}"
        news = killed(flags(kind), run, kills, event_bytes(folder / "alone"), rng)
        other = contents(run)
        outcome.kills.count += news.count
        outcome.kills.inside_a_save += news.inside_a_save
        outcome.values += count(alone)
        outcome.differing += [f"{run.name}{name}" for name in differing(alone, other)]
    return outcome


@dataclass(frozen=True)
class Options:
    """Kill training processes and compare what they leave."""

    kinds: tuple[str, ...] = ()
    """Kinds of runs, by a part of their name; empty: all."""
    kills: int = 3
    """Kills of each run."""
    rounds: int = 2
    """Killed runs of each kind."""
    seed: int = 0
    """Seed of the moments."""
    keep: Path | None = None
    """Folder for the runs; without it they are deleted."""


def main(options: Options) -> int:
    chosen = [kind for kind in KINDS if not options.kinds or any(part in kind for part in options.kinds)]
    if not find_spec("envpool"):
        chosen = [kind for kind in chosen if "EnvPool" not in kind]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    base = options.keep or Path(tempfile.mkdtemp())
    console, started = Console(highlight=False), time.perf_counter()
    outcomes: dict[str, Outcome] = {}
    for number, kind in enumerate(chosen):
        folder = base / f"{number:02d}"
        folder.mkdir(parents=True)
        try:
            outcomes[kind] = torture(
                kind, folder, options.kills, random.Random(f"{options.seed} {kind}"), options.rounds
            )
        except (RuntimeError, ValueError, OSError) as error:
            outcomes[kind] = Outcome(Kills(), 0, [f"{type(error).__name__}: {error}"])
        done = outcomes[kind]
        console.print(
            f"{kind}: {done.kills.count} kills, {len(done.differing)} differences {done.differing[:10] or ''}"
        )
    if options.keep is None:
        shutil.rmtree(base)
    console.print(table(outcomes))
    console.print(
        f"{sum(done.kills.count for done in outcomes.values())} kills in {time.perf_counter() - started:.0f} s"
    )
    return int(any(done.differing for done in outcomes.values()))


def table(outcomes: dict[str, Outcome]) -> Table:
    shown = Table("kind of run", title="killed runs against runs left alone")
    for column in ("kills", "inside a save", "values compared", "differences"):
        shown.add_column(column, justify="right")
    for kind, done in outcomes.items():
        cells = (done.kills.count, done.kills.inside_a_save, done.values, len(done.differing))
        shown.add_row(kind, *(f"{cell:,}" for cell in cells))
    return shown


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
