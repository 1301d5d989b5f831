"""Healthy and sick curves of each agent, for docs/agents: python -m benchmarks.curves [AGENT ...]."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import agent_gym

OUT = Path(__file__).parent.parent / "docs" / "images"


class Pair(NamedTuple):
    """Two runs that differ in one setting."""

    cls: str
    env: str
    steps: int
    common: dict[str, Any]
    sick: dict[str, Any]
    tags: tuple[str, ...]


SMALL = {"hidden_sizes": (64, 64), "batch_size": 64, "learning_starts": 200, "learning_rate": 2e-3}
PAIRS = {
    "ppo": Pair(
        *("PPO", "CartPole-v1", 100_000, {}, {"learning_rate": 0.3}),
        ("rollout/episode_return", "train/approx_kl", "train/entropy"),
    ),
    "a2c": Pair(
        *("A2C", "CartPole-v1", 40_000, {"learning_rate": 2e-3}, {"num_steps": 1, "num_envs": 1}),
        ("rollout/episode_return", "train/explained_variance", "train/entropy"),
    ),
    "dqn": Pair(
        *("DQN", "CartPole-v1", 30_000, {}, {"target_every": 1, "learning_rate": 0.1}),
        ("rollout/episode_return", "train/q_mean", "train/q_loss"),
    ),
    "qrdqn": Pair(
        *("QRDQN", "CartPole-v1", 20_000, {"num_envs": 4, "train_every": 4, "utd": 0.5}, {"gamma": 0.5}),
        ("rollout/episode_return", "train/q_mean", "train/q_loss"),
    ),
    "sac": Pair(
        *("SAC", "Pendulum-v1", 6_000, {}, {"alpha": 20.0}),
        ("rollout/episode_return", "train/alpha", "train/entropy"),
    ),
    "td3": Pair(
        *("TD3", "Pendulum-v1", 6_000, {}, {"exploration_noise": 0.0, "learning_starts": 100}),
        ("rollout/episode_return", "train/q_mean", "train/policy_loss"),
    ),
    "ddpg": Pair(
        *("DDPG", "Pendulum-v1", 6_000, {}, {"tau": 1.0}),
        ("rollout/episode_return", "train/q_mean", "train/q_loss"),
    ),
    "pqn": Pair(
        *("PQN", "CartPole-v1", 80_000, {}, {"gamma": 0.5}),
        ("rollout/episode_return", "train/q_mean", "train/q_loss"),
    ),
    "tqc": Pair(
        *("TQC", "Pendulum-v1", 5_000, SMALL, {"drop_atoms": 24}),
        ("rollout/episode_return", "train/q_mean", "train/q_loss"),
    ),
    "crossq": Pair(
        *("CrossQ", "Pendulum-v1", 5_000, SMALL, {"learning_rate": 0.1}),
        ("rollout/episode_return", "train/q_mean", "train/q_loss"),
    ),
    "simba": Pair(
        *("Simba", "Pendulum-v1", 5_000, SMALL, {"gamma": 0.5}),
        ("rollout/episode_return", "train/q_mean", "train/q_loss"),
    ),
}


def main(names: list[str]) -> None:
    for name in names or PAIRS:
        pair = PAIRS[name]
        cls = getattr(agent_gym, pair.cls)
        figure = Figure(figsize=(11, 3), layout="constrained", dpi=90)
        axes = figure.subplots(1, len(pair.tags))
        with tempfile.TemporaryDirectory() as folder:
            for label, settings in (("healthy", {}), ("sick", pair.sick)):
                agent = cls(pair.env, seed=0, quiet=True, eval_episodes=5, num_threads=1, **(pair.common | settings))
                agent.learn(pair.steps, run_dir=f"{folder}/{label}")
                events = EventAccumulator(f"{folder}/{label}").Reload()
                for axis, tag in zip(axes, pair.tags, strict=True):
                    if tag in events.Tags()["scalars"]:
                        points = events.Scalars(tag)
                        axis.plot([p.step for p in points], [p.value for p in points], label=label)
        for axis, tag in zip(axes, pair.tags, strict=True):
            axis.set_title(tag, fontsize=9)
        axes[0].legend()
        figure.savefig(OUT / f"{name}.png")
        print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
