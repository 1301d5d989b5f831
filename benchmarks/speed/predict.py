"""One action for one observation, beside Stable-Baselines3: python -m benchmarks.speed.predict."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from stable_baselines3 import PPO as TheirPPO

from agent_gym import PPO

ROUNDS, CALLS = 15, 1000


def microseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - started) / CALLS * 1e6


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ours = PPO("CartPole-v1", hidden_sizes=(64, 64), quiet=True, eval_episodes=1, num_threads=1)
        ours.learn(512, run_dir=f"{folder}/x")
    theirs = TheirPPO("MlpPolicy", "CartPole-v1", device="cpu")  # 64-64 as well
    obs = np.zeros(4, np.float32)
    sides = (lambda: ours.predict(obs), lambda: theirs.predict(obs, deterministic=True))
    for side in sides:
        microseconds(side)
    pairs = [tuple(microseconds(side) for side in sides) for _ in range(ROUNDS)]  # alternating
    ratios = sorted(there / here for here, there in pairs)
    print(
        f"agent_gym {median(here for here, _ in pairs):.0f} µs, Stable-Baselines3 {median(t for _, t in pairs):.0f} µs"
    )
    print(
        f"{median(ratios):.1f} times as fast ({ratios[0]:.1f} to {ratios[-1]:.1f} over {ROUNDS} pairs of {CALLS} calls)"
    )


if __name__ == "__main__":
    main()
