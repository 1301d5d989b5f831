"""The encoder in the checkpoint of a run, to start another from."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.storage import tensor_file


def read_encoder(run: str) -> dict[str, Tensor]:
    """The encoder's tensors in the best (or else the last) checkpoint of the run folder `run`, by name."""
    folder = Path(run) / "checkpoints"
    path = next((folder / name for name in ("best.pt", "last.pt") if (folder / name).exists()), None)
    if path is None:
        raise UserError(f"--encoder-from {run}: no checkpoint there; expected a run folder that train.py has made")
    try:
        model = tensor_file.read(path)["agent"]["model"]
        state = {key: value for key, value in model.items() if isinstance(key, str) and isinstance(value, Tensor)}
    except (OSError, tensor_file.DamagedFile, KeyError, TypeError, AttributeError):
        raise UserError(f"--encoder-from {run}: {path} is not a readable checkpoint of this project") from None
    prefixes = {key[: key.index("encoder.") + 8] for key in state if "encoder" in key.split(".")[:-1]}
    # An actor's encoder is called so; a critic's or a target's has a longer name.
    plain = [prefix for prefix in prefixes if prefix.split(".")[-2] == "encoder"]
    if not plain:
        raise UserError(f"--encoder-from {run}: its network has no encoder")
    prefix = min(plain, key=len)
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
