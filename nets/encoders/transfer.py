"""Start an encoder from one that another run has trained, agent or task."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short

_given: dict[str, Mapping[str, Tensor]] = {}  # weights of encoders by the run they come from


@contextmanager
def encoder_weights(run: str, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """In this context encoders whose configuration names `run` start from `weights`, its encoder's tensors by name.

    Networks read no files: whoever builds them brings what the files hold.
    """
    _given[run] = weights
    try:
        yield
    finally:
        del _given[run]


def load_encoder(encoder: nn.Module, run: str) -> None:
    """Copy the encoder weights of `run` into `encoder`. Raises UserError unless all names and shapes agree."""
    given, wanted = _given[run], encoder.state_dict()
    for name in dict.fromkeys((*wanted, *given)):
        there, here = (tuple(state[name].shape) if name in state else "absent" for state in (given, wanted))
        if there != here:
            label = name if name in wanted else short(name)
            raise UserError(
                f"--encoder-from {run}: {label} is {there} there and {here} here; choose the same inputs, --encoder "
                "and sizes for both"
            )
        if not torch.isfinite(given[name]).all():
            raise UserError(f"--encoder-from {run}: {name} holds NaN or infinite numbers; train it again")
    encoder.load_state_dict(given)
