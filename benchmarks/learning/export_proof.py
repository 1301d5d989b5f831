"""Exported files beside what they were exported from: python -m benchmarks.learning.export_proof [--only sac ppo].

A policy is played by onnxruntime and by itself side by side, each in an environment of its own with the same seed.
Shown are the largest difference of an action for the same observation, the difference of the returns, and the
microseconds that onnxruntime takes for one action on one thread. Models of tasks predict the rows of a table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np
import onnxruntime
import pandas as pd
import torch
from gymnasium import spaces

from agent_gym.agents import AGENTS, agent_class, config_class
from agent_gym.composing.scores.exported import for_env, mask_of
from agent_gym.envs.adapters.boundary.spaces import ObsLayout, canonical_action
from agent_gym.envs.make import make_single
from agent_gym.export.acting import Acting
from agent_gym.export.exported import KEY, ExportedPolicy
from agent_gym.export.files import write_graph
from agent_gym.ground.spaces import KEY as KEY_OF_MASK
from agent_gym.ground.spaces import METHOD
from agent_gym.ground.tree import tree_map
from agent_gym.nets.encoders.base import orthogonal_init

POLE, SWING, SNAKE, SUITS = "CartPole-v1", "Pendulum-v1", "AgentGym/Snake-v0", "AgentGym/FollowSuit-v0"
TAXI, TOOLS = "Taxi-v4", "AgentGym/Toolbox-v0"  # masks in info, actions of several parts
KINDS = (  # one agent of each kind of policy and of actions, with every encoder
    ("ppo", POLE),
    ("ppo", SWING),
    ("dqn", POLE),
    ("sac", SWING),
    ("td3", SWING),
    ("bc", SWING),
    ("iql", SWING),
)
OTHERS = (  # the rest, with two
    *(("a2c", POLE), ("qrdqn", POLE), ("pqn", POLE), ("sac", POLE), ("bc", POLE), ("iql", POLE), ("cql", POLE)),
    *(("dagger", SWING), ("tqc", SWING), ("ddpg", SWING), ("cql", SWING), ("td3bc", SWING)),
)
UNNEEDED = {"data": "none", "teacher": "none"}  # what agents learn from, and no policy asks for
ENCODERS = ("mlp", "lstm", "gru", "rnn", "transformer")
WATCHED = 500  # observations that statistics are made of
TIMED = 2000


class Parts(gymnasium.ObservationWrapper):
    """CartPole with an observation of four kinds: a small picture, numbers, a choice and bits."""

    def __init__(self) -> None:
        super().__init__(make_single(POLE))
        nested = spaces.Tuple((spaces.Discrete(2, start=3), spaces.MultiBinary(2)))
        picture, numbers = spaces.Box(0, 255, (12, 12, 3), np.uint8), spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.observation_space = spaces.Dict({"picture": picture, "speeds": numbers, "signs": nested})

    def observation(self, obs: np.ndarray) -> dict:
        picture = np.zeros((12, 12, 3), np.uint8)
        picture[:, int(np.clip(6 + 2.5 * obs[0], 0, 11))] = 255
        picture[int(np.clip(6 + 20 * obs[2], 0, 11)), :, 1] = 128
        signs = int(obs[0] > 0) + 3, (obs[1::2] > 0).astype(np.int8)
        return {"picture": picture, "speeds": obs[1::2].astype(np.float64), "signs": signs}


def cases() -> list[tuple[str, str, str]]:
    """Agent, environment and encoder of every kind."""
    found = [(agent, env, encoder) for agent, env in KINDS for encoder in ENCODERS]
    found += [(agent, env, encoder) for agent, env in OTHERS for encoder in ("mlp", "lstm")]
    found += [(agent, SNAKE, "cnn") for agent in ("ppo", "dqn", "sac", "bc", "iql")] + [("ppo", SNAKE, "lstm")]
    found += [(agent, "Parts", encoder) for agent in ("ppo", "dqn", "sac") for encoder in ("auto", "lstm")]
    found += [(agent, SUITS, encoder) for agent in ("ppo", "dqn") for encoder in ("mlp", "gru")]
    return found + [
        ("ppo", TAXI, "mlp"),
        ("dqn", TAXI, "mlp"),
        ("ppo", TOOLS, "mlp"),
        ("ppo", TOOLS, "lstm"),
        ("sac", TOOLS, "mlp"),
    ]


def make(env_id: str) -> gymnasium.Env:
    return Parts() if env_id == "Parts" else make_single(env_id)


def make_policy(agent: str, env: gymnasium.Env, encoder: str):
    """A policy of random weights, and its layout.

    The head's weights are so large that actions differ; the others are those of a training's beginning, for memories
    of larger ones are chaotic: after some hundred steps the last bit of a float decides.
    """
    torch.manual_seed(1)
    config_type = config_class(agent)
    settings = {name: UNNEEDED[name] for name in getattr(config_type, "required", ())}
    config = config_type(encoder=encoder, hidden_sizes=(64, 64), normalize_obs=True, **settings)
    layout = ObsLayout(env.observation_space)
    policy = agent_class(agent).policy_class(layout.space, canonical_action(env.action_space), config)
    for layer in getattr(policy.network, "head", torch.nn.Identity()).modules():
        if isinstance(layer, torch.nn.Linear):
            orthogonal_init(layer, 1.0)
    return policy.eval(), layout


def tensors(layout: ObsLayout, obs: object):
    arrays = layout.empty(1)
    layout.put(arrays, 0, obs)
    return layout.tensors(arrays)


def watch(policy, layout: ObsLayout, env: gymnasium.Env) -> None:
    """Statistics of what random actions lead to."""
    seen, over = [], True
    env.action_space.seed(0)
    for _ in range(WATCHED):
        if over:
            obs, over = env.reset(seed=len(seen))[0], False
        else:
            obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
            over = terminated or truncated
        seen.append(tensors(layout, obs))
    policy.obs_norm.start(seen[0])
    policy.obs_norm.update(tree_map(lambda *parts: torch.cat(parts), *seen))


class Played:
    """An environment where somebody plays, one episode after the other."""

    def __init__(self, env: gymnasium.Env) -> None:
        self.env, self.total, self.starts = env, 0.0, True
        self.obs, self.info = env.reset(seed=1)

    def mask(self, exported: ExportedPolicy) -> np.ndarray | None:
        return mask_of(exported, self.env, self.obs, self.info)

    def step(self, action: np.ndarray) -> None:
        self.obs, reward, *over, self.info = self.env.step(for_env(action, self.env.action_space))
        self.total, self.starts = self.total + float(reward), any(over)
        if self.starts:
            self.obs, self.info = self.env.reset()


def side_by_side(agent: str, env_id: str, encoder: str, steps: int) -> tuple[float, float, float, float]:
    """The largest difference of an action, both sums of rewards, microseconds an action."""
    here, there = Played(make(env_id)), Played(make(env_id))
    env = here.env
    policy, layout = make_policy(agent, env, encoder)
    watch(policy, layout, make(env_id))
    masked = policy.decides_by_mask and (env.has_wrapper_attr(METHOD) or KEY_OF_MASK in here.info)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.onnx"
        write_graph(Acting(policy, env.observation_space, env.action_space, masked=masked), file, {})
        exported = ExportedPolicy(file)
    start, worst = getattr(env.action_space, "start", 0), 0.0
    state, memory, memory_there = policy.initial_state(1), None, None
    for _ in range(steps):
        mask = here.mask(exported)
        given = None if mask is None else torch.from_numpy(mask).reshape(1, -1)
        expected, state, _ = policy.act(tensors(layout, here.obs), state, torch.tensor([here.starts]), given)
        expected = expected[0].numpy() + start
        action, memory = exported.predict(here.obs, memory, here.starts, mask=mask)
        worst = max(worst, float(np.abs(action.astype(float) - expected).max()))
        mask = there.mask(exported)
        action, memory_there = exported.predict(there.obs, memory_there, there.starts, mask=mask)
        here.step(expected)
        there.step(action)
    env.close()
    return worst, here.total, there.total, microseconds(exported)


def microseconds(exported: ExportedPolicy) -> float:
    feeds = {i.name: np.zeros([1, *i.shape[1:]], _dtype(i.type)) for i in exported.file.session.get_inputs()}
    for _ in range(200):
        exported.run(None, feeds)
    times = []
    for _ in range(TIMED):
        started = time.perf_counter()
        exported.run(None, feeds)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e6


def _dtype(name: str) -> type:
    names = {"float": np.float32, "uint8": np.uint8, "int64": np.int64, "int8": np.int8, "bool": np.bool_}
    return names[name.removeprefix("tensor(").rstrip(")")]


def made_table(rows: int) -> pd.DataFrame:
    """Numbers with gaps, categories, and a target of each kind."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(50, 20, rows), "age": rng.integers(1, 90, rows)})
    frame["colour"] = rng.choice(["red", "green", "blue"], rows)
    frame["good"] = np.where((frame["size"] > 50) ^ (frame["colour"] == "red"), "yes", "no")
    frame["price"] = 3.0 * frame["size"] - frame["age"] + 40.0 * (frame["colour"] == "blue")
    frame.loc[::10, "size"] = np.nan
    return frame


