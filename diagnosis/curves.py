"""The curves of a run, read from its TensorBoard files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent_gym.diagnosis.case import Curve
from agent_gym.ground.errors import UserError, one_line
from agent_gym.storage.trackers.points import Points


def read_curves(run: Path) -> dict[str, Curve]:
    """By tag, in order of steps; of a step that was logged twice the later value. A half-written end is left out.

    Raises UserError where there are no events.
    """
    try:
        points = Points(run).new()
    except Exception as error:  # whatever a damaged file leads to
        raise UserError(
            f"the TensorBoard events of {run} cannot be read ({one_line(error, 120)}): take them from a whole copy"
        ) from error
    found: dict[str, dict[int, float]] = {}
    for point in points:
        found.setdefault(point.tag, {})[point.step] = point.value
    if not found:
        raise UserError(
            f"{run} holds no TensorBoard events with scalars: a run has them from its first log on; train longer, or "
            "give the folder that holds events.out.tfevents files"
        )
    curves = {}
    for tag, values in found.items():
        steps = np.array(sorted(values))
        curves[tag] = Curve(steps, np.array([values[s] for s in steps.tolist()], dtype=np.float64))
    return curves
