"""Encoders that a user writes: --encoder package.module:Class."""

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.ground.foreign import find_class
from agent_gym.nets.encoders.base import Encoder
from agent_gym.nets.settings import EncoderSettings


class FeatureEncoder(Encoder):
    """A module of the user's on flattened observations (and a CNN's features of images): [..., n] -> [..., out_dim]."""

    def __init__(self, inputs: nn.Module, module: nn.Module, name: str) -> None:
        super().__init__()
        self.inputs, self.module = inputs, module
        out = _attempt(name, "does not take features [1, 1, n]", lambda: module(torch.zeros(1, 1, inputs.out_dim)))
        if not isinstance(out, Tensor) or out.dim() != 3 or out.shape[:2] != (1, 1):
            shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise UserError(f"--encoder {name} made {shape} of features [1, 1, {inputs.out_dim}]: expected [1, 1, m]")
        self.out_dim = int(out.shape[-1])

    def forward(self, obs: object, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        return self.module(self.inputs(obs)), state


def foreign_encoder(space: spaces.Space, config: EncoderSettings, inputs: nn.Module) -> Encoder:
    """The encoder of the class that `config.encoder` names.

    A subclass of Encoder is made as Class(space, settings) and follows the contract: obs, state, reset. Any other
    module is made as Class(n), n the numbers of an observation, and takes features [..., n]. Raises UserError.
    """
    name = config.encoder
    cls = find_class(name)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise UserError(f"--encoder {name}: expected a class of torch.nn.Module, found {type(cls).__name__}")
    if not issubclass(cls, Encoder):
        return FeatureEncoder(inputs, _attempt(name, "cannot be made", lambda: cls(inputs.out_dim)), name)
    encoder = _attempt(name, "cannot be made", lambda: cls(space, config))
    if not isinstance(getattr(encoder, "out_dim", None), int):
        raise UserError(f"--encoder {name} has no out_dim: set it to the number of its features")
    return encoder


def _attempt(name: str, what: str, action):
    """What `action` gives. Raises UserError with what went wrong in the user's class."""
    try:
        return action()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"--encoder {name} {what} ({reason}): expected package.module:Class of torch.nn.Module"
        ) from error
