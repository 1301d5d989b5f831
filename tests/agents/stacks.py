"""Agents that are trained together and alone."""

from dataclasses import replace

import torch

import agent_gym.envs  # noqa: F401  registers them
from agent_gym.agents import agent_class
from agent_gym.agents.stacked.kinds import refusal, stack
from agent_gym.envs.make import make_env
from agent_gym.envs.native.core import NATIVE
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.envs.stacked import stacked

SEEDS = (3, 0, 11)


def made(name, config, seed, native=True, **settings):
    config = replace(config, seed=seed, **settings)
    torch.manual_seed(seed)
    if native:
        env = NativeVectorEnv(NATIVE[config.env], config.num_envs, seed=seed)
    else:
        env = make_env(config.env, config.num_envs, seed=seed, backend="sync")
    agent = agent_class(name)(config, env)
    agent.begin()
    return agent


def whole(stats):
    return {name: float(value) for name, value in stats.items()}


def alone(agent, over):
    """Train it until `over(agent)`; scalars and stats of each round."""
    scalars = []
    while not over(agent):
        scalars.append((agent.collect(), whole(agent.update())))
    return agent, scalars


def together(agents, over):
    """Train them until `over(the first)`; of each the scalars and stats of each round."""
    assert not refusal(agents)
    members, scalars = stack(agents, stacked([agent.env for agent in agents])), []
    while not over(agents[0]):
        found = zip(members.collect(), members.update(), strict=True)
        scalars.append([(told, whole(stats)) for told, stats in found])
    return [[of_round[s] for of_round in scalars] for s in range(len(agents))]
