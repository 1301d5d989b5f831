"""The settings of seeing and hearing. Imports no torch, so that --help comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from agent_gym.ground.settings import NOT_NEGATIVE, POSITIVE, Range
from agent_gym.nets.settings import ScheduleName
from agent_gym.tasks.config import SequenceConfig, TaskConfig


@dataclass(frozen=True)
class DigitsConfig(TaskConfig):
    """Ten digits from 28 x 28 pixels: scikit-learn's, or MNIST from its files in --data DIR."""

    conv_layers: tuple[tuple[int, int, int, int], ...] = ((16, 3, 2, 1), (8, 3, 2, 1))
    cnn_hidden_sizes: tuple[int, ...] | None = (30, 20)
    shift: Annotated[int, NOT_NEGATIVE] = 2
    """Pixels by which a minibatch is moved at random, so that shapes are learned and not places; 0: none."""
    epochs: int = 40
    learning_rate: float = 6e-3
    schedule: ScheduleName = "cosine"


@dataclass(frozen=True)
class DetectConfig(TaskConfig):
    """Detection: which digit is on a 64 x 64 canvas, and where; digits as in `digits`, MNIST's files in --data DIR."""

    num_canvases: Annotated[int, Range(100, 100_000)] = 8000
    """Canvases drawn, to train, validate and test; those to train are drawn anew for each epoch."""
    box_weight: Annotated[float, POSITIVE] = 2.0
    """Weight of the box's loss beside that of the class."""
    conv_layers: tuple[tuple[int, int, int, int], ...] = ((16, 3, 2, 1), (32, 3, 2, 1), (32, 3, 2, 1))
    cnn_hidden_sizes: tuple[int, ...] | None = (128,)
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 3e-3
    schedule: ScheduleName = "cosine"
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class SpeechConfig(SequenceConfig):
    """Spoken digits: said by a formula, or recordings <digit>_<anything>.wav from a folder in --data."""

    num_recordings: Annotated[int, Range(100, 50_000)] = 2000
    """Recordings that the formula makes."""
    encoder: str = "cnn"
    conv_layers: tuple[tuple[int, int, int, int], ...] = ((16, 5, 2, 2), (32, 3, 2, 1), (32, 3, 2, 1))
    cnn_hidden_sizes: tuple[int, ...] | None = (64,)
    epochs: int = 20
    learning_rate: float = 3e-3

    attend_to: ClassVar[str] = "past"  # in order of time
