"""What an environment step costs on a device, measured: acting, its share of learning, and our own environments."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents import agent_class
from agent_gym.envs.vector import TensorEnv, VectorEnv
from agent_gym.ground.chance import undisturbed
from agent_gym.ground.tree import Tree, tree_map
from agent_gym.nets.learner.cuda_graphs import Recorded, records
from agent_gym.nets.learner.learner import Learner
from agent_gym.tasks.predictor import Predictor

ENOUGH = 0.15  # seconds of each measurement
WARM = 6  # calls before it: a GPU makes its graphs
DIFFERENT = 256  # observations drawn from a space; more are the same again


def cost(name: str, config: Any, env: VectorEnv, device: torch.device) -> float:
    """Seconds of an environment step of agent `name` on `device`, without what `env` itself takes on the CPU.

    `env`: one that is not in use where it is native, on `device`; of others the spaces alone are looked at. Nothing
    that anybody draws from is left elsewhere than before.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), undisturbed():
        policy = agent_class(name).policy_class(env.obs_space, env.action_space, config).to(device)
        acting = _acting(policy, env, device)
        steps, rows, updates = config.learning()
        obs = tree_map(lambda x: x.expand(steps, *x.shape).contiguous(), samples(env.obs_space, rows, device))
        obs = policy.obs_norm(obs)
        update = _update(policy.networks(), config, obs, steps, rows, device)
    return acting / env.num_envs + updates * update


def task_cost(task: Any, device: torch.device) -> float:
    """Seconds of an optimizer step of a task on `device`."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), undisturbed():
        model: Predictor = copy.deepcopy(task.model).to(device)
        x, y = (part[: task.batch_size].to(device) for part in task.data.train)
        learner = Learner(lambda x: (model(x).square().mean(), {}), model.parameters(), task.config, capture=True)
        return _seconds(lambda: learner.update(x), device)


def samples(space: spaces.Space, count: int, device: torch.device) -> Tree:
    """`count` observations [count, ...] of a canonical space, the same each time."""
    space = copy.deepcopy(space)
    space.seed(0)
    few = [space.sample() for _ in range(min(count, DIFFERENT))]
    times = -(-count // len(few))

    def stacked(parts: list) -> Tree:
        if isinstance(parts[0], dict):
            return {key: stacked([part[key] for part in parts]) for key in parts[0]}
        rows = torch.stack([torch.as_tensor(part) for part in parts])
        return rows.repeat(times, *[1] * (rows.dim() - 1))[:count].to(device)

    return stacked(few)


def _acting(policy: Any, env: VectorEnv, device: torch.device) -> float:
    """Seconds of acting once in all environments, and of the step where they live on the device."""
    generator = torch.Generator(device).manual_seed(0)  # of the policy
    state = policy.initial_state(env.num_envs)
    reset = torch.zeros(env.num_envs, dtype=torch.bool, device=device)
    start = env.tensors() if isinstance(env, TensorEnv) else None
    obs = samples(env.obs_space, env.num_envs, torch.device("cpu")) if start is None else start["last"]

    def act(obs: Tree) -> tuple[Tensor, Tensor]:
        if start is not None:
            env.put(start)
        mask = env.mask if start is not None else None
        action, after, _ = policy.act(obs, state, reset, mask, explore=True, generator=generator)
        if start is not None:
            return env.step(action).reward, after
        return action, after

    changed, drawing = (list, [generator]) if start is None else (env.changed, [generator, *env.generators])
    work = Recorded("acting", act, device, changed, drawing) if records(device) else act
    with torch.inference_mode():
        return _seconds(lambda: work(obs)[0].cpu() if start is None else work(obs), device)


def _update(networks: nn.Module, config: Any, obs: Tree, steps: int, rows: int, device: torch.device) -> float:
    """Seconds of an update of `networks`, by a loss of which the size alone matters."""
    state = torch.zeros(rows, getattr(networks, "state_dim", 0), device=device)
    reset = torch.zeros(steps, rows, dtype=torch.bool, device=device)

    def loss(obs: Tree, state: Tensor, reset: Tensor) -> tuple[Tensor, dict]:
        given = networks(obs, state, reset)
        parts = [part for part in (given if isinstance(given, tuple) else (given,)) if isinstance(part, Tensor)]
        return sum(part.float().square().mean() for part in parts if part.numel()), {}

    learner = Learner(loss, networks.parameters(), config, capture=True)
    return _seconds(lambda: learner.update(obs, state, reset), device)


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    """The quickest of the calls within ENOUGH seconds."""
    for _ in range(WARM if device.type == "cuda" else 1):
        work()
    best, until = float("inf"), time.perf_counter() + ENOUGH
    while True:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        best = min(best, now - start)
        if now > until:
            return best
