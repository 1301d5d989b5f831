"""The gradient of narrow layers against torch's, and where it is taken."""

import pytest
import torch
import torch.nn.functional as F

from agent_gym.nets.layers import narrow


@pytest.mark.parametrize("shape", [(4096, 4), (1, 512, 7), (2, 300, 24)])
@pytest.mark.parametrize("inputs_too", [False, True])
def test_gradients_are_those_of_torch(shape, inputs_too):
    torch.manual_seed(0)
    x = torch.randn(*shape, requires_grad=inputs_too)
    weight, bias = torch.randn(64, shape[-1], requires_grad=True), torch.randn(64, requires_grad=True)
    wanted = [weight, bias] + [x] * inputs_too
    found = narrow.linear(x, weight, bias)
    assert type(found.grad_fn).__name__ == "_NarrowBackward"
    theirs = F.linear(x, weight, bias)
    assert torch.equal(found, theirs)
    for a, b in zip(*(torch.autograd.grad(y.tanh().sum(), wanted) for y in (found, theirs)), strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(8, 4), (4096, 1), (4096, 32)])
def test_others_are_torchs_own(shape):
    weight = torch.randn(64, shape[-1], requires_grad=True)
    found = narrow.linear(torch.randn(*shape), weight, torch.zeros(64))
    assert type(found.grad_fn).__name__ == "AddmmBackward0"
