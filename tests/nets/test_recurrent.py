"""Recurrent encoders against torch.nn, which is run piece by piece between resets."""

import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.encoders.recurrent.encoder import RecurrentEncoder
from agent_gym.nets.encoders.recurrent.scan import GRUScan, RNNScan
from agent_gym.nets.settings import EncoderSettings

STEPS, BATCH, INPUTS, SIZE = 12, 5, 3, 8
REFERENCE = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def make(name: str, layers: int = 1) -> RecurrentEncoder:
    config = EncoderSettings(name, hidden_sizes=(), recurrent_size=SIZE, recurrent_layers=layers, orthogonal=False)
    return make_encoder(spaces.Box(-1, 1, (INPUTS,)), config)


def make_resets(kind: str) -> Tensor:
    reset = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    if kind == "some":
        reset[0, 0] = reset[4, 1] = reset[4, 2] = reset[5, 1] = reset[-1, 2] = reset[-1, 3] = True
    return torch.ones_like(reset) if kind == "every step" else reset


def reference(encoder: RecurrentEncoder, name: str, obs: Tensor, state: Tensor, reset: Tensor):
    """torch.nn's module with the encoder's weights, one environment and one episode piece at a time."""
    module = REFERENCE[name](INPUTS, SIZE, len(encoder.layers)).to(obs.dtype)
    for index, layer in enumerate(encoder.layers):
        for parameter in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            delattr(module, f"{parameter}_l{index}")
            setattr(module, f"{parameter}_l{index}", getattr(layer, parameter))
    module._flat_weights = [getattr(module, weight) for weight in module._flat_weights_names]
    features, states = [], []
    for b in range(obs.shape[1]):
        hidden = state[b].view(len(encoder.layers), -1, SIZE).unbind(1)  # (h, c) or (h,), each [layers, SIZE]
        starts = [0, *(t for t in range(1, len(obs)) if reset[t, b]), len(obs)]
        pieces = []
        for start, end in zip(starts[:-1], starts[1:], strict=True):
            if reset[start, b]:
                hidden = tuple(torch.zeros_like(h) for h in hidden)
            out, after = module(obs[start:end, b], tuple(hidden) if name == "lstm" else hidden[0])
            hidden = after if name == "lstm" else (after,)
            pieces.append(out)
        features.append(torch.cat(pieces))
        states.append(torch.stack(tuple(hidden), dim=1).flatten())
    return torch.stack(features, dim=1), torch.stack(states)


@pytest.mark.parametrize("kind", ["none", "some", "every step"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", REFERENCE)
def test_outputs_state_and_gradients_equal_torch_nn_between_resets(name, layers, kind):
    torch.manual_seed(0)
    encoder = make(name, layers)
    obs = torch.randn(STEPS, BATCH, INPUTS, requires_grad=True)
    state = torch.randn(BATCH, encoder.state_dim, requires_grad=True)
    reset = make_resets(kind)
    features, after = encoder(obs, state, reset)
    expected, expected_after = reference(encoder, name, obs, state, reset)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after, expected_after, atol=1e-5, rtol=1e-5)

    weights = [torch.randn_like(features), torch.randn_like(after)]
    leaves = [obs, state, *encoder.parameters()]
    grads = torch.autograd.grad([features, after], leaves, weights)
    expected_grads = torch.autograd.grad(
        [expected, expected_after], leaves, weights, allow_unused=True, materialize_grads=True
    )
    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, expected_grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", REFERENCE)
def test_acting_step_by_step_equals_the_whole_sequence(name):
    torch.manual_seed(0)
    encoder = make(name, layers=2)
    obs, reset = torch.randn(STEPS, BATCH, INPUTS), make_resets("some")
    state = torch.randn(BATCH, encoder.state_dim)
    features, after = encoder(obs, state, reset)
    with torch.no_grad():
        steps = []
        for t in range(STEPS):
            step, state = encoder(obs[t : t + 1], state, reset[t : t + 1])
            steps.append(step)
    torch.testing.assert_close(torch.cat(steps), features, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(state, after, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("scan, gates", [(GRUScan, 3), (RNNScan, 1)])
def test_hand_derived_backward_equals_finite_differences(scan, gates):
    torch.manual_seed(0)
    shapes = [(4, 2, 3), (2, 5), (gates * 5, 3), (gates * 5, 5), (gates * 5,), (gates * 5,)]
    x, h, *weights = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    keep = torch.ones(4, 2, 1, dtype=torch.float64)
    keep[0, 0] = keep[2, 1] = 0.0
    assert torch.autograd.gradcheck(scan.apply, (x, h, keep, *weights))


def test_lstm_gradients_equal_finite_differences():
    torch.manual_seed(0)
    encoder = make("lstm").double()
    reset = torch.zeros(4, 2, dtype=torch.bool)
    reset[0, 0] = reset[2, 1] = True
    obs = torch.randn(4, 2, INPUTS, dtype=torch.float64, requires_grad=True)
    state = torch.randn(2, encoder.state_dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda obs, state: encoder(obs, state, reset), (obs, state))


@pytest.mark.parametrize("name", REFERENCE)
def test_a_reset_hides_everything_before_it(name):
    encoder = make(name)
    reset = torch.zeros(STEPS, 1, dtype=torch.bool)
    reset[7] = True
    obs = torch.randn(STEPS, 1, INPUTS, requires_grad=True)
    features, _ = encoder(obs, torch.randn(1, encoder.state_dim), reset)
    (grad,) = torch.autograd.grad(features[7:].sum(), obs)
    assert not grad[:7].any() and grad[7:].abs().min() > 0


@pytest.mark.parametrize("name", REFERENCE)
def test_an_mlp_or_cnn_stands_before_the_memory(name):
    image = spaces.Box(0, 255, (7, 7, 3), "uint8")
    encoder = make_encoder(image, EncoderSettings(name, recurrent_size=SIZE))
    features, state = encoder(
        torch.zeros(2, 3, 7, 7, 3, dtype=torch.uint8), encoder.initial_state(3), make_resets("none")[:2, :3]
    )
    assert features.shape == (2, 3, SIZE) and state.shape == (3, encoder.state_dim)
    assert encoder.state_dim == SIZE * (2 if name == "lstm" else 1)
