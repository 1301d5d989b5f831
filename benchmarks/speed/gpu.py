"""Everything worth knowing of a GPU in one go of at most eight minutes: python -m benchmarks.speed.gpu

Updates as they are written against graphs, for every agent; native CartPole with 16,384 environments; acting and
learning step by step in HalfCheetah and Breakout (stand-ins of their shapes where they are not installed); peak memory;
whether the GPU agrees with the CPU; what --device auto makes of it. Rows come as they are measured. Without a GPU it
says so; --device cpu goes through it all on the CPU with a tenth of the work, to see that it runs.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents import agent_class, config_class
from agent_gym.composing.cost import cost
from agent_gym.envs.adapters.arrays import ArrayVectorEnv
from agent_gym.envs.adapters.singles import Batch
from agent_gym.envs.make import make_env
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_map
from agent_gym.training.device import exact_arithmetic

FRAMES = spaces.Box(0, 255, (4, 84, 84), np.uint8)
CHEETAH = spaces.Box(-np.inf, np.inf, (17,), np.float64), spaces.Box(-1.0, 1.0, (6,), np.float32)
WIDE = {"hidden_sizes": (256, 256)}
REPLAY = {"learning_starts": 300, "buffer_size": 100_000, "batch_size": 256}
AGENTS: dict[str, tuple[str, str, dict]] = {
    "ppo 64-64, 256 rows": ("ppo", "CartPole-v1", {"num_envs": 8, "num_steps": 128}),
    "ppo 64-64, 65,536 rows": ("ppo", "CartPole-v1", {"num_envs": 8192, "num_steps": 32}),
    "ppo lstm": ("ppo", "CartPole-v1", {"encoder": "lstm", "num_envs": 64, "num_steps": 32}),
    "ppo gru": ("ppo", "CartPole-v1", {"encoder": "gru", "num_envs": 64, "num_steps": 32}),
    "ppo images, 256 rows": ("ppo", "frames", {"num_envs": 8, "num_steps": 128}),
    "a2c": ("a2c", "CartPole-v1", {"num_envs": 8}),
    "dqn": ("dqn", "CartPole-v1", REPLAY | WIDE),
    "dqn by priority": ("dqn", "CartPole-v1", REPLAY | WIDE | {"prioritized": True}),
    "qrdqn": ("qrdqn", "CartPole-v1", REPLAY | WIDE),
    "dqn images": ("dqn", "frames", REPLAY | {"batch_size": 32, "buffer_size": 5_000}),
    "sac": ("sac", "cheetah", REPLAY),
    "td3": ("td3", "cheetah", REPLAY),
    "ddpg": ("ddpg", "cheetah", REPLAY),
    "alphazero": ("alphazero", "AgentGym/ConnectFour-v0", {"num_envs": 64, "simulations": 8}),
}
# What LeanRL's README gives for an H100: PPO in Breakout with 8 environments, PPO, SAC and TD3 in HalfCheetah with one.
LEANRL: dict[str, tuple[str, str, dict, float]] = {
    "ppo, Breakout": (
        "ppo",
        "ALE/Breakout-v5",
        {"num_envs": 8, "num_steps": 128, "num_epochs": 4, "num_minibatches": 4, "entropy_coef": 0.01},
        6800.0,
    ),
    "ppo, HalfCheetah": (
        "ppo",
        "HalfCheetah-v5",
        {"num_envs": 1, "num_steps": 2048, "num_epochs": 10, "num_minibatches": 32}
        | {"normalize_obs": True, "normalize_returns": True},
        1800.0,
    ),
    "sac, HalfCheetah": ("sac", "HalfCheetah-v5", REPLAY | {"learning_starts": 600}, 725.0),
    "td3, HalfCheetah": ("td3", "HalfCheetah-v5", REPLAY | {"learning_starts": 600}, 936.0),
}


class Still(ArrayVectorEnv):
    """A stand-in: random observations of a space, no work, an episode in every thousand steps."""

    backend = "stand-in"
    whole = False

    def __init__(self, name: str, obs_space, action_space, num_envs: int, device: torch.device) -> None:
        super().__init__(name, obs_space, action_space, num_envs, device)
        rng = np.random.default_rng(0)
        leaf = self.layout.leaves[0]
        shape = (64, num_envs, *leaf.shape)
        whole = leaf.dtype.kind == "u"
        self.pool = rng.integers(0, 256, shape, np.uint8) if whole else rng.standard_normal(shape).astype(leaf.dtype)
        self.frame_stack = 4 if whole else 1
        self.record = None

    def _reset(self, seeds, obs):
        obs[0][:] = self.pool[0]
        return []

    def _replace(self, rows, seeds, obs):
        return []

    def _step(self, action):
        obs = [self.pool[self.steps % 64].copy()]
        end = np.full(self.num_envs, self.steps % 1000 == 0)
        reward = np.ones(self.num_envs, np.float32)
        return Batch(obs, reward, np.zeros_like(end), end, [obs[0].copy()] if end.any() else obs), []


def environments(env_id: str, num_envs: int, device: torch.device) -> VectorEnv:
    """By id, or a stand-in where it is not installed."""
    stand_ins = {"frames": (FRAMES, spaces.Discrete(4)), "cheetah": CHEETAH}
    if env_id in stand_ins:
        return Still(env_id, *stand_ins[env_id], num_envs, torch.device("cpu"))
    try:
        env = make_env(env_id, num_envs, training=True)
        if env.backend == "native":
            env.move(device)
        return env
    except UserError as error:
        print(f"  ({str(error)[:90]}: a stand-in of its shape)", flush=True)
        return environments("frames" if "ALE" in env_id else "cheetah", num_envs, device)


def make(agent: str, env_id: str, settings: dict, device: torch.device, **more: Any) -> Any:
    config = config_class(agent)(env=env_id, total_steps=100_000_000, seed=1, **(settings | more))
    torch.manual_seed(1)
    made = agent_class(agent)(config, environments(env_id, config.num_envs, device), device)
    made.begin()
    return made


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def median_ms(work: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """Milliseconds of one call: the median of batches of ten that run for `seconds`, the GPU waited for after each."""
    for _ in range(10):
        work()
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 3:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(10):
            work()
        synchronize(device)
        times.append((time.perf_counter() - start) / 10)
    return 1e3 * statistics.median(times)


@contextmanager
def waiting_forbidden(device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def one_update(made: Any) -> Callable[[], Any]:
    """A function that makes one optimizer step, or one round of them for an agent with several learners."""
    if hasattr(made, "replay"):
        while made.updates == 0:
            made.collect()
            made.update()
        return lambda: next(made._updates(1))
    if hasattr(made, "rollout"):
        from agent_gym.agents.buffers.rollout import minibatches

        made.collect()
        made.update()
        made.collect()
        parts = minibatches(made._targets(), made.first_state, made.config.num_minibatches, made.generator)
        batch, state = next(parts)
        return lambda: made.learner.update(batch, state)
    batch = first_batch(made)
    return lambda: made.learner.update(batch)


def first_batch(made: Any) -> Any:
    """The batch of an agent's first update."""
    kept: list[Any] = []
    learner = made.learner
    update = learner.update
    learner.update = lambda batch: kept.append(batch) or update(batch)
    while not kept:
        made.collect()
        made.update()
    learner.update = update
    return kept[0]


