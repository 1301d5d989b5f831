"""The settings of the lessons. Imports no torch, so that --help comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import POSITIVE, SHARE, Count, Range, flag
from agent_gym.nets.settings import ActivationName, OptimizerName, ScheduleName
from agent_gym.tasks.config import KindName, StudyConfig
from agent_gym.tasks.senses.settings import DigitsConfig
from agent_gym.tasks.tables.settings import ScalerName, TableConfig

SHORTEST = 4  # sequence of the adding problem

MemoryName = Literal["rnn", "lstm", "gru", "transformer"]


def require_different(settings: Any, *names: str) -> None:
    """Raise UserError for a field that holds something twice, or nothing."""
    for name in names:
        values = getattr(settings, name)
        if not values or len(set(values)) < len(values):
            raise UserError(f"{flag(name)} {' '.join(map(str, values))}: expected different ones, at least one")


@dataclass(frozen=True)
class WholeTableConfig(TableConfig):
    """A table of which all rows are learned from at once, and none is held back."""

    batch_size: int = 0
    val_split: float = 0.0
    test_split: float = 0.0


@dataclass(frozen=True)
class HeightsConfig(WholeTableConfig):
    """Height from weight of ten people, by one linear unit: height = w0 + w1 weight."""

    target: str = "height"
    kind: KindName = "regression"
    w0: float = 100.0
    """First value of the constant, in cm."""
    w1: float = 1.0
    """First value of the slope, in cm per kg."""
    epochs: int = 2000
    learning_rate: float = 0.01
    schedule: ScheduleName = "cosine"
    optimizer: OptimizerName = "sgd"
    encoder: str = "linear"


@dataclass(frozen=True)
class XorConfig(WholeTableConfig):
    """The exclusive or of two bits, with a hidden layer and without."""

    target: str = "a xor b"
    kind: KindName = "binary"
    scaler: ScalerName = "none"
    epochs: int = 1000
    learning_rate: float = 0.03
    hidden_sizes: tuple[int, ...] = (8,)
    activation: ActivationName = "tanh"


@dataclass(frozen=True)
class GradientsConfig(StudyConfig):
    """Vanishing gradients: one deep network for each activation on scikit-learn's digits, side by side."""

    activations: tuple[ActivationName, ...] = ("sigmoid", "tanh", "relu", "leaky_relu")
    """One network each."""
    layers: Count = 10
    """Hidden layers."""
    width: Count = 64
    """Units of each hidden layer."""
    batch_size: Count = 128
    """Images in a minibatch."""
    learning_rate: Annotated[float, POSITIVE] = 1e-3
    """Step size of Adam."""
    total_steps: int = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        require_different(self, "activations")


@dataclass(frozen=True)
class ConvolutionConfig(DigitsConfig):
    """Convolution: a worked example cell by cell, then `digits` with pictures of what its filters see."""

    epochs: int = 10


@dataclass(frozen=True)
class LikelihoodConfig(WholeTableConfig):
    """Maximum likelihood: one unit with a sigmoid learns who of 32 students got better grades."""

    target: str = "GRADE"
    kind: KindName = "binary"
    encoder: Literal["linear"] = "linear"
    loss: Literal["binary_crossentropy"] = "binary_crossentropy"
    epochs: int = 1000
    learning_rate: float = 0.05
    schedule: ScheduleName = "cosine"
    optimizer: OptimizerName = "adam"


@dataclass(frozen=True)
class MemoryConfig(StudyConfig):
    """Long memory: which network can add two marked numbers of a sequence, by how long the sequence is. All four take
    about four minutes, lstm and gru half a minute."""

    encoders: tuple[MemoryName, ...] = ("rnn", "lstm", "gru", "transformer")
    """One network each."""
    lengths: Annotated[tuple[int, ...], Range(SHORTEST, 10_000)] = (50, 100, 200)
    """Lengths of the sequences at the test."""
    growing: Annotated[float, SHARE] = 0.6
    """Share of the run in which the training sequences grow to the longest, 0 to 1; 0: any length from the start."""
    size: Count = 32
    """Units of each network."""
    batch_size: Count = 50
    """Sequences in a minibatch."""
    learning_rate: Annotated[float, POSITIVE] = 1e-2
    """Step size of Adam at the start; falls as a cosine."""
    total_steps: int = 1200

    def __post_init__(self) -> None:
        super().__post_init__()
        require_different(self, "encoders", "lengths")


@dataclass(frozen=True)
class CurvesConfig(StudyConfig):
    """Learning curves: too few epochs, jagged and overfitting on scikit-learn's diabetes, each beside what mends it."""

    total_steps: Annotated[int, Range(5)] = 150
    """Epochs of the longest runs; fewer cut them short."""


@dataclass(frozen=True)
class BatchingConfig(StudyConfig):
    """Batches: the time of a row and the size of the gradient at batches of 1 to 10,000 rows."""

    batch_sizes: Annotated[tuple[int, ...], Range(1, 1_000_000)] = (1, 10, 100, 1000, 10_000)
    """Rows in a minibatch."""
    rows: Count = 2000
    """Rows that each timing goes through, at least three minibatches."""
    descent_steps: Count = 100
    """Steps that each loss then learns for at each batch size."""
    hidden_sizes: Annotated[tuple[int, ...], Range(1)] = (64, 64)
    """Width of each hidden layer."""
    learning_rate: Annotated[float, POSITIVE] = 0.02
    """Step size of plain gradient descent."""
    total_steps: Count = 5
    """Batch sizes of those above that are gone through."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_different(self, "batch_sizes")
        if self.total_steps > len(self.batch_sizes):
            raise UserError(f"--total-steps {self.total_steps}: expected at most the number of --batch-sizes")
