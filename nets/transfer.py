"""Start an encoder from one that another run has trained, agent or task."""

from pathlib import Path

import torch
from torch import Tensor, nn

from nets import tensor_file
from nets.plain import short


class TransferError(ValueError):
    """A run whose encoder cannot start this one; one line with the names and both shapes."""


def encoder_weights(run: str) -> dict[str, Tensor]:
    """The encoder's tensors in the best (or else the last) checkpoint of the run folder `run`, by name."""
    folder = Path(run) / "checkpoints"
    path = next((folder / name for name in ("best.pt", "last.pt") if (folder / name).exists()), None)
    if path is None:
        raise TransferError(f"--encoder-from {run}: no checkpoint there; expected a run folder that train.py has made")
    try:
        model = tensor_file.read(path)["agent"]["model"]
        state = {key: value for key, value in model.items() if isinstance(key, str) and isinstance(value, Tensor)}
    except (OSError, tensor_file.DamagedFile, KeyError, TypeError, AttributeError):
        raise TransferError(f"--encoder-from {run}: {path} is not a readable checkpoint of this project") from None
    prefixes = {key[: key.index("encoder.") + 8] for key in state if "encoder" in key.split(".")[:-1]}
    # An actor's encoder is called so; a critic's or a target's has a longer name.
    plain = [prefix for prefix in prefixes if prefix.split(".")[-2] == "encoder"]
    if not plain:
        raise TransferError(f"--encoder-from {run}: its network has no encoder")
    prefix = min(plain, key=len)
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def load_encoder(encoder: nn.Module, run: str) -> None:
    """Copy the encoder weights of `run` into `encoder`. Raises TransferError unless all names and shapes agree."""
    given, wanted = encoder_weights(run), encoder.state_dict()
    for name in dict.fromkeys((*wanted, *given)):
        there, here = (tuple(state[name].shape) if name in state else "absent" for state in (given, wanted))
        if there != here:
            label = name if name in wanted else short(name)
            raise TransferError(
                f"--encoder-from {run}: {label} is {there} there and {here} here; choose the same inputs, --encoder "
                "and sizes for both"
            )
        if not torch.isfinite(given[name]).all():
            raise TransferError(f"--encoder-from {run}: {name} holds NaN or infinite numbers; train it again")
    encoder.load_state_dict(given)