def updates(device: torch.device, seconds: float) -> None:
    print("\nmilliseconds of an update (off-policy: a batch drawn, all learners, targets)", flush=True)
    print(f"{'agent':26} {'written':>9} {'graph':>9} {'faster':>7} {'bf16':>9}   waits  peak memory", flush=True)
    for name, (agent, env_id, settings) in AGENTS.items():
        cells, peak, waits = [], 0, "none"
        for more in ({"capture": "no"}, {"capture": "auto"}, {"precision": "bf16"}):
            try:
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                work = one_update(make(agent, env_id, settings, device, **more))
                cells.append(median_ms(work, device, seconds))
                if more.get("capture") == "auto":
                    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
                    with waiting_forbidden(device):
                        work()
            except UserError as error:
                cells.append(float("nan"))
                print(f"  ({error})", flush=True)
            except RuntimeError as error:
                waits = str(error).splitlines()[0][:60]
                cells += [float("nan")] * (len(cells) == 0)
        written, graph, reduced = (*cells, *[float("nan")] * 3)[:3]
        row = f"{name:26} {written:9.3f} {graph:9.3f} {written / graph:6.1f}x {reduced:9.3f}   {waits}"
        print(f"{row}  {peak / 1e6:,.0f} MB", flush=True)


def cartpole(device: torch.device, num_envs: int, seconds: float) -> None:
    print(f"\nPPO on native CartPole, {num_envs:,} environments, 32 steps, 64-64 tanh: steps/s", flush=True)
    for epochs, parts in ((1, 4), (4, 4)):
        for more in ({"capture": "no"}, {}, {"precision": "bf16"}):
            label = f"{epochs} epochs, {parts} minibatches, " + (
                ", ".join(f"{k} {v}" for k, v in more.items()) or "graphs"
            )
            settings = {"num_envs": num_envs, "num_steps": 32, "num_epochs": epochs, "num_minibatches": parts}
            settings |= {"learning_rate": 2.5e-3, **more}
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            made = make("ppo", "CartPole-v1", settings, device)
            started = time.perf_counter()
            for _ in range(8):
                made.collect()
                made.update()
            synchronize(device)
            warm, begun, collecting, rounds = time.perf_counter() - started, time.perf_counter(), 0.0, 0
            while time.perf_counter() - begun < seconds:
                start = time.perf_counter()
                made.collect()
                synchronize(device)
                collecting += time.perf_counter() - start
                made.update()
                rounds += 1
            synchronize(device)
            took = time.perf_counter() - begun
            peak = torch.cuda.max_memory_allocated() / 1e6 if device.type == "cuda" else 0.0
            rate, mean = rounds * 32 * num_envs / took, made.window[0].mean().item() if made.window.numel() else 0.0
            print(
                f"{label:46} {rate:13,.0f}  ({collecting / took:.0%} collecting; first 8 rounds {warm:.1f} s; "
                f"{peak:,.0f} MB; {made.steps / 1e6:.0f}M steps, return {mean:.0f})",
                flush=True,
            )


