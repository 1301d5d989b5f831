"""The batched ensemble against separate torch.nn networks with the same weights."""

import pytest
import torch
from torch import nn

from agent_gym.nets.layers.ensemble import BatchedLayerNorm, BatchedLinear, EnsembleMLP


@pytest.mark.parametrize("layer_norm", [False, True])
def test_ensemble_equals_separate_networks(layer_norm):
    torch.manual_seed(0)
    ensemble = EnsembleMLP(3, 5, (16, 8), 2, "relu", layer_norm)
    batched = [layer for layer in ensemble.modules() if isinstance(layer, BatchedLinear)]
    norms = [layer for layer in ensemble.modules() if isinstance(layer, BatchedLayerNorm)]
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(7, 5, requires_grad=True)
    out = ensemble(x)
    assert out.shape == (3, 7, 2)
    separate = []
    for k in range(3):
        linears = [nn.Linear(5, 16), nn.Linear(16, 8), nn.Linear(8, 2)]
        for linear, layer in zip(linears, batched, strict=True):
            linear.weight.data, linear.bias.data = layer.weight[k].t().clone(), layer.bias[k, 0].clone()
        between = [nn.LayerNorm(16), nn.LayerNorm(8)] if layer_norm else [nn.Identity(), nn.Identity()]
        for norm, layer in zip(between, norms, strict=layer_norm):
            norm.weight.data, norm.bias.data = layer.weight[k, 0].clone(), layer.bias[k, 0].clone()
        network = nn.Sequential(linears[0], between[0], nn.ReLU(), linears[1], between[1], nn.ReLU(), linears[2])
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
