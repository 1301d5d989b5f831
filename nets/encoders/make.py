"""`make_encoder`: the encoder for an observation space and a configuration."""

import math

from gymnasium import spaces
from torch import nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.attention.tokens import ColumnTokens, PatchTokens, TokenEncoder
from agent_gym.nets.encoders.attention.transformer import TransformerEncoder
from agent_gym.nets.encoders.base import Encoder
from agent_gym.nets.encoders.cells import FlatCells, is_codes
from agent_gym.nets.encoders.cnn import CNN, is_image
from agent_gym.nets.encoders.foreign import foreign_encoder
from agent_gym.nets.encoders.mlp import Concat, MLPEncoder, flatten_leaf
from agent_gym.nets.encoders.recurrent.encoder import LAYERS, RecurrentEncoder
from agent_gym.nets.encoders.transfer import load_encoder
from agent_gym.nets.settings import EncoderSettings

MEMORIES = {**dict.fromkeys(LAYERS, RecurrentEncoder), "transformer": TransformerEncoder}


def has_image(space: spaces.Space) -> bool:
    """Whether the space is an image or holds one."""
    if isinstance(space, spaces.Dict):
        return any(has_image(child) for child in space.values())
    if isinstance(space, spaces.Tuple):
        return any(has_image(child) for child in space)
    return is_image(space)


def largest_image(space: spaces.Space) -> int:
    """Numbers in the largest image of the space; 0 without any."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return max(map(largest_image, space.values() if isinstance(space, spaces.Dict) else space), default=0)
    return math.prod(space.shape) if is_image(space) else 0


def is_float_image(space: spaces.Space) -> bool:
    """A Box of floats in 3 dimensions, which is an image where a cnn is asked for by name."""
    return isinstance(space, spaces.Box) and space.dtype.kind == "f" and len(space.shape) == 3


def _inputs(space: spaces.Space, config: EncoderSettings) -> nn.Module:
    """obs -> [T, B, n]: a CNN for each image, flattened or one-hot vectors for the rest, side by side."""
    if isinstance(space, spaces.Dict):
        return Concat({key: _inputs(child, config) for key, child in space.items()})
    if isinstance(space, spaces.Tuple):
        return Concat({str(index): _inputs(child, config) for index, child in enumerate(space)})
    seen = is_image(space) or (config.encoder == "cnn" and is_float_image(space))
    if seen and config.encoder not in ("linear", "mlp"):
        return CNN(space, config)
    return FlatCells(space) if is_codes(space, config.cells) else flatten_leaf(space)


def make_encoder(space: spaces.Space, config: EncoderSettings) -> Encoder:
    """The encoder for observations of `space`; UserError names a space that none takes."""
    if ":" in config.encoder:
        encoder = foreign_encoder(space, config, _inputs(space, config))
    elif config.encoder == "transformer" and config.attend_to == "inputs":
        encoder = _over_inputs(space, config)
    else:
        encoder = _over_steps(space, config)
    if config.encoder_from:
        load_encoder(encoder, config.encoder_from)
    return encoder.requires_grad_(not config.freeze_encoder)


def _over_inputs(space: spaces.Space, config: EncoderSettings) -> Encoder:
    """Attention among the inputs of a step: patches of an image, else numbers."""
    size = config.attention_size
    if is_image(space):
        return TokenEncoder(PatchTokens(space, size, config.image_layout), config)
    return TokenEncoder(ColumnTokens(_inputs(space, config), size), config)


def _over_steps(space: spaces.Space, config: EncoderSettings) -> Encoder:
    """Each step by itself, then the memory if there is one."""
    if config.encoder == "cnn" and not (has_image(space) or isinstance(space, spaces.Dict | spaces.Tuple)):
        if not (isinstance(space, spaces.Box) and 2 <= len(space.shape) <= 4):
            raise UserError(f"encoder 'cnn' needs an image, and observation space {space} has none")
        inputs: nn.Module = CNN(space, config)  # a float image, asked for by name
    else:
        inputs = _inputs(space, config)
    # A lone CNN has its own dense layers.
    hidden_sizes = () if config.encoder == "linear" or isinstance(inputs, CNN) else config.hidden_sizes
    encoder: Encoder = MLPEncoder(inputs, config, hidden_sizes)
    memory = MEMORIES.get(config.encoder)
    return encoder if memory is None else memory(encoder, config)