def step_by_step(device: torch.device, seconds: float) -> None:
    print("\nLeanRL's rows: steps/s of acting and learning, environments on the CPU", flush=True)
    header = (
        f"{'':20} {'environments':14} {'alone':>9} {'written':>9} {'graph':>9} {'bf16':>9} {'LeanRL':>8} {'of it':>6}"
    )
    print(header, flush=True)
    for name, (agent, env_id, settings, theirs) in LEANRL.items():
        rates = []
        env = environments(env_id, settings.get("num_envs", 1), device)
        backend, alone = env.backend, stepping(env, min(seconds, 2.0))
        env.close()
        for more in ({"capture": "no"}, {}, {"precision": "bf16"}):
            made = make(agent, env_id, settings, device, **more)
            warm = 2 * made.config.num_steps * made.config.num_envs if agent == "ppo" else 1000
            while made.steps < warm:
                made.collect()
                made.update()
            synchronize(device)
            before, begun = made.steps, time.perf_counter()
            while time.perf_counter() - begun < (seconds if more == {} else 0.5 * seconds):
                made.collect()
                made.update()
            synchronize(device)
            rates.append((made.steps - before) / (time.perf_counter() - begun))
            made.env.close()
        print(
            f"{name:20} {backend:14} {alone:9,.0f} {rates[0]:9,.0f} {rates[1]:9,.0f} {rates[2]:9,.0f} {theirs:8,.0f} "
            f"{rates[1] / theirs:5.2f}x",
            flush=True,
        )


def stepping(env: VectorEnv, seconds: float) -> float:
    """Steps a second of the environments alone, with the same actions throughout."""
    env.reset(0)
    action = torch.as_tensor(np.stack([env.action_space.sample() for _ in range(env.num_envs)]))
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        env.step(action)
        count += env.num_envs
    return count / (time.perf_counter() - begun)


