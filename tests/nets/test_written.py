"""What is written down of a function, beside what torch's own tracer writes."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from agent_gym.nets.learner.written import written


def operations(graph) -> Counter:
    """How often each operation is used; detach is a name for the same numbers."""
    graph.graph.eliminate_dead_code()
    targets = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    return Counter(target for target in targets if target != "aten.detach.default")


def test_a_loss_and_its_gradients_are_the_operations_that_make_fx_finds():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 2))
    parameters = list(network.parameters())
    gain = torch.ones(())

    def run(x, action):
        log_probs = network(x).log_softmax(-1)
        largest, where = log_probs.max(-1)
        loss = -(gain * log_probs.gather(-1, action)).mean() + largest.square().mean() + where.sum() * 0.0
        return loss, *torch.autograd.grad(loss, parameters)

    x, action = torch.randn(5, 3), torch.randint(2, (5, 1))
    ours, theirs = written(run, (x, action)), make_fx(run)(x, action)
    assert operations(ours) == operations(theirs)
    other, choice = torch.randn(5, 3), torch.randint(2, (5, 1))
    with torch.no_grad():
        gain.fill_(2.0)  # what is read elsewhere is read anew
        parameters[0].mul_(1.5)
    for a, b in zip(ours(other, choice), run(other, choice), strict=True):
        assert torch.equal(a, b)


def test_what_is_written_in_place_stands_in_the_graph():
    def run(x):
        y = torch.zeros(4)
        y[1:].add_(x)
        return (y.cumsum(0),)

    graph = written(run, [torch.ones(3)])
    assert graph(torch.tensor([1.0, 2.0, 3.0]))[0].tolist() == [0.0, 1.0, 3.0, 6.0]


@pytest.mark.parametrize("ask", [lambda x: float(x.sum()), lambda x: bool((x > 0).all()), lambda x: x.max().item()])
def test_a_number_taken_out_of_a_tensor_stops_it(ask):
    with pytest.raises(RuntimeError, match="takes a number out of a tensor"):
        written(lambda x: (x * ask(x),), [torch.ones(3)])


def test_a_result_that_was_there_before_is_read_anew():
    before = torch.ones(3)
    graph = written(lambda x: (before, x), [torch.ones(3)])
    before.fill_(2.0)
    assert graph(torch.zeros(3))[0].tolist() == [2.0] * 3
