"""The settings of each task. Imports no torch, so that --help comes at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import NOT_NEGATIVE, Count, Range
from agent_gym.nets.settings import (
    MEMORY,
    ActivationName,
    EncoderSettings,
    OptimizerName,
    ScheduleName,
)
from agent_gym.tasks.config import KindName, TaskConfig

ScalerName = Literal["standard", "minmax", "none"]

MAX_MEMBERS = 1000  # networks of an ensemble


@dataclass(frozen=True)
class TableConfig(TaskConfig):
    """Any table (CSV, Excel, Parquet): classes or a number from the other columns."""

    target: str = ""
    """Column to predict."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out."""
    categorical: tuple[str, ...] = ()
    """Columns whose values are names, even if they are written as numbers."""
    text: tuple[str, ...] = ()
    """Columns whose words are inputs."""
    encoding: str = ""
    """Of the letters in --data, as Python names it (cp949, latin-1); empty: found out."""
    kind: KindName = "auto"
    """What the target is; auto: text or few whole numbers are classes, anything else is a number."""
    scaler: ScalerName = "standard"
    """How numbers are scaled, from the training part: mean 0 and deviation 1, the range 0 to 1, or not."""
    explore: bool = False
    """Show what the columns hold and how they go with the target, as text and pictures, and stop."""
    members: Annotated[int, Range(1, MAX_MEMBERS)] = 1
    """Networks that learn side by side from other first weights; their mean predicts."""
    batch_size: int = 64
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class IrisConfig(TableConfig):
    """Three species of iris from four lengths (150 rows)."""

    target: str = "species"
    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 3e-3
    hidden_sizes: tuple[int, ...] = (16,)


@dataclass(frozen=True)
class BreastCancerConfig(TableConfig):
    """Malignant or benign from thirty measurements (569 rows)."""

    target: str = "diagnosis"
    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 1e-3
    hidden_sizes: tuple[int, ...] = (16,)
    weight_decay: float = 1e-3


@dataclass(frozen=True)
class DiabetesConfig(TableConfig):
    """Progression of diabetes after a year, a number from ten measurements (442 rows)."""

    target: str = "progression"
    kind: KindName = "regression"
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    hidden_sizes: tuple[int, ...] = (16,)
    weight_decay: float = 1e-2


@dataclass(frozen=True)
class HeightsConfig(TableConfig):
    """Height from weight of ten people, by one linear unit: height = w0 + w1 weight."""

    target: str = "height"
    kind: KindName = "regression"
    w0: float = 100.0
    """First value of the constant, in cm."""
    w1: float = 1.0
    """First value of the slope, in cm per kg."""
    epochs: int = 2000
    batch_size: int = 0
    learning_rate: float = 0.01
    schedule: ScheduleName = "cosine"
    optimizer: OptimizerName = "sgd"
    encoder: str = "linear"
    val_split: float = 0.0
    test_split: float = 0.0


@dataclass(frozen=True)
class XorConfig(TableConfig):
    """The exclusive or of two bits, with a hidden layer and without."""

    target: str = "a xor b"
    kind: KindName = "binary"
    scaler: ScalerName = "none"
    epochs: int = 1000
    batch_size: int = 0
    learning_rate: float = 0.03
    hidden_sizes: tuple[int, ...] = (8,)
    activation: ActivationName = "tanh"
    val_split: float = 0.0
    test_split: float = 0.0


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
class SeriesConfig(TaskConfig):
    """The next values of a series: generated waves, or a column of a CSV file."""

    column: str = ""
    """Column of --data that holds the series, in order of time; several, between commas, are forecast together."""
    relative: Literal["auto", "none", "last", "ratio"] = "auto"
    """What a window's values are relative to: nothing (auto: waves), or its last one, which is subtracted or divides
    (auto: where changes grow with the level)."""
    encoding: str = ""
    """Of the letters in --data, as Python names it (cp949, latin-1); empty: found out."""
    horizon: Count = 1
    """Steps to forecast."""
    window: Annotated[int, NOT_NEGATIVE] = 0
    """Steps that a forecast looks back; 0: 50, or a sixth of a short series."""
    num_series: Count = 10_000
    """Generated series."""
    encoder: str = "auto"
    """Network between inputs and output; auto: lstm, or mlp for a short series; linear: none, a single layer."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Width of each hidden layer of the mlp; rnn, lstm, gru and transformer read the series itself."""
    recurrent_size: int = 32
    recurrent_layers: int = 2
    epochs: Annotated[int, NOT_NEGATIVE] = 0
    """Passes over the training part; 0: by its size, 20 to 400."""
    batch_size: int = 64
    learning_rate: float = 5e-3
    schedule: ScheduleName = "cosine"
    max_grad_norm: float = 1.0
    val_split: float = 0.2
    test_split: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder == "cnn":
            raise UserError("--encoder cnn: expected rnn, lstm, gru, transformer, mlp or linear for a series")

    attend_to: ClassVar[str] = "past"  # in order of time

    def encoder_settings(self) -> EncoderSettings:
        return replace(self, hidden_sizes=()) if self.encoder in MEMORY else self
