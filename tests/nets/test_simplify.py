"""Simplified graphs against the traced ones: the same bits, from fewer operations."""

import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from agent_gym.nets.layers.ensemble import EnsembleMLP
from agent_gym.nets.learner import graphs
from agent_gym.nets.learner.graphs import GradientGraph
from agent_gym.nets.learner.learner import flatten
from agent_gym.nets.learner.simplify import simplify
from agent_gym.nets.learner.written import written


def operations(graph) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def test_what_depends_on_shapes_alone_is_done_once():
    def run(x):
        half = torch.ones_like(x).unsqueeze(0).expand(3, *x.shape) / 2
        return ((x * half).sum(0) + (x * half).sum(0),)

    x = torch.randn(4, 5)
    graph = written(run, [x])
    assert simplify(graph, [x], [None]) == set()
    assert operations(graph) == ["aten.mul.Tensor", "aten.sum.dim_IntList", "aten.add.Tensor"]
    for values in (x, torch.randn(4, 5)):
        torch.testing.assert_close(graph(values)[0], 3.0 * values)


def test_views_meet_and_vanish():
    weight = nn.Parameter(torch.randn(6, 5))

    def run(x):  # a linear layer on [T, B, n] makes two views of its own
        return (F.linear(F.linear(x, weight).relu().view(20, 6).view(4, 5, 6), weight.t()).relu().flatten(0, 1),)

    x = torch.randn(4, 5, 5)
    graph = written(run, [x])
    simplify(graph, [x], [None])
    names = operations(graph)
    assert sum("view" in name for name in names) <= 1
    assert sum(".t." in name or "transpose" in name for name in names) == 0
    with torch.no_grad():
        for _ in range(2):
            expected = ((x @ weight.t()).relu() @ weight).relu().view(20, 5)
            torch.testing.assert_close(graph(x)[0], expected)
            weight.mul_(1.5)  # what is written to a parameter is seen through its views


def test_results_are_written_where_they_are_wanted():
    weight, place = torch.randn(3, 4), torch.zeros(5, 4)

    def run(x):
        return x @ weight, x @ weight + 1.0, (x * 2.0) @ weight

    x = torch.randn(5, 3)
    graph = written(run, [x])
    assert simplify(graph, [x], [None, torch.zeros(5, 4), place]) == {2}
    results = graph(x)
    torch.testing.assert_close(place, 2.0 * x @ weight)
    torch.testing.assert_close(results[1], x @ weight + 1.0)


def test_operands_that_change_stop_it():
    def run(x):
        y = x * 2.0
        z = y.view(-1)
        z.add_(1.0)
        return ((y * 1.0).sum(),)

    x = torch.randn(3, 4)
    graph = written(run, [x])
    simplify(graph, [x], [None])
    torch.testing.assert_close(graph(x)[0], (2.0 * x + 1.0).sum())


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
def test_replayed_losses_keep_every_bit_of_the_plain_ones(activation, monkeypatch):
    monkeypatch.setattr(graphs, "PATIENCE", 0)
    torch.manual_seed(0)
    critics, policy = EnsembleMLP(2, 5, (16, 16), 1, activation), nn.Linear(3, 4)

    def loss_fn(batch):
        mean, log_std = policy(batch["obs"]).chunk(2, -1)
        action = torch.tanh(mean + log_std.clamp(-5.0, 2.0).exp() * batch["noise"])
        q = critics(torch.cat((batch["obs"], action), -1).flatten(0, 1)).amin(0)
        return (q.square().mean() - q.mean()), {"q": q.detach()}

    parameters = [*critics.parameters(), *policy.parameters()]
    flatten(parameters)
    replayed = GradientGraph(loss_fn, parameters)
    for _ in range(6):
        batch = {"obs": torch.randn(1, 32, 3), "noise": torch.randn(1, 32, 2)}
        loss, stats = replayed(batch)
        gradients = [p.grad.clone() for p in parameters]
        expected, expected_stats = loss_fn(batch)
        for a, b in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
            assert torch.equal(a, b)
        assert torch.equal(loss, expected) and torch.equal(stats["q"], expected_stats["q"])
    (graph,) = replayed.graphs.values()
    assert graph is not None and graph.trials == graphs.TRIALS  # it was really replayed


@pytest.mark.parametrize("layer", [nn.LayerNorm(6), nn.Conv1d(3, 3, 1)], ids=lambda layer: type(layer).__name__)
def test_operations_with_lists_of_bool_are_replayed_and_outlive_the_trace(layer, monkeypatch):
    monkeypatch.setattr(graphs, "PATIENCE", 0)
    trace = graphs._Graph.trace

    def trace_and_clear(*args):
        graph = trace(*args)
        gc.collect()  # takes whatever nobody holds; the rest writes over it
        for _ in range(50):
            torch.jit.CompilationUnit("def run(x: Tensor):\n    return [x + 1]\n")
        return graph

    monkeypatch.setattr(graphs._Graph, "trace", trace_and_clear)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), layer, nn.Tanh(), nn.Linear(6, 1))
    parameters = list(model.parameters())
    flatten(parameters)
    replayed = GradientGraph(lambda x: (model(x).square().mean(), {}), parameters)
    for _ in range(5):
        x = torch.randn(8, 3, 5)
        loss, _ = replayed(x)
        gradients = [p.grad.clone() for p in parameters]
        expected = model(x).square().mean()
        assert torch.equal(loss, expected.detach())
        for a, b in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
            assert torch.equal(a, b)
    (graph,) = replayed.graphs.values()
    assert graph is not None and graph.called
