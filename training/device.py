"""Where networks run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from agent_gym.ground.errors import UserError
from agent_gym.nets.ranks import RANKS


class Choice(NamedTuple):
    """A device, and why, in words for the log ("": asked for)."""

    device: torch.device
    why: str


def choose_device(
    wanted: str, cost: Callable[[torch.device], float] | None = None, *, former: str = "", unit: str = "step"
) -> Choice:
    """cpu or cuda. Raises UserError.

    auto takes what `cost`, seconds of a `unit` on a device, finds cheaper; without it the CPU. A run that goes on stays
    on the device where it was, `former`, if it is there.
    """
    available = torch.cuda.is_available()
    if RANKS.size > 1 and wanted == "auto":
        return _on("cpu", "several ranks measure nothing: --device cuda takes a GPU each")
    if wanted == "cuda" and not available:
        raise UserError("--device cuda: this torch sees no CUDA device; use --device cpu or auto")
    if wanted != "auto":
        return _on(wanted, "")
    if former:
        return _on("cuda" if former.startswith("cuda") and available else "cpu", "as before")
    if not available:
        return _on("cpu", "no GPU")
    if cost is None:
        return _on("cpu", "")
    found = {name: cost(torch.device(name)) for name in ("cpu", "cuda")}
    best, other = sorted(found, key=found.__getitem__)
    return _on(best, f"{1e6 * found[best]:.3g} µs a {unit}, {other} {1e6 * found[other]:.3g}")


def _on(name: str, why: str) -> Choice:
    if name == "cuda":
        exact_arithmetic()
    return Choice(torch.device(name), why)


def exact_arithmetic() -> None:
    """On a GPU: float32 is float32, and the same numbers come out each time, which going on with a run needs."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
