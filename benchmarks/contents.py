"""What a finished run leaves, and what sets it apart from what another leaves, bit by bit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from agent_gym.storage import tensor_file

OF_THE_CLOCK = {"wall_time", "evaluation_time", "steps_per_second", "seconds", "date"}
OF_THE_FOLDER = {"run_dir", "quiet", "events"}  # "events": names and sizes of TensorBoard's files


def contents(run: Path) -> dict[str, Any]:
    """All that a finished run leaves, by name, without times and without what its folder is called.

    Tensors and numbers of both checkpoints, of the replay buffer's segments in order, of the result, and TensorBoard's
    scalars as (step, value).
    """
    last = tensor_file.read(run / "checkpoints" / "last.pt")
    segments = [
        {"end": entry["end"], "rows": tensor_file.read(run / "checkpoints" / "replay" / entry["name"])}
        for entry in last.pop("segments", [])
    ]
    parts = {
        "last.pt": last,
        "best.pt": tensor_file.read(run / "checkpoints" / "best.pt"),
        "replay": segments,
        "result.json": json.loads((run / "result.json").read_text()),
        "tensorboard": scalars(run),
    }
    return dict(_leaves(parts, ""))


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """TensorBoard's points by tag, all that are in the files. Raises ValueError where a step is there twice."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}, purge_orphaned_data=False).Reload()
    curves = {}
    for tag in events.Tags()["scalars"]:
        points = [(event.step, event.value) for event in events.Scalars(tag)]
        steps = [step for step, _ in points]
        if any(b <= a for a, b in zip(steps, steps[1:], strict=False)):
            raise ValueError(f"{tag}: a step stands twice in {steps}")
        if not tag.startswith("time/"):
            curves[tag] = points
    return curves


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    items: Any = ()
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list | tuple):
        items = enumerate(tree)
    else:
        yield name, tree
    for key, child in items:
        if key not in OF_THE_CLOCK | OF_THE_FOLDER and not str(key).startswith("time/"):
            yield from _leaves(child, f"{name}/{key}")


def differing(alone: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of the entries that are not the same to the last bit."""
    names = alone.keys() | other.keys()
    missing = {name for name in names if name not in alone or name not in other}
    return sorted(missing | {name for name in names - missing if not _same(alone[name], other[name])})


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(_bits(a), _bits(b))
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


def _bits(x: Tensor) -> Tensor:
    """Bytes, so that a NaN is itself and -0.0 is not 0.0."""
    return x.contiguous().flatten().view(torch.uint8) if x.numel() else x


def count(found: dict[str, Any]) -> int:
    """Numbers in it."""
    return sum(leaf.numel() if isinstance(leaf, Tensor) else 1 for leaf in found.values())