def of_a_table(target: str, rows: int) -> tuple[float, float]:
    """The share of classes that are the same (of numbers: 1), the largest difference of a probability or a number."""
    frame = made_table(rows).drop(columns={"good": "price", "price": "good"}[target])
    with tempfile.TemporaryDirectory() as folder:
        data, run, out, file = (Path(folder) / name for name in ("t.csv", "run", "out.csv", "model.onnx"))
        frame.to_csv(data, index=False)
        flags = ["--epochs", 3, "--quiet", "--num-threads", 1, "--run-dir", run]
        command("train", "table", "--data", data, "--target", target, *flags)
        command("export", run, file)
        command("evaluate", run, "--data", data, "--predict", out)
        session, expected = onnxruntime.InferenceSession(str(file)), pd.read_csv(out)
    about = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    feeds = {"numbers": frame[about["numbers"]].to_numpy(np.float32)}
    feeds["codes"] = frame[list(about["codes"])].apply(lambda c: c.map(about["codes"][c.name].index)).to_numpy(np.int64)
    found = session.run(None, feeds)
    if target == "price":
        return 1.0, float(np.abs(found[0][:, 0] - expected["predicted price"]).max() / frame["price"].std())
    same = np.mean([about["classes"][c] for c in found[0]] == expected["predicted good"])
    return float(same), float(np.abs(found[1][:, 1] - expected["probability of yes"]).max())


def command(*arguments: object) -> None:
    line = [sys.executable, "-m", "agent_gym", *map(str, arguments)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", choices=sorted(AGENTS), help="these agents alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'agent':<7} {'environment':<22} {'encoder':<12} {'action differs':>14} {'policy':>10} {'onnx':>10} {'µs':>6}"
    )
    for agent, env_id, encoder in cases():
        if not options.only or agent in options.only:
            worst, ours, theirs, micros = side_by_side(agent, env_id, encoder, options.steps)
            line = f"{agent:<7} {env_id:<22} {encoder:<12} {worst:>14.1e} {ours:>10.2f} {theirs:>10.2f} {micros:>6.0f}"
            print(line, flush=True)
    if not options.only:
        for target in ("good", "price"):
            same, worst = of_a_table(target, options.steps)
            print(f"table   {target:<22} classes equal {same:.4f}, largest difference {worst:.1e}", flush=True)


if __name__ == "__main__":
    main()
