"""What needs a GPU: graphs against updates as they are written, against the CPU, without waiting, and resumed."""

import copy
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from test_cuda_graphs import RUNS, SMALL, trained

from agent_gym.agents import agent_class, config_class
from agent_gym.agents.sac import SAC
from agent_gym.envs.adapters.sending import send
from agent_gym.envs.make import make_env
from agent_gym.ground.tree import tree_map
from agent_gym.nets.learner.cuda_graphs import Recorded
from agent_gym.nets.learner.learner import Learner, NonFiniteError
from agent_gym.nets.settings import OptimizerSettings
from agent_gym.training.device import exact_arithmetic
from benchmarks.contents import contents, differing

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
ROOT = Path(__file__).parents[2]
GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def as_commands_run():
    exact_arithmetic()


ALL = RUNS | {
    "ppo images": ("ppo", "AgentGym/Snake-v0", {"num_steps": 8, "num_envs": 4, **SMALL}),
    "ppo real lstm": ("ppo", "CartPole-v1", {"encoder": "lstm", "num_steps": 8, "num_envs": 4, **SMALL}),
    "dqn images": ("dqn", "AgentGym/Snake-v0", RUNS["dqn"][2]),
    "dqn noted": ("dqn", "CartPole-v1", RUNS["dqn"][2] | {"n_step": 1, "train_every": 4}),
    "alphazero": ("alphazero", "AgentGym/TicTacToe-v0", {"simulations": 4, "num_envs": 8, "batch_size": 16, **SMALL}),
}


@pytest.mark.parametrize("run", ALL)
def test_graphs_change_no_bit(capsys, run):
    agent, env_id, settings = ALL[run]
    rounds = 120 if agent in ("dqn", "sac", "td3") else 12
    found = trained(agent, env_id, settings, rounds, "cuda")
    assert "without a graph" not in capsys.readouterr().err
    graphs = [*found.recorded.values(), *(one.recorded for one in found.learners.values())]
    assert any(place.trusted for graph in graphs if graph for place in graph.places.values())
    plain = trained(agent, env_id, settings | {"capture": "no"}, rounds, "cuda")
    for (name, a), b in zip(found.policy.state_dict().items(), plain.policy.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert torch.equal(found.generator.get_state(), plain.generator.get_state())
    assert all(not recorded.places for recorded in plain.recorded.values())


@pytest.mark.parametrize("run", ["ppo", "ppo lstm", "sac", "td3", "dqn by priority"])
def test_an_update_waits_for_nothing(capsys, run):
    agent, env_id, settings = ALL[run]
    made = trained(
        agent, env_id, settings | {"normalize_returns": RETURNS[agent]}, 20 if agent == "ppo" else 120, "cuda"
    )
    if agent == "ppo":
        made.collect()
        batch = made._targets()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        if agent == "ppo":
            made.learner.update(batch, made.first_state)
            if "rollout" in made.recorded:
                made.whole.stand()
                made.recorded["rollout"]()
        else:
            list(made._updates(8))
            made.recorded["acting"](made.obs, made.state, made.reset)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert "without a graph" not in capsys.readouterr().err


RETURNS = {"ppo": False, "sac": "yes", "td3": "auto", "dqn": "auto"}


@pytest.mark.parametrize("fault", ["item", "synchronize"])
def test_what_waits_is_dropped_and_its_generator_draws_on(capsys, fault):
    generator = torch.Generator(GPU).manual_seed(0)
    twin = torch.Generator(GPU).manual_seed(0)

    def procedure():
        drawn = torch.rand(3, generator=generator, device=GPU)
        drawn.sum().item() if fault == "item" else torch.cuda.synchronize()
        return drawn

    recorded = Recorded("a fault", procedure, GPU, lambda: [], [generator])
    for _ in range(8):
        assert torch.equal(recorded(), torch.rand(3, generator=twin, device=GPU))
    assert capsys.readouterr().err.count("a fault runs without a graph") == 1
    again = Recorded("no fault", lambda: torch.rand(3, generator=generator, device=GPU), GPU, lambda: [], [generator])
    for _ in range(8):
        assert torch.equal(again(), torch.rand(3, generator=twin, device=GPU))
    assert not again.dropped


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "momentum", "sgd"])
def test_optimizers_follow_the_cpu_and_a_schedule(optimizer):
    settings = OptimizerSettings(optimizer=optimizer, learning_rate=0.05, schedule="linear", max_grad_norm=0.5)
    torch.manual_seed(0)
    cpu = torch.nn.Linear(6, 3)
    gpu = copy.deepcopy(cpu).to(GPU)
    learners = []
    for model in (cpu, gpu):
        loss = lambda x, y, model=model: ((model(x) - y).square().mean(), {})  # noqa: E731
        learners.append(Learner(loss, model.parameters(), settings, capture=True))
    for step in range(20):
        x, y = torch.randn(16, 6), torch.randn(16, 3)
        for learner, device in zip(learners, ("cpu", GPU), strict=True):
            learner.set_progress(step / 20)
            learner.update(x.to(device), y.to(device))
    assert not learners[1].recorded.dropped
    torch.testing.assert_close(gpu.weight.cpu(), cpu.weight, atol=1e-5, rtol=1e-4)


