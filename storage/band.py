"""What several runs say together, for TensorBoard: lines in a folder above theirs, drawn as one band."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import custom_scalars, image

from agent_gym.storage.events import EventFile, rewind

CATEGORY = "seeds"


def write_band(folder: Path, tag: str, steps: np.ndarray, lines: dict[str, np.ndarray], picture: np.ndarray) -> None:
    """Lines [K] at steps [K] under tag/<name>, and a picture, uint8 [H, W, 3], in place of those that were there.

    `lines`: the lowest, the middle and the highest, by name. Raises OSError and UserError.
    """
    rewind(folder, {})
    low, middle, high = names = [f"{tag}/{name.replace(' ', '_')}" for name in lines]
    events = EventFile(folder)
    try:
        events.add(custom_scalars({CATEGORY: {tag.rpartition("/")[2]: ["Margin", [middle, low, high]]}}))
        for k, step in enumerate(steps.tolist()):
            values = [
                Summary.Value(tag=name, simple_value=float(line[k]))
                for name, line in zip(names, lines.values(), strict=True)
            ]
            events.add(Summary(value=values), step=int(step))
        drawn = image(tag, picture, dataformats="HWC")
        events.add(drawn, step=int(steps[-1]))
        (folder / "curves.png").write_bytes(drawn.value[0].image.encoded_image_string)
        events.sync()
    finally:
        events.close()


def write_pictures(folder: Path, pictures: dict[str, np.ndarray], step: int) -> None:
    """Pictures, uint8 [H, W, 3] by title, in place of those that were there. Raises OSError and UserError."""
    rewind(folder, {})
    events = EventFile(folder)
    try:
        for title, picture in pictures.items():
            events.add(image(title.replace(" ", "_"), picture, dataformats="HWC"), step=step)
        events.sync()
    finally:
        events.close()
