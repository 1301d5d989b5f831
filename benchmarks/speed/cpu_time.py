"""Processor time of an environment step, learning included, ours and Stable-Baselines3's in turn in one process.

python -m benchmarks.speed.cpu_time sac td3 dqn       at Stable-Baselines3's defaults, one environment each, one thread

For machines that others share: wall-clock time says little there, the time on the processor still does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import gymnasium
import torch

from agent_gym.agents import agent_class, config_class
from agent_gym.envs.make import make_env
from benchmarks.matching import defaults, matched

ALGOS = {"sac": ("SAC", "Pendulum-v1"), "td3": ("TD3", "Pendulum-v1"), "dqn": ("DQN", "CartPole-v1")}
START = 200


def ours(agent: str, env_id: str, native: dict, warm: int, **more: Any):
    config = config_class(agent)(env=env_id, **(native | {"total_steps": 10_000_000, "learning_starts": START} | more))
    torch.manual_seed(0)
    made = agent_class(agent)(config, make_env(env_id, config.num_envs, training=True), "cpu")
    made.begin()

    def run(steps: int) -> None:
        end = made.steps + steps
        while made.steps < end:
            made.collect()
            made.update()

    run(START + warm)
    return run


def theirs(algo: str, env_id: str, sb3: dict):
    import stable_baselines3

    kwargs = {name: value for name, value in sb3.items() if name not in ("n_timesteps", "n_envs", "policy")}
    kwargs |= {"learning_starts": START, "verbose": 0, "device": "cpu", "seed": 0}
    model = getattr(stable_baselines3, algo)("MlpPolicy", gymnasium.make(env_id), **kwargs)
    model.learn(START + 100)
    return lambda steps: model.learn(steps, reset_num_timesteps=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", nargs="+", choices=ALGOS)
    parser.add_argument("--steps", type=int, default=300, help="in each turn")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for agent in args.agents:
        algo, env_id = ALGOS[agent]
        env = gymnasium.make(env_id)
        native, sb3, notes = matched(agent, "", defaults(algo, 100_000), env.action_space)
        for note in notes:
            print(f"  {note}")
        warm = 520  # updates, after which ours are traced
        sides = {
            "ours": ours(agent, env_id, native, warm),
            "ours, bf16": ours(agent, env_id, native, warm, precision="bf16"),
            algo: theirs(algo, env_id, sb3),
        }
        found: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(args.turns):
            for name, run in sides.items():
                start = time.process_time()
                run(args.steps)
                found[name].append(1e3 * (time.process_time() - start) / args.steps)
        base = found[algo]
        for name, times in found.items():
            ratios = [b / t for b, t in zip(base, times, strict=True)]
            print(
                f"{agent:4} {env_id:12} {name:11} {statistics.median(times):7.2f} ms a step "
                f"({min(times):.2f} to {max(times):.2f}), {statistics.median(ratios):.2f} times as fast "
                f"({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