def test_a_loss_that_is_not_finite_is_told_and_leaves_the_weights():
    model = torch.nn.Linear(2, 1).to(GPU)
    learner = Learner(lambda x: (model(x).mean(), {}), model.parameters(), OptimizerSettings(), capture=True)
    for _ in range(8):
        learner.update(torch.ones(4, 2, device=GPU))
    before = model.weight.clone()
    learner.optimizer.learning_rate = 0.0
    learner.update(torch.full((4, 2), torch.nan, device=GPU))
    assert torch.equal(model.weight, before)
    with pytest.raises(NonFiniteError):
        learner.state_dict()


@pytest.mark.parametrize("run", ["ppo", "ppo images", "dqn by priority", "sac", "td3", "ppo lstm"])
def test_the_gpu_and_the_cpu_agree_on_a_batch(run):
    """Loss and gradients of the same weights, to 1e-4."""
    agent, env_id, settings = ALL[run]
    made = trained(agent, env_id, settings | {"capture": "no"}, 2 if agent == "ppo" else 50, "cpu")
    config = config_class(agent)(env=env_id, total_steps=10_000, seed=4, **settings)
    env = make_env(env_id, config.num_envs, backend=config.backend)
    if env.backend == "native":
        env.move(GPU)
    other = agent_class(agent)(config, env, GPU)
    other.policy.load_state_dict(made.policy.state_dict())
    other.start_from_weights()
    made.start_from_weights()
    for name, learner in made.learners.items():
        other.learners[name].parameters.data.copy_(learner.parameters)
    if agent == "ppo":
        made.collect()
        batches = [(made._targets(), made.first_state)]
    else:
        slot, batch = made.batches.one(made.replay, made.config.batch_size, 0.5)
        made._normalize(batch)
        noise = torch.randn(batch["action"].shape) if batch["action"].is_floating_point() else batch["reward"]
        batches = [(batch | {"noise": noise, "next_noise": noise},)]
    for batch in batches:
        there = tuple(tree_map(lambda x: x.to(GPU), part) for part in batch)
        for name in made.learners:
            found = []
            for one, inputs in ((made, batch), (other, there)):
                learner = one.learners[name]
                loss, _ = learner.loss_fn(*inputs)
                grads = torch.autograd.grad(loss, learner.learned, materialize_grads=True)
                found.append([loss.detach().cpu(), *(grad.cpu() for grad in grads)])
            for a, b in zip(*found, strict=True):
                assert (a - b).norm() <= 1e-4 * max(a.norm(), 1e-3), name


def test_sending_keeps_every_type_and_shape():
    arrays = [np.random.rand(3, 2).astype(np.float32), np.arange(5), np.array([True, False]), np.ones((2, 7), np.uint8)]
    tensors = [torch.from_numpy(array) for array in arrays]
    sent = [send(tensors, GPU) for _ in range(50)]
    for found in sent:
        for a, b in zip(tensors, found, strict=True):
            assert b.is_cuda and torch.equal(a, b.cpu())


def test_bf16_is_close_to_float32():
    losses = {}
    for precision in ("float32", "bf16"):
        made: SAC = trained("sac", "Pendulum-v1", RUNS["sac"][2] | {"precision": precision}, 120, "cuda")
        assert not made.recorded["learning"].dropped
        losses[precision] = made._learn_once()["q_loss"].item()
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.3)


KILLED = {
    "ppo": "ppo --env CartPole-v1 --num-envs 8 --num-steps 32 --num-epochs 2 --hidden-sizes 16 --total-steps 65536",
    "sac": "sac --env Pendulum-v1 --backend sync --learning-starts 100 --hidden-sizes 16 --total-steps 4000",
}


@pytest.mark.parametrize("run", KILLED)
def test_a_killed_run_ends_bit_for_bit_like_one_left_alone(tmp_path, run):
    command = [sys.executable, str(ROOT / "train.py")]
    flags = [*KILLED[run].split(), "--device", "cuda", "--eval-episodes", "2", "--quiet", "--eval-every", "never"]
    flags += ["--checkpoint-every", "500", "--seed", "7"]
    common = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}}
    subprocess.run([*command, *flags, "--run-dir", "alone"], check=True, **common)
    process = subprocess.Popen([*command, *flags, "--run-dir", "killed"], **common)
    while not (tmp_path / "killed/checkpoints/last.pt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "killed/result.json").exists()
    subprocess.run([*command, "--resume", "killed", "--quiet"], check=True, **common)
    assert differing(contents(tmp_path / "alone"), contents(tmp_path / "killed")) == []
