"""Grids of codes against one-hot arithmetic, large discrete spaces, and networks of sensible size."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.cells import Cells, is_codes
from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.encoders.mlp import ROW, LookUp
from agent_gym.nets.settings import EncoderSettings


def box(high, *shape, dtype=np.uint8):
    return spaces.Box(0, high, shape, dtype)


@pytest.mark.parametrize(
    ("space", "codes"),
    [
        (box(255, 7, 7, 3), True),
        (box(255, 3, 7, 7), True),
        (box(10, 7, 7, 3), True),
        (box(255, 21, 79), True),
        (box(5976, 21, 79, dtype=np.int32), True),
        (box(255, 84, 84, 4), False),
        (box(255, 28, 28), False),
        (box(10, 84, 84), False),
        (box(1, 8, 8, 4, dtype=np.int32), False),
        (box(255, 128), False),
        (spaces.Box(-1, 1, (7, 7)), False),
        (spaces.Discrete(9), False),
    ],
    ids=str,
)
def test_small_grids_of_whole_numbers_are_codes(space, codes):
    assert is_codes(space) == codes
    assert not is_codes(space, "brightness")


def test_codes_asked_for_where_there_are_none():
    with pytest.raises(UserError, match="--cells codes"):
        is_codes(spaces.Box(-1.0, 1.0, (7, 7)), "codes")


@pytest.mark.parametrize("shape", [(5, 4, 3), (3, 5, 5), (5, 4), (2, 5, 4, 3)], ids=str)
def test_a_cell_is_the_sum_of_a_row_a_channel(shape):
    """Against one-hot vectors times the table."""
    cells = Cells(box(10, *shape))
    obs = torch.randint(0, 11, (6, *shape), dtype=torch.uint8)
    frames = shape[0] if len(shape) == 4 else 1
    height, width = (5, 5) if shape == (3, 5, 5) else (5, 4)
    x = obs.unsqueeze(1) if len(shape) < 4 else obs
    x = x.unsqueeze(-1) if len(shape) == 2 else x.movedim(2, -1) if shape == (3, 5, 5) else x  # [6, k, H, W, C]
    one_hot = torch.nn.functional.one_hot(x.long(), 11).float().flatten(-2)  # [6, k, H, W, 11 C]
    expected = (one_hot @ cells.table).movedim(-1, 2).reshape(6, frames * 16, height, width)
    torch.testing.assert_close(cells(obs), expected)


@pytest.mark.parametrize("encoder", ["auto", "mlp", "lstm", "linear"])
def test_every_encoder_takes_codes(encoder):
    config = EncoderSettings(encoder=encoder, cells="auto")
    net = make_encoder(spaces.Dict(image=box(255, 7, 7, 3), side=spaces.Discrete(4)), config)
    obs = {"image": torch.randint(0, 11, (2, 3, 7, 7, 3), dtype=torch.uint8), "side": torch.zeros(2, 3).long()}
    features, _ = net(obs, net.initial_state(3), torch.zeros(2, 3, dtype=torch.bool))
    assert features.shape == (2, 3, net.out_dim)
    obs["image"][0, 0, 0, 0, 0] += 1
    other, _ = net(obs, net.initial_state(3), torch.zeros(2, 3, dtype=torch.bool))
    assert not torch.equal(features[0, 0], other[0, 0])


@pytest.mark.parametrize("space", [spaces.Discrete(50_000, start=-7), spaces.MultiDiscrete([3, 50_000, 9])], ids=str)
def test_rows_are_gathered_where_values_are_many(space):
    net = make_encoder(space, EncoderSettings())
    (look_up,) = (part for part in net.modules() if isinstance(part, LookUp))
    samples = [space.sample() for _ in range(8)]
    obs = torch.as_tensor(np.array(samples)).reshape(1, 8, *space.shape)
    rows = look_up(obs).view(8, -1, ROW)
    sizes = np.ravel(getattr(space, "nvec", 50_000))
    starts = np.cumsum(sizes) - sizes
    for sample, found in zip(samples, rows, strict=True):
        index = torch.from_numpy(starts + np.ravel(sample) - np.ravel(space.start))
        assert torch.equal(found, look_up.table[index])
    assert sum(p.numel() for p in net.parameters()) < 16 * 50_012 + 64 * 200


def parameters(space, **settings):
    return sum(p.numel() for p in make_encoder(space, EncoderSettings(**settings)).parameters())


@pytest.mark.parametrize(
    "shape", [(240, 320, 3), (480, 640, 3), (1080, 1920, 3), (3, 160, 120), (4, 128, 128), (64, 64, 12)], ids=str
)
def test_large_images_get_networks_of_a_few_million(shape):
    assert parameters(box(255, *shape)) < 4e6


def test_usual_images_keep_the_network_of_the_paper():
    assert parameters(box(255, 4, 84, 84)) == 4 * 64 * 32 + 32 + 32 * 16 * 64 + 64 + 64 * 9 * 64 + 64 + 3136 * 512 + 512


def test_nethack_in_a_dict_stays_small():
    space = spaces.Dict(
        glyphs=box(5976, 21, 79, dtype=np.int32),
        chars=box(255, 21, 79),
        colors=box(15, 21, 79),
        blstats=spaces.Box(-(2**31), 2**31 - 1, (27,), np.float32),
        message=box(255, 256, dtype=np.float32),
    )
    assert parameters(space, cells="auto") < 4e6