def agreement(device: torch.device) -> None:
    """Loss and gradients of the same weights on the same batch, on the CPU and there."""
    print("\nlargest relative difference of loss and gradients between CPU and device (at most 1e-4)", flush=True)
    for name in ("ppo 64-64, 256 rows", "ppo gru", "ppo images, 256 rows", "dqn", "qrdqn", "sac", "td3"):
        agent, env_id, settings = AGENTS[name]
        made = make(agent, env_id, settings, torch.device("cpu"), capture="no")
        other = make(agent, env_id, settings, device, capture="no")
        other.policy.load_state_dict(made.policy.state_dict())
        for one in (made, other):
            one.start_from_weights()
        for key, learner in made.learners.items():
            other.learners[key].parameters.data.copy_(learner.parameters)
        if agent == "ppo":
            made.collect()
            batch: tuple = (made._targets(), made.first_state)
            batch = (tree_map(lambda x: x[:, :8], batch[0]), batch[1][:8])
        else:
            while made.steps < made.config.learning_starts:
                made.collect()
                made.update()
            slot, drawn = made.batches.one(made.replay, made.config.batch_size, 0.5)
            made._normalize(drawn)
            noise = torch.randn(2, *drawn["action"].shape)
            batch = (drawn | {"noise": noise[0], "next_noise": noise[1]},)
        there = tuple(tree_map(lambda x: x.to(device), part) for part in batch)
        largest = 0.0
        for key, learner in made.learners.items():
            found: list[list[Tensor]] = []
            for one, inputs in ((learner, batch), (other.learners[key], there)):
                loss, _ = one.loss_fn(*copy.copy(inputs))
                grads = torch.autograd.grad(loss, one.learned, materialize_grads=True)
                found.append([loss.detach().cpu(), *(grad.cpu() for grad in grads)])
            largest = max(
                largest, *(float((a - b).norm() / max(float(a.norm()), 1e-3)) for a, b in zip(*found, strict=True))
            )
        print(f"{name:26} {largest:.1e}  {'agrees' if largest <= 1e-4 else 'DIFFERS'}", flush=True)


def automatic(device: torch.device) -> None:
    print("\n--device auto: microseconds of an environment step by its measure, and what was chosen", flush=True)
    cases = {
        "ppo, CartPole, 8": ("ppo", "CartPole-v1", {"num_envs": 8}),
        "ppo, CartPole, 16,384": ("ppo", "CartPole-v1", {"num_envs": 16_384, "num_steps": 32}),
        "ppo, frames, 8": ("ppo", "frames", {"num_envs": 8, "num_epochs": 4}),
        "sac, cheetah, 1": ("sac", "cheetah", {}),
        "dqn, CartPole, 1": ("dqn", "CartPole-v1", {}),
    }
    for name, (agent, env_id, settings) in cases.items():
        config = config_class(agent)(env=env_id, **settings)
        found = {}
        for where in (torch.device("cpu"), device):
            env = environments(env_id, min(config.num_envs, 16_384), where)
            started = time.perf_counter()
            found[str(where)] = (1e6 * cost(agent, config, env, where), time.perf_counter() - started)
        text = ", ".join(f"{where} {us:,.2f} us (measured in {took:.1f} s)" for where, (us, took) in found.items())
        print(f"{name:24} {text}: {min(found, key=lambda where: found[where][0])}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--only", nargs="*", default=[], help="parts: agreement updates cartpole auto leanrl")
    parser.add_argument("--scale", type=float, default=1.0, help="of all measuring times")
    args = parser.parse_args()
    device = torch.device(args.device)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("error: this torch sees no CUDA device: run it where there is one, or with --device cpu", file=sys.stderr)
        return 2
    scale, num_envs = (args.scale, 16_384) if args.device == "cuda" else (0.1 * args.scale, 256)
    if device.type == "cuda":
        exact_arithmetic()
        free, total = torch.cuda.mem_get_info()
        print(
            f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free"
        )
    parts = {
        "agreement": lambda: agreement(device),
        "cartpole": lambda: cartpole(device, num_envs, 4.0 * scale),
        "leanrl": lambda: step_by_step(device, 10.0 * scale),
        "updates": lambda: updates(device, 0.6 * scale),
        "auto": lambda: automatic(device),
    }
    for name, part in parts.items():
        if not args.only or name in args.only:
            started = time.perf_counter()
            try:
                part()
            except (
                Exception
            ) as error:  # one part that fails must not cost the others, which a lent GPU may not see again
                print(f"  {name} FAILED: {type(error).__name__}: {error}", flush=True)
            print(f"  ({name}: {time.perf_counter() - started:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
