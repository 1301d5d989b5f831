"""How fast native CartPole steps and PPO trains on it.

python -m benchmarks.speed.native                 stepping: native, Gymnasium's NumPy vector version, EnvPool
python -m benchmarks.speed.native --train         PPO with 1,024 environments: training steps per second, score
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import gymnasium
import numpy as np
import torch

from agent_gym.agents import agent_class, config_class
from agent_gym.envs.make import make_env, scoring_backend
from agent_gym.ground.settings import EVAL_SEED
from agent_gym.training.evaluation import play

ENV = "CartPole-v1"
TRAINING = {
    "num_steps": 32,
    "num_epochs": 1,
    "num_minibatches": 16,
    "learning_rate": 4e-3,
    "normalize_returns": True,
}


@torch.inference_mode()  # as agents step
def stepping(num_envs: int, repeats: int, seconds: float) -> None:
    """Steps per second of native and of each other one, the two measured in turn `repeats` times; medians."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 2, num_envs) for _ in range(64)]
    tensors = [torch.from_numpy(array) for array in arrays]
    native = make_env(ENV, num_envs, backend="native")
    for name, make in OTHERS.items():
        other = make(num_envs)
        other.reset()
        own, theirs = [], []
        for _ in range(repeats):
            own.append(num_envs * steps_per_second(native.step, tensors, seconds))
            theirs.append(num_envs * steps_per_second(other.step, arrays, seconds))
        own_rate, their_rate = statistics.median(own), statistics.median(theirs)
        print(f"native {own_rate / 1e6:6.2f}M steps/s, {name} {their_rate / 1e6:6.2f}M: ", end="")
        print(f"{own_rate / their_rate:.2f} times as fast", flush=True)
        other.close()


def steps_per_second(step: Callable, actions: list, seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for action in actions:
            step(action)
        count += len(actions)
    return count / (time.perf_counter() - start)


def make_envpool(num_envs: int):
    import envpool

    return envpool.make_gymnasium(ENV, num_envs=num_envs)


OTHERS = {
    "Gymnasium's vector entry point": lambda num_envs: gymnasium.make_vec(ENV, num_envs, "vector_entry_point"),
    "EnvPool": make_envpool,
}


def training(num_envs: int, total_steps: int, seeds: int, overrides: dict) -> None:
    """PPO's collect and update alone: no logging, evaluation or checkpoints; then the score of 100 episodes."""
    for seed in range(seeds):
        settings = TRAINING | {"env": ENV, "num_envs": num_envs, "total_steps": total_steps, "seed": seed} | overrides
        config = config_class("ppo")(**settings)
        torch.manual_seed(seed)
        env = make_env(ENV, num_envs, seed=seed)
        agent = agent_class("ppo")(config, env, "cpu")
        agent.begin()
        collecting, start, cpu_start = 0.0, time.perf_counter(), time.process_time()
        while agent.steps < total_steps:
            begun = time.perf_counter()
            agent.collect()
            collecting += time.perf_counter() - begun
            agent.update()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        scoring = make_env(ENV, 25, backend=scoring_backend(ENV))
        score = play(agent.policy, scoring, 100, seed=EVAL_SEED).returns.mean()
        parts = f"{seconds:.2f} s, {collecting / seconds:.0%} of it collecting, {cpu_seconds:.2f} s of CPU time"
        print(f"seed {seed}: {agent.steps / seconds:9,.0f} steps/s ({parts}), return {score:.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    parser.add_argument("--total-steps", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER", help="other PPO settings")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.train:
        numbers = (part.split("=") for part in args.set)
        overrides = {name: float(value) if "." in value or "e" in value else int(value) for name, value in numbers}
        training(args.num_envs, args.total_steps, args.seeds, overrides)
    else:
        stepping(args.num_envs, args.repeats, args.seconds)


if __name__ == "__main__":
    main()
