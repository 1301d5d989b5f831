"""Exported policies beside the policies themselves: python -m benchmarks.learning.export_proof [--steps 10000].

For each kind: steps in the environment with both acting on the same observations, the largest difference of their
actions, the return of each played alone, and the microseconds that onnxruntime takes for one action on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np
import torch

from agent_gym.agents import agent_class, config_class
from agent_gym.composing.scores.exported import for_env
from agent_gym.envs.adapters.boundary.spaces import ObsLayout, canonical_action
from agent_gym.envs.make import make_single
from agent_gym.export.acting import Acting
from agent_gym.export.exported import ExportedPolicy
from agent_gym.export.files import write_graph

VECTOR = [
    (agent, env, encoder)
    for agent, env in (("ppo", "CartPole-v1"), ("ppo", "Pendulum-v1"), ("dqn", "CartPole-v1"), ("sac", "Pendulum-v1"))
    for encoder in ("mlp", "lstm", "gru", "rnn")
]
CASES = [*VECTOR, ("a2c", "CartPole-v1", "mlp"), ("qrdqn", "CartPole-v1", "mlp"), ("td3", "Pendulum-v1", "mlp")]
CASES += [("ddpg", "Pendulum-v1", "lstm"), ("ppo", "AgentGym/Snake-v0", "cnn"), ("dqn", "AgentGym/Snake-v0", "cnn")]


def make_policy(agent: str, env: gymnasium.Env, encoder: str):
    """A policy of random weights, three times as large as usual so that its actions differ."""
    torch.manual_seed(1)
    config = config_class(agent)(encoder=encoder, **({"normalize_obs": True} if agent in ("ppo", "a2c") else {}))
    layout = ObsLayout(env.observation_space)
    policy = agent_class(agent).policy_class(layout.space, canonical_action(env.action_space), config)
    for parameter in policy.parameters():
        parameter.data.mul_(3.0)
    return policy.eval(), layout


def side_by_side(agent: str, env_id: str, encoder: str, steps: int) -> tuple[float, float, float]:
    """The largest difference of an action, the difference of the returns, microseconds an action."""
    env = make_single(env_id)
    policy, layout = make_policy(agent, env, encoder)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.onnx"
        write_graph(Acting(policy, env.observation_space, env.action_space), file, {})
        exported = ExportedPolicy(file)
    worst, returns = 0.0, []
    for ours in (True, False):  # who acts
        obs, _ = env.reset(seed=1)
        state, memory, starts, total = policy.initial_state(1), None, True, 0.0
        for _ in range(steps):
            arrays = layout.empty(1)
            layout.put(arrays, 0, obs)
            expected, state, _ = policy.act(layout.tensors(arrays), state, torch.tensor([starts]))
            action, memory = exported.predict(obs, memory, starts)
            expected = expected[0].numpy() + getattr(env.action_space, "start", 0)
            worst = max(worst, float(np.abs(action.astype(float) - expected).max()))
            chosen = for_env(np.asarray(expected if ours else action), env.action_space)
            obs, reward, terminated, truncated, _ = env.step(chosen)
            total, starts = total + float(reward), terminated or truncated
            if starts:
                obs, _ = env.reset()
        returns.append(total)
    feeds = {i.name: np.zeros([1, *i.shape[1:]], _dtype(i.type)) for i in exported.file.session.get_inputs()}
    for _ in range(200):
        exported.run(None, feeds)
    times = []
    for _ in range(2000):
        started = time.perf_counter()
        exported.run(None, feeds)
        times.append(time.perf_counter() - started)
    env.close()
    return worst, abs(returns[0] - returns[1]), float(np.median(times)) * 1e6


def _dtype(name: str) -> type:
    names = {"float": np.float32, "uint8": np.uint8, "int64": np.int64, "int8": np.int8, "bool": np.bool_}
    return names[name.removeprefix("tensor(").rstrip(")")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    print(f"{'agent':<7} {'environment':<18} {'encoder':<8} {'action differs':>14} {'return differs':>14} {'µs':>6}")
    for agent, env_id, encoder in CASES:
        worst, score, micros = side_by_side(agent, env_id, encoder, steps)
        print(f"{agent:<7} {env_id:<18} {encoder:<8} {worst:>14.1e} {score:>14.1e} {micros:>6.0f}", flush=True)


if __name__ == "__main__":
    main()
