"""Procedures as graphs, with a stand-in for CUDA's graphs that runs what it has recorded: the rest is the same."""

import pytest
import torch

from agent_gym.agents import agent_class, config_class, on_policy
from agent_gym.envs.make import make_env
from agent_gym.nets.learner import cuda_graphs
from agent_gym.nets.learner.cuda_graphs import TRIALS, WARM, Recorded

CPU = torch.device("cpu")


class StandIn:
    """Runs the procedure again, on the inputs that lie in its places, and puts the results where they first were."""

    made: list["StandIn"] = []

    def __init__(self, device, generators):
        self.replays = 0
        self.made.append(self)

    def record(self, function):
        """Nothing happens yet, as on a GPU."""
        self.function = function

    def replay(self):
        self.replays += 1
        self.function()


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "DEVICES", {"cpu"})
    monkeypatch.setattr(cuda_graphs, "make_graph", StandIn)
    monkeypatch.setattr(StandIn, "made", [])
    return StandIn


def test_replays_give_what_the_procedure_gives_and_keep_no_result_in_place(stand_in):
    total, calls = torch.zeros(3), []

    def add(x, more):
        calls.append(1)
        total.add_(x)
        return {"total": total * 1.0, "sum": total.sum() + more["y"].sum()}

    recorded = Recorded("a sum", add, CPU, lambda: [total])
    found = [recorded(torch.full((3,), float(k)), {"y": torch.ones(2)}) for k in range(10)]
    sums = torch.arange(10.0).cumsum(0)
    assert [part["total"][0].item() for part in found] == sums.tolist()
    assert [part["sum"].item() for part in found] == (3 * sums + 2).tolist()
    assert len(stand_in.made) == 1 and stand_in.made[0].replays == 10 - WARM
    assert len(calls) == 10 + TRIALS


def test_draws_go_on_as_without_a_graph(stand_in):
    generator, twin = (torch.Generator().manual_seed(3) for _ in range(2))
    recorded = Recorded("a draw", lambda: torch.rand(2, generator=generator), CPU, lambda: [], [generator])
    for _ in range(9):
        assert torch.equal(recorded(), torch.rand(2, generator=twin))
    assert torch.equal(generator.get_state(), twin.get_state())


@pytest.mark.parametrize("fault", ["numbers", "waits"])
def test_what_disagrees_or_cannot_be_recorded_is_dropped_with_one_line(stand_in, monkeypatch, capsys, fault):
    state = torch.zeros(())

    def replay(self):
        if fault == "waits":
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        self.function()
        state.add_(0.25)

    monkeypatch.setattr(StandIn, "replay", replay)
    recorded = Recorded("a count", lambda: state.add_(1.0) * 1.0, CPU, lambda: [state])
    assert [recorded().item() for _ in range(8)] == list(range(1, 9))
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "a count runs without a graph" in error
    assert ("other numbers" if fault == "numbers" else "not permitted") in error


def test_an_error_of_the_procedure_itself_comes_out(stand_in):
    def fails(x):
        raise RuntimeError("genuine")

    with pytest.raises(RuntimeError, match="genuine"):
        Recorded("a failure", fails, CPU, lambda: [])(torch.ones(1))


def test_another_shape_or_variant_has_a_graph_of_its_own(stand_in):
    recorded = Recorded("a double", lambda x: x * 2, CPU, lambda: [])
    for _ in range(8):
        for size in (2, 3):
            for variant in "ab":
                x = torch.randn(size)
                assert torch.equal(recorded(x, variant=variant), x * 2)
    assert len(stand_in.made) == 4


SMALL = {"hidden_sizes": (8,), "eval_episodes": 1}
REPLAY = {"learning_starts": 40, "batch_size": 8, "buffer_size": 500, "num_envs": 2, **SMALL}
RUNS = {
    "ppo": ("ppo", "CartPole-v1", {"num_steps": 16, "num_envs": 4, "num_epochs": 2, **SMALL}),
    "ppo on Gymnasium's": ("ppo", "CartPole-v1", {"backend": "sync", "num_steps": 16, "num_envs": 2, **SMALL}),
    "ppo lstm": ("ppo", "CartPole-v1", {"encoder": "gru", "num_steps": 8, "num_envs": 4, **SMALL}),
    "ppo held noise": ("ppo", "Pendulum-v1", {"sde_every": 4, "num_steps": 16, "num_envs": 4, **SMALL}),
    "dqn": ("dqn", "CartPole-v1", REPLAY),
    "dqn by priority": ("dqn", "CartPole-v1", REPLAY | {"prioritized": True, "quantiles": 3}),
    "dqn lstm": ("dqn", "CartPole-v1", REPLAY | {"encoder": "gru", "sequence_length": 4, "learning_starts": 60}),
    "sac on Gymnasium's": ("sac", "Pendulum-v1", REPLAY | {"backend": "sync"}),
    "dqn on Gymnasium's": ("dqn", "CartPole-v1", REPLAY | {"backend": "sync"}),
    "sac": ("sac", "Pendulum-v1", REPLAY | {"normalize_returns": "yes"}),
    "td3": ("td3", "Pendulum-v1", REPLAY | {"normalize_obs": True}),
}


def trained(agent, env_id, settings, rounds, device="cpu"):
    config = config_class(agent)(env=env_id, total_steps=10_000, seed=4, **settings)
    torch.manual_seed(4)
    env = make_env(env_id, config.num_envs, backend=config.backend, seed=4)
    if env.backend == "native":
        env.move(torch.device(device))
    made = agent_class(agent)(config, env, device)
    made.begin()
    for _ in range(rounds):
        made.collect()
        made.update()
    return made


ON_THE_CPU = [run for run, (_, _, settings) in RUNS.items() if settings.get("backend") == "sync"]


@pytest.mark.parametrize("run, travels", [(run, False) for run in RUNS] + [(run, True) for run in ON_THE_CPU])
def test_agents_are_the_same_with_and_without(stand_in, monkeypatch, capsys, run, travels):
    """All branches that a GPU takes, replayed or as they are written; a CPU's products depend on where memory lies.

    With `travels` as if everything had come from another device.
    """
    monkeypatch.setattr(cuda_graphs, "apart", lambda a, b: travels)
    monkeypatch.setattr(on_policy, "apart", lambda a, b: travels)
    agent, env_id, settings = RUNS[run]
    rounds = 8 if agent == "ppo" else 60
    found = trained(agent, env_id, settings, rounds)
    assert any(graph.replays > TRIALS for graph in stand_in.made)
    assert "without a graph" not in capsys.readouterr().err
    plain = trained(agent, env_id, settings | {"capture": "no"}, rounds)
    assert all(not recorded.places for recorded in plain.recorded.values())
    for (name, a), b in zip(found.policy.state_dict().items(), plain.policy.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4, msg=name)
    assert torch.equal(found.generator.get_state(), plain.generator.get_state())
    torch.testing.assert_close(found.obs, plain.obs)
