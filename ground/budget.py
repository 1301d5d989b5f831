"""A network made for a stranger's weights is no larger than they are, whatever its configuration declares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from agent_gym.ground.errors import UserError
from agent_gym.ground.tensors import tensors

SLACK = 2**20  # bytes: for parameters that a checkpoint does not hold


def stored_bytes(tree: Any) -> int:
    """The memory behind all tensors of `tree`, each storage once: a view can claim any size."""
    storages = {}
    for tensor in tensors(tree):
        if tensor.device.type != "meta" and not tensor.is_sparse:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


@contextmanager
def parameter_budget(weights: Any) -> Iterator[None]:
    """Modules made in this context may register twice the memory of `weights` in parameters. Raises UserError.

    That is before first values are written to them, hence before the system gives the memory.
    """
    allowed, taken = 2 * stored_bytes(weights) + SLACK, 0

    def count(module: Any, name: str, parameter: Tensor | None) -> None:
        nonlocal taken
        taken += 0 if parameter is None else parameter.numel() * parameter.element_size()
        if taken > allowed:
            raise UserError(f"the configuration makes a network of over {taken:,} bytes, the weights allow {allowed:,}")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
