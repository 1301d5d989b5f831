"""Cases as plain data, so that rules can be asked again without the run."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from agent_gym.diagnosis.case import Case, Curve


def to_plain(case: Case) -> dict[str, Any]:
    """As JSON takes it."""
    plain = {field.name: getattr(case, field.name) for field in fields(case)}
    curves = {tag: [curve.steps.tolist(), curve.values.tolist()] for tag, curve in case.curves.items()}
    return plain | {"curves": curves}


def from_plain(plain: dict[str, Any]) -> Case:
    """What `to_plain` gave."""
    curves = {tag: Curve(np.array(s), np.array(v, dtype=np.float64)) for tag, (s, v) in plain["curves"].items()}
    return Case(**plain | {"curves": curves})
