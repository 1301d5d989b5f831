"""bfloat16: close to float32 where it multiplies, float32 where it sums, refused where there is none."""

import pytest
import torch
from test_cuda_graphs import trained

from agent_gym.agents import config_class
from agent_gym.ground.errors import UserError
from agent_gym.nets import precision
from agent_gym.nets.learner import graphs
from agent_gym.nets.precision import precisely, reduced, require_bf16

CPU = torch.device("cpu")
REPLAY = {"learning_starts": 40, "batch_size": 64, "buffer_size": 500, "num_envs": 2, "hidden_sizes": (64, 64)}
RUNS = {
    "ppo": ("ppo", "CartPole-v1", {"num_steps": 32}),
    "ppo lstm": ("ppo", "CartPole-v1", {"num_steps": 32, "encoder": "lstm"}),
    "ppo gru": ("ppo", "CartPole-v1", {"num_steps": 32, "encoder": "gru"}),
    "ppo transformer": ("ppo", "CartPole-v1", {"num_steps": 32, "encoder": "transformer", "num_epochs": 1}),
    "ppo images": ("ppo", "AgentGym/Snake-v0", {"num_steps": 8, "num_epochs": 1}),
    "dqn": ("dqn", "CartPole-v1", REPLAY | {"quantiles": 8}),
    "sac": ("sac", "Pendulum-v1", REPLAY),
    "td3": ("td3", "Pendulum-v1", REPLAY),
    "alphazero": ("alphazero", "AgentGym/TicTacToe-v0", {"simulations": 2, "num_envs": 8, "batch_size": 16}),
}


@pytest.fixture
def machine_has_it(monkeypatch):
    monkeypatch.setattr(precision, "require_bf16", lambda device: None)
    monkeypatch.setattr("agent_gym.nets.learner.learner.require_bf16", lambda device: None)


@pytest.mark.parametrize("run", RUNS)
def test_the_loss_is_float32_and_near_that_of_float32(machine_has_it, run):
    agent, env_id, settings = RUNS[run]
    made = trained(agent, env_id, settings | {"precision": "bf16"}, 1 if agent == "ppo" else 45)
    kept = {}
    for name, learner in made.learners.items():
        update = learner.update
        learner.update = lambda *batch, name=name, update=update: kept.setdefault(name, batch) and update(*batch)
    while len(kept) < len(made.learners):
        made.collect()
        made.update()
    plain = trained(agent, env_id, settings, 0)
    for name in kept:
        theirs = plain.learners[name]
        theirs.parameters.data.copy_(made.learners[name].parameters)
        for target, other in zip(
            plain.__dict__.get("targets", {}).values(), made.__dict__.get("targets", {}).values(), strict=True
        ):
            target.vector.copy_(other.vector)
    for name, batch in kept.items():
        plain.policy.load_state_dict(made.policy.state_dict())
        (loss, stats), (exact, _) = made.learners[name].loss_fn(*batch), plain.learners[name].loss_fn(*batch)
        assert loss.dtype == exact.dtype == torch.float32
        assert all(value.dtype == torch.float32 for value in stats.values() if value.is_floating_point())
        assert loss != exact
        assert (loss - exact).abs() < 0.03 * max(exact.abs(), 1.0)
        grads = torch.autograd.grad(loss, made.learners[name].learned, materialize_grads=True)
        assert all(grad.dtype == torch.float32 for grad in grads)


def test_graphs_of_it_are_the_same_bits(machine_has_it, monkeypatch):
    monkeypatch.setattr(graphs, "PATIENCE", 2)
    settings = RUNS["sac"][2] | {"precision": "bf16"}
    found, plain = (trained("sac", "Pendulum-v1", settings | {"capture": capture}, 60) for capture in ("auto", "no"))
    assert any(graph is not None for graph in found.learners["critic"].graph.graphs.values())
    assert torch.equal(found.learners["actor"].parameters, plain.learners["actor"].parameters)


def test_only_what_multiplies_is_reduced():
    layer, x = torch.nn.Linear(64, 64), torch.randn(8, 64)
    inner, last = reduced(lambda: (layer(x), precisely(layer, layer(x))), CPU)()
    assert inner.dtype == torch.bfloat16 and last.dtype == torch.float32
    assert torch.equal(last, layer(inner.float()))
    assert torch.equal(precisely(layer, x), layer(x))


def test_a_machine_without_it_says_so(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    with pytest.raises(UserError, match="--precision bf16: this processor has no bfloat16"):
        require_bf16(CPU)
    with pytest.raises(UserError, match="--precision bf16"):
        trained("ppo", "CartPole-v1", {"precision": "bf16"}, 0)
    assert config_class("sac")().precision == "float32"
