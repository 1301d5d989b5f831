"""Encoders for every observation space, against hand-built torch.nn networks and closed forms."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import nn

from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_leaves, tree_map
from agent_gym.nets.encoders.cells import to_nchw
from agent_gym.nets.encoders.make import MEMORIES, make_encoder
from agent_gym.nets.layers.activations import ACTIVATIONS, FAST_TANH_FROM_WITH_GRAD, get_activation, tanh
from agent_gym.nets.settings import EncoderSettings
from agent_gym.nets.summary import summary


def image(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def batch_of(space: spaces.Space, steps: int = 2, batch: int = 3):
    """Samples [steps, batch, ...] as the vector environments give them: a Tuple as a dict, floats as float32."""
    if isinstance(space, spaces.Tuple):
        return {str(index): batch_of(child, steps, batch) for index, child in enumerate(space)}
    if isinstance(space, spaces.Dict):
        return {key: batch_of(child, steps, batch) for key, child in space.items()}
    samples = np.stack([space.sample() for _ in range(steps * batch)])
    obs = torch.from_numpy(samples.reshape(steps, batch, *space.shape))
    return obs.float() if obs.is_floating_point() else obs


def run(encoder, obs):
    steps, batch = tree_leaves(obs)[0].shape[:2]
    return encoder(obs, encoder.initial_state(batch), torch.zeros(steps, batch, dtype=torch.bool))


SPACES = [
    spaces.Box(-1, 1, (4,)),
    spaces.Box(-1, 1, ()),
    spaces.Box(-1, 1, (2, 3)),
    spaces.Box(-np.inf, np.inf, (4,), np.float64),
    spaces.Box(0, 9, (4,), np.int64),
    image(128),
    image(84, 84),
    image(84, 84, 3),
    image(4, 84, 84),
    image(36, 40, 1),
    image(28, 28, 1),
    image(5, 5, 3),
    image(4, 36, 36, 3),
    spaces.Box(0, 1, (10, 10, 6), bool),
    spaces.Discrete(5, start=-2),
    spaces.MultiDiscrete([2, 4, 3]),
    spaces.MultiDiscrete([[2, 4], [3, 3]]),
    spaces.MultiBinary(5),
    spaces.MultiBinary((2, 3)),
    spaces.Tuple([spaces.Discrete(3), spaces.Box(-1, 1, (2,))]),
    spaces.Dict({"a.b": image(12, 12, 3), "c": spaces.Dict(d=spaces.MultiBinary(2), e=image(40, 40))}),
]


@pytest.mark.parametrize("name", ["auto", "mlp", "linear", "lstm", "transformer"])
@pytest.mark.parametrize("space", SPACES, ids=lambda space: str(space)[:60])
def test_every_space_encodes(space, name):
    encoder = make_encoder(space, EncoderSettings(name, hidden_sizes=(16,), recurrent_size=8))
    features, state = run(encoder, batch_of(space))
    assert features.shape == (2, 3, encoder.out_dim) and features.dtype == torch.float32
    assert state.shape == (3, encoder.state_dim) and (encoder.state_dim == 0) == (name not in MEMORIES)


@pytest.mark.parametrize("space", [spaces.Text(4), spaces.Dict(a=spaces.Text(4)), spaces.Box(-1, 1, (0,))], ids=str)
def test_unsupported_spaces_are_named(space):
    with pytest.raises(UserError, match="Text|Box") as error:
        make_encoder(space, EncoderSettings())
    assert "\n" not in str(error.value)


def test_cnn_without_an_image_and_too_many_convolutions_are_refused():
    with pytest.raises(UserError, match="needs an image"):
        make_encoder(spaces.Box(-1, 1, (4,)), EncoderSettings("cnn"))
    with pytest.raises(UserError, match="too small for conv_layers"):
        make_encoder(image(8, 8, 3), EncoderSettings(conv_layers=((8, 5, 2, 0), (8, 5, 2, 0))))


def test_mlp_equals_torch_nn():
    torch.manual_seed(0)
    encoder = make_encoder(spaces.Box(-1, 1, (4,)), EncoderSettings(hidden_sizes=(16, 8), activation="tanh"))
    linears = [layer for layer in encoder.modules() if isinstance(layer, nn.Linear)]
    expected = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 8), nn.Tanh())
    expected[0].load_state_dict(linears[0].state_dict())
    expected[2].load_state_dict(linears[1].state_dict())
    obs = torch.randn(2000, 3, 4)
    torch.testing.assert_close(run(encoder, obs)[0], expected(obs), atol=1e-6, rtol=1e-5)
    for layer in linears:
        rows = layer.weight if layer.weight.shape[0] <= layer.weight.shape[1] else layer.weight.t()
        torch.testing.assert_close(rows @ rows.t(), 2.0 * torch.eye(len(rows)), atol=1e-5, rtol=0)
        assert not layer.bias.any()


def test_layer_norm_stands_between_the_sums_and_the_activation():
    torch.manual_seed(0)
    config = EncoderSettings(hidden_sizes=(16, 8), activation="relu", layer_norm=True)
    encoder = make_encoder(spaces.Box(-1, 1, (4,)), config)
    first, second = (layer for layer in encoder.modules() if isinstance(layer, nn.Linear))
    for layer in (first, second):
        nn.init.normal_(layer.norm.weight)
        nn.init.normal_(layer.norm.bias)
    expected = obs = torch.randn(50, 3, 4)
    for layer in (first, second):
        sums = expected @ layer.weight.t() + layer.bias
        deviation = sums - sums.mean(-1, keepdim=True)
        scaled = deviation / (deviation.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        expected = (scaled * layer.norm.weight + layer.norm.bias).relu()
    torch.testing.assert_close(run(encoder, obs)[0], expected, atol=1e-5, rtol=1e-5)


def test_linear_hands_the_inputs_on():
    obs = torch.randn(2, 3, 4)
    assert torch.equal(run(make_encoder(spaces.Box(-1, 1, (4,)), EncoderSettings("linear")), obs)[0], obs)


def test_discrete_values_are_one_hot_from_their_start():
    encoder = make_encoder(spaces.Discrete(4, start=3), EncoderSettings("linear"))
    obs = torch.tensor([[3, 4], [6, 5]])
    assert torch.equal(run(encoder, obs)[0], F.one_hot(obs - 3, 4).float())
    encoder = make_encoder(spaces.MultiDiscrete([2, 3], start=[0, 1]), EncoderSettings("linear"))
    expected = torch.cat([F.one_hot(torch.tensor([[1]]), 2), F.one_hot(torch.tensor([[2]]), 3)], -1).float()
    assert torch.equal(run(encoder, torch.tensor([[[1, 3]]]))[0], expected)


@pytest.mark.parametrize(
    "shape, order, frame",
    [
        ((84, 84, 3), (2, 0, 1), (3, 84, 84)),
        ((4, 84, 84), (0, 1, 2), (4, 84, 84)),
        ((210, 160, 3), (2, 0, 1), (3, 210, 160)),
        ((3, 210, 160), (0, 1, 2), (3, 210, 160)),
        ((8, 8, 20), (2, 0, 1), (20, 8, 8)),
        ((20, 8, 8), (0, 1, 2), (20, 8, 8)),
        ((3, 3, 3), (2, 0, 1), (3, 3, 3)),
        ((28, 28), (0, 1), (1, 28, 28)),
        ((4, 84, 84, 3), (0, 3, 1, 2), (12, 84, 84)),
        ((4, 1, 84, 84), (0, 1, 2, 3), (4, 84, 84)),
    ],
)
def test_layout_rule(shape, order, frame):
    assert to_nchw(shape) == (order, frame)


@pytest.mark.parametrize("size", [5, 20, 84])
def test_hwc_and_chw_give_the_same_features(size):
    hwc, chw = image(size, size, 3), image(3, size, size)
    last, first = make_encoder(hwc, EncoderSettings()), make_encoder(chw, EncoderSettings())
    first.load_state_dict(last.state_dict())
    obs = batch_of(hwc)
    torch.testing.assert_close(
        run(last, obs)[0], run(first, obs.permute(0, 1, 4, 2, 3).contiguous())[0], atol=1e-5, rtol=1e-4
    )


def test_stacked_rgb_frames_equal_their_channels_side_by_side():
    stacked, flat = image(4, 40, 40, 3), image(12, 40, 40)
    stack_encoder, flat_encoder = make_encoder(stacked, EncoderSettings()), make_encoder(flat, EncoderSettings())
    flat_encoder.load_state_dict(stack_encoder.state_dict())
    obs = batch_of(stacked)
    side_by_side = torch.cat([obs[:, :, k].permute(0, 1, 4, 2, 3) for k in range(4)], dim=2)
    torch.testing.assert_close(run(stack_encoder, obs)[0], run(flat_encoder, side_by_side)[0], atol=1e-5, rtol=1e-4)


def test_nature_cnn_equals_the_paper_on_scaled_pixels():
    torch.manual_seed(0)
    encoder = make_encoder(image(4, 84, 84), EncoderSettings())
    ours = [layer for layer in encoder.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    paper = nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
    )  # fmt: skip
    for layer, source in zip([paper[0], paper[2], paper[4], paper[7]], ours, strict=True):
        layer.load_state_dict(source.state_dict())
    obs = batch_of(image(4, 84, 84))
    expected = paper(obs.flatten(0, 1).float() / 255.0).view(2, 3, 512)
    torch.testing.assert_close(run(encoder, obs)[0], expected, atol=1e-5, rtol=1e-4)


@dataclass(frozen=True)
class Dropping(EncoderSettings):
    dropout: float = 0.5


def test_dropout_drops_while_training_only():
    encoder = make_encoder(spaces.Box(-1, 1, (4,)), Dropping(hidden_sizes=(256,)))
    obs = torch.randn(1, 4, 4)
    assert 0.3 < (run(encoder, obs)[0] == 0).float().mean() < 0.7
    encoder.eval()
    assert not (run(encoder, obs)[0] == 0).any()


@pytest.mark.parametrize("size", [16, 3 * FAST_TANH_FROM_WITH_GRAD])
def test_tanh_and_its_gradient_equal_double_precision(size):
    x = torch.linspace(-30.0, 30.0, size).requires_grad_()
    exact = x.detach().double().requires_grad_()
    y, expected = tanh(x), torch.tanh(exact)
    (grad,), (expected_grad,) = torch.autograd.grad(y.sum(), x), torch.autograd.grad(expected.sum(), exact)
    torch.testing.assert_close(y.double(), expected, atol=3e-7, rtol=0)
    torch.testing.assert_close(grad.double(), expected_grad, atol=1e-6, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(tanh(x).double(), expected.detach(), atol=3e-7, rtol=0)


def test_activations_equal_torch_and_an_unknown_one_is_named():
    x = torch.linspace(-3.0, 3.0, 31)
    for name in ACTIVATIONS:
        function = getattr(F, name, None) or getattr(torch, name)
        torch.testing.assert_close(get_activation(name)(x), function(x))
    with pytest.raises(ValueError, match="'swish' is unknown; expected one of tanh, relu"):
        get_activation("swish")


def test_tree_map_keeps_the_structure():
    tree = {"a": torch.ones(2), "b": {"c": torch.zeros(3)}}
    doubled = tree_map(lambda x, y: x + y, tree, tree)
    assert doubled["a"].tolist() == [2, 2] and list(doubled) == ["a", "b"] and doubled["b"]["c"].shape == (3,)
    assert [leaf.numel() for leaf in tree_leaves(tree)] == [2, 3]
    assert tree_map(torch.neg, torch.ones(1)).item() == -1


def test_summary_counts_the_courses_network():
    space = image(28, 28, 1)
    config = EncoderSettings(conv_layers=((16, 3, 2, 1), (8, 3, 2, 1)), cnn_hidden_sizes=(30, 20))
    encoder = make_encoder(space, config)
    lines = [line.split() for line in summary(encoder, space).splitlines()]
    counted = [(line[-2], line[-1]) for line in lines if line[-1] not in ("0", "parameters") and "-" not in line[0]]
    expected = [("16x14x14", "160"), ("8x7x7", "1,160"), ("30", "11,790"), ("20", "620"), ("total", "13,730")]
    assert counted == expected
    total = summary(make_encoder(space, EncoderSettings("gru")), space).splitlines()[-1].split()[-1]
    parameters = make_encoder(space, EncoderSettings("gru")).parameters()
    assert int(total.replace(",", "")) == sum(p.numel() for p in parameters)
    assert "1x2x10" in summary(nn.Linear(4, 10), torch.zeros(1, 2, 4))


def test_pooling_layers_and_no_dense_layers_are_what_torch_makes_of_them():
    conv_layers = ((4, 3, 1, 1), (0, 2, 2, 0), (6, 3, 1, 0))
    encoder = make_encoder(
        image(8, 8, 1), EncoderSettings(conv_layers=conv_layers, cnn_hidden_sizes=(), cells="brightness")
    )
    first, second = (m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d))
    obs = torch.randint(0, 256, (2, 3, 8, 8, 1), dtype=torch.uint8)
    x = obs.flatten(0, 1).permute(0, 3, 1, 2) / 255.0
    x = torch.max_pool2d(torch.relu(first(x)), 2)
    expected = torch.relu(second(x)).flatten(1).view(2, 3, 24)
    features, _ = encoder(obs, torch.zeros(3, 0), torch.zeros(2, 3, dtype=torch.bool))
    assert torch.allclose(features, expected, atol=1e-6)


def test_the_course_s_second_network_has_its_parameters():
    config = EncoderSettings(conv_layers=((8, 3, 1, 0), (16, 3, 1, 0)), cnn_hidden_sizes=())
    encoder = make_encoder(image(28, 28), config)
    assert sum(p.numel() for p in encoder.parameters()) == 80 + 1_168 and encoder.out_dim == 9_216


@pytest.mark.parametrize("layer", [(-1, 3, 1, 1), (4, 0, 1, 1), (0, 2, 2, 2), (0, 2, 0, 0)])
def test_layers_that_cannot_be_are_refused(layer):
    with pytest.raises(UserError, match="--conv-layers"):
        EncoderSettings(conv_layers=(layer,))
