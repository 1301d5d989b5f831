"""The transformer against torch.nn's own layers, and against itself step by step."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.attention.layer import TransformerLayer
from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.settings import EncoderSettings

SMALL = {"hidden_sizes": (8,), "attention_size": 12, "attention_heads": 3, "attention_window": 5}
SPACE = spaces.Box(-1, 1, (4,))


@dataclass(frozen=True)
class OverInputs(EncoderSettings):
    attend_to: ClassVar[str] = "inputs"


def torch_layer(ours: TransformerLayer, size: int, heads: int, norm_first: bool) -> nn.TransformerEncoderLayer:
    theirs = nn.TransformerEncoderLayer(size, heads, 4 * size, 0.0, "gelu", batch_first=True, norm_first=norm_first)
    theirs.load_state_dict(ours.state_dict())
    return theirs


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_layer_and_its_gradients_equal_torch(norm_first):
    torch.manual_seed(0)
    ours = TransformerLayer(12, 3, norm_first=norm_first)
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    theirs = torch_layer(ours, 12, 3, norm_first)
    x, goal = torch.randn(4, 7, 12), torch.randn(4, 7, 12)
    mask = torch.where(torch.ones(7, 7).tril().bool(), torch.randn(7, 7), float("-inf"))
    out, expected = ours(x, mask)[0], theirs(x, mask)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-6)
    grads = torch.autograd.grad((out - goal).square().mean(), list(ours.parameters()))
    counterparts = [theirs.get_parameter(name) for name, _ in ours.named_parameters()]
    expected = torch.autograd.grad((expected - goal).square().mean(), counterparts)
    for mine, other in zip(grads, expected, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)


def test_weights_are_those_of_multihead_attention():
    torch.manual_seed(1)
    layer = TransformerLayer(12, 3, norm_first=False)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.load_state_dict(layer.self_attn.state_dict())
    x, seen = torch.randn(2, 6, 12), []
    layer(x, seen=seen)
    _, expected = theirs(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(seen[0], expected, atol=1e-6, rtol=1e-6)


def test_a_sequence_equals_torchs_encoder_under_the_mask_written_out():
    torch.manual_seed(2)
    encoder = make_encoder(SPACE, EncoderSettings("transformer", **SMALL))
    nn.init.normal_(encoder.attention.age_bias)
    steps, reset = 11, torch.zeros(11, 1, dtype=torch.bool)
    reset[0], reset[7] = True, True
    mask = torch.full((3, steps, steps), float("-inf"))
    for t in range(steps):
        for s in range(max(t - 4, 0 if t < 7 else 7), t + 1):
            mask[:, t, s] = encoder.attention.age_bias[:, t - s].detach()
    obs = torch.randn(steps, 1, 4)
    x = encoder.input(encoder.stem.mlp(obs)).transpose(0, 1)
    for layer in encoder.attention.layers:
        x = torch_layer(layer, 12, 3, True)(x, mask)
    features, _ = encoder(obs, encoder.initial_state(1), reset)
    torch.testing.assert_close(features[:, 0], encoder.attention.norm(x)[0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("cuts", [[1] * 23, [9, 1, 13], [2, 21]])
def test_step_by_step_equals_the_whole_sequence_with_resets(cuts):
    torch.manual_seed(3)
    encoder = make_encoder(SPACE, EncoderSettings("transformer", **SMALL))
    nn.init.normal_(encoder.attention.age_bias)
    obs, reset = torch.randn(23, 6, 4), torch.rand(23, 6) < 0.15
    before = encoder(torch.randn(3, 6, 4), encoder.initial_state(6), torch.zeros(3, 6, dtype=torch.bool))[1].detach()
    whole, last = encoder(obs, before, reset)
    state, parts = before, []
    for part, ends in zip(obs.split(cuts), reset.split(cuts), strict=True):
        features, state = encoder(part, state, ends)
        parts.append(features)
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(state, last, atol=1e-6, rtol=1e-5)
    # What an episode forgets at its start is gone: nothing of the state before reaches it.
    ended = reset.any(0)
    again, _ = encoder(obs, before + 1e3 * torch.randn_like(before), reset)
    first = reset.int().argmax(0)
    for column in torch.nonzero(ended).flatten().tolist():
        assert torch.equal(again[first[column] :, column], whole[first[column] :, column])


def test_a_step_reaches_back_as_far_as_the_window():
    torch.manual_seed(4)
    config = EncoderSettings("transformer", **SMALL, attention_layers=1)
    encoder = make_encoder(SPACE, config)
    obs = torch.randn(12, 1, 4, requires_grad=True)
    features, _ = encoder(obs, encoder.initial_state(1), torch.zeros(12, 1, dtype=torch.bool))
    (grad,) = torch.autograd.grad(features[-1].square().sum(), obs)
    assert (grad.abs().amax((1, 2)) > 0).tolist() == [False] * 7 + [True] * 5


def test_columns_become_tokens_that_all_see_each_other():
    torch.manual_seed(5)
    encoder = make_encoder(SPACE, OverInputs("transformer", **SMALL))
    assert encoder.state_dim == 0
    obs = torch.randn(2, 3, 4)
    x = obs.flatten(0, 1).unsqueeze(-1) * encoder.tokens.weight + encoder.tokens.bias
    x = torch.cat((encoder.summary.expand(6, 1, 12), x), dim=1)
    for layer in encoder.layers:
        x = torch_layer(layer, 12, 3, True)(x)
    features, _ = encoder(obs, torch.zeros(3, 0), torch.zeros(2, 3, dtype=torch.bool))
    torch.testing.assert_close(features, encoder.norm(x[:, 0]).view(2, 3, 12), atol=1e-6, rtol=1e-5)


def test_patches_of_an_image_become_tokens():
    space = spaces.Box(0, 255, (9, 13), np.uint8)
    encoder = make_encoder(space, OverInputs("transformer", **SMALL))
    assert encoder.tokens.count == 6
    obs = torch.randint(0, 256, (1, 2, 9, 13), dtype=torch.uint8)
    patch = obs[0, 1, 4:8, 8:12].float().flatten() / 255.0
    expected = (
        encoder.tokens.patches.weight.view(12, 16) @ patch + encoder.tokens.patches.bias + encoder.tokens.place[5]
    )
    torch.testing.assert_close(encoder.tokens(obs)[1, 5], expected, atol=1e-6, rtol=1e-5)
    seen = []
    features, _ = encoder(obs, torch.zeros(2, 0), torch.zeros(1, 2, dtype=torch.bool), seen)
    assert features.shape == (1, 2, 12) and [w.shape for w in seen] == [(2, 3, 7, 7)] * 2


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(UserError, match="--attention-size 10 --attention-heads 4"):
        make_encoder(SPACE, EncoderSettings("transformer", attention_size=10))
    with pytest.raises(UserError, match="--attention-window 0"):
        EncoderSettings("transformer", attention_window=0)
