"""Functions replayed as their bare operations."""

import torch

from agent_gym.nets.learner.scripted import Scripted
from agent_gym.nets.learner.stacked import Stack


def test_a_mapped_network_is_replayed_and_follows_its_weights():
    modules = [torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)) for _ in range(3)]
    stack = Stack([[module] for module in modules], [[], [], []])
    asked = []

    def both(x):
        asked.append(1)
        y = modules[0](x["in"])
        return y, y.softmax(-1).argmax(-1)

    scripted = Scripted(stack.mapped(both))
    with torch.inference_mode():
        for _ in range(4):
            scripted({"in": torch.randn(3, 5, 3)})
    with torch.no_grad():
        modules[1][2].bias += 1.0
    x = torch.randn(3, 5, 3)
    with torch.inference_mode():
        found, best = scripted({"in": x})
    assert len(asked) == 4  # the fifth was replayed
    for module, part, y, index in zip(modules, x, found, best, strict=True):
        torch.testing.assert_close(y, module(part))
        assert torch.equal(index, y.argmax(-1))


def test_other_shapes_and_ways_are_other_scripts():
    flag = [1.0]
    scripted = Scripted(lambda x: (x * flag[0],))
    for _ in range(6):
        assert scripted(torch.ones(2), way=("one",))[0].tolist() == [1.0, 1.0]
    flag[0] = 2.0
    for _ in range(6):
        assert scripted(torch.ones(2), way=("two",))[0].tolist() == [2.0, 2.0]
        assert scripted(torch.ones(3), way=("one",))[0].tolist() == [2.0] * 3


def test_what_is_not_the_same_each_time_is_not_replayed():
    flag = [0.0]

    def counted(x):
        flag[0] += 1.0
        return (x * flag[0],)

    scripted = Scripted(counted)
    assert [scripted(torch.ones(1))[0].item() for _ in range(8)] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]


def test_nothing_is_replayed_with_capture_no():
    calls = []

    def counted(x):
        calls.append(1)
        return (x + 1.0,)

    for capture, expected in (("auto", 4), ("no", 9)):  # noted, written down and tried twice; or each time
        scripted = Scripted(counted, capture)
        calls.clear()
        assert [scripted(torch.ones(1))[0].item() for _ in range(9)] == [2.0] * 9
        assert len(calls) == expected
