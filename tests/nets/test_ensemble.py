"""The batched ensemble against separate torch.nn networks with the same weights."""

import torch
from torch import nn

from nets.ensemble import BatchedLinear, EnsembleMLP


def test_ensemble_equals_separate_networks():
    torch.manual_seed(0)
    ensemble = EnsembleMLP(3, 5, (16, 8), 2, "relu")
    batched = [layer for layer in ensemble.modules() if isinstance(layer, BatchedLinear)]
    x = torch.randn(7, 5, requires_grad=True)
    out = ensemble(x)
    assert out.shape == (3, 7, 2)
    separate = []
    for k in range(3):
        network = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
        for linear, layer in zip(network[::2], batched, strict=True):
            linear.weight.data, linear.bias.data = layer.weight[k].t().clone(), layer.bias[k, 0].clone()
        separate.append(network)
    expected = torch.stack([network(x) for network in separate])
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)

    weights = torch.randn_like(out)
    grads = torch.autograd.grad(out, [x, batched[0].weight, batched[-1].bias], weights, retain_graph=True)
    expected_x, *first = torch.autograd.grad(
        expected, [x, *(n[0].weight for n in separate)], weights, retain_graph=True
    )
    last = torch.autograd.grad(expected, [n[-1].bias for n in separate], weights)
    torch.testing.assert_close(grads[0], expected_x, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(grads[1], torch.stack(first).transpose(1, 2), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(grads[2], torch.stack(last).unsqueeze(1), atol=1e-5, rtol=1e-5)
