"""The settings of tables. Imports no torch, so that --help comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from agent_gym.ground.settings import Range
from agent_gym.tasks.config import MAX_MEMBERS, FileConfig, KindName

ScalerName = Literal["standard", "minmax", "none"]


@dataclass(frozen=True)
class TableConfig(FileConfig):
    """Any table (CSV, Excel, Parquet): classes or a number from the other columns."""

    target: str = ""
    """Column to predict."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out."""
    categorical: tuple[str, ...] = ()
    """Columns whose values are names, even if they are written as numbers."""
    text: tuple[str, ...] = ()
    """Columns whose words are inputs."""
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
