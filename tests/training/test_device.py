"""Which device --device auto takes, by costs that a stand-in gives and by real ones of the CPU."""

import random

import numpy as np
import pytest
import torch

from agent_gym.agents import config_class
from agent_gym.agents.ppo import PPO
from agent_gym.composing import agent_run
from agent_gym.composing.agent_run import AgentRun
from agent_gym.composing.cost import cost, samples, task_cost
from agent_gym.composing.sources import NamedSource
from agent_gym.envs.adapters.arrays import ArrayVectorEnv
from agent_gym.envs.make import make_env
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.tasks import config_class as task_config
from agent_gym.tasks import task_class
from agent_gym.training import device as devices
from agent_gym.training.device import choose_device

CPU = torch.device("cpu")


@pytest.fixture
def a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.parametrize("costs, best", [((2e-6, 3e-6), "cpu"), ((3e-6, 2e-6), "cuda")])
def test_auto_takes_what_costs_less_and_says_so(a_gpu, costs, best):
    found = choose_device("auto", lambda device: costs[device.type == "cuda"])
    assert found.device == torch.device(best)
    assert found.why == f"2 µs a step, {'cuda' if best == 'cpu' else 'cpu'} 3"


def test_auto_measures_nothing_where_there_is_nothing_to_choose(monkeypatch, a_gpu):
    def never(device):
        raise AssertionError("measured")

    assert choose_device("cpu", never).device == CPU
    assert choose_device("cuda", never).device == torch.device("cuda")
    assert choose_device("auto", never, former="cuda").device == torch.device("cuda")
    assert choose_device("auto", never, former="cpu").device == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", never).why == "no GPU"
    assert choose_device("auto", never, former="cuda").device == CPU
    with pytest.raises(UserError, match="--device cuda"):
        choose_device("cuda", never)


@pytest.mark.parametrize(
    "env, cheaper, taken",
    [("CartPole-v1", "cpu", "cpu"), ("CartPole-v1", "meta", "meta"), ("Taxi-v4", "meta", "cpu")],
)
def test_a_run_is_put_where_it_costs_less_with_native_environments_alone(monkeypatch, a_gpu, env, cheaper, taken):
    """Another device's name stands in for the GPU's; environments that are stepped on the CPU stay there.

    An agent that takes no steps from afar gets them sent.
    """
    asked = []

    def measured(name, config, env, device):
        asked.append((device.type, env.device.type))
        return 1.0 if device.type == cheaper else 2.0

    def choose(wanted, found, **options):
        costs = {name: found(torch.device(name)) for name in ("cpu", "meta")}
        return devices.Choice(torch.device(min(costs, key=costs.__getitem__)), "measured")

    monkeypatch.setattr(NativeVectorEnv, "move", lambda env, device: setattr(env, "device", device) or True)
    monkeypatch.setattr(agent_run, "cost", measured)
    monkeypatch.setattr(agent_run, "choose_device", choose)
    run = AgentRun.__new__(AgentRun)
    config = config_class("ppo")(env=env, num_envs=2)
    run.name, run.config, run.source, run.run, run.failures = "ppo", config, NamedSource(config), None, None
    made, choice = run.placed()
    assert choice.device.type == cheaper and made.device.type == taken
    monkeypatch.setattr(PPO, "reaches", False)
    assert run.placed()[0].device.type == cheaper
    assert asked[:2] == [("cpu", "cpu"), ("meta", "meta" if env == "CartPole-v1" else "cpu")]
    made.close()
    for vector in (NativeVectorEnv, ArrayVectorEnv):  # such as environments of many agents
        monkeypatch.setattr(vector, "move", VectorEnv.move)
    assert run.placed()[1].device == CPU  # whatever is cheaper elsewhere
    monkeypatch.setattr(agent_run, "choose_device", lambda *_, **__: devices.Choice(torch.device("meta"), ""))
    with pytest.raises(UserError, match=f"the environments of {env} .* stay on the cpu, .*: --device cpu"):
        run.placed()


RUNS = {
    "ppo": ("ppo", "CartPole-v1", {}),
    "ppo lstm": ("ppo", "CartPole-v1", {"encoder": "lstm", "num_steps": 8}),
    "ppo images": ("ppo", "AgentGym/Snake-v0", {"num_steps": 8}),
    "dqn": ("dqn", "CartPole-v1", {"backend": "sync"}),
    "sac": ("sac", "Pendulum-v1", {"hidden_sizes": (16,)}),
    "alphazero": ("alphazero", "AgentGym/TicTacToe-v0", {"simulations": 2, "batch_size": 16}),
}


@pytest.mark.parametrize("run", RUNS)
def test_the_cost_of_every_agent_is_measured_and_disturbs_nothing(monkeypatch, run):
    from agent_gym.composing import cost as module

    monkeypatch.setattr(module, "ENOUGH", 0.001)
    name, env_id, settings = RUNS[run]
    config = config_class(name)(env=env_id, num_envs=2, **settings)
    env = make_env(env_id, 2, backend=config.backend)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert 0.0 < cost(name, config, env, CPU) < 60.0
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == drawn


def test_the_cost_of_a_task():
    task = task_class("iris")(task_config("iris")())
    before = [parameter.clone() for parameter in task.model.parameters()]
    assert 0.0 < task_cost(task, CPU) < 10.0
    assert all(map(torch.equal, before, task.model.parameters()))


def test_samples_are_of_the_space_and_always_the_same():
    space = make_env("AgentGym/Snake-v0", 1).obs_space
    found = samples(space, 300, CPU)
    assert found.shape == (300, *space.shape) and found.dtype == torch.uint8
    assert torch.equal(found, samples(space, 300, CPU))
