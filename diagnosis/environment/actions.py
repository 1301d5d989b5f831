"""What is to be known of an action space."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces


def describe_actions(space: spaces.Space) -> dict[str, Any]:
    """What is to be known of an action space."""
    found: dict[str, Any] = {"kind": type(space).__name__}
    if isinstance(space, spaces.Discrete):
        found["n"] = int(space.n)
    if isinstance(space, spaces.Box):
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        finite = np.isfinite(low) & np.isfinite(high)
        found["size"] = int(np.prod(space.shape))
        found["finite"] = bool(finite.all())
        with np.errstate(invalid="ignore"):
            uneven = finite & (np.abs(high + low) > 0.01 * np.maximum(high - low, 1e-12))
        found["symmetric"] = not bool(uneven.any())
        found["range"] = [float(low.min()), float(high.max())]
    return found
