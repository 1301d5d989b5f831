"""The settings that every supervised task has: its flags on the command line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import BELOW_ONE, NOT_NEGATIVE, Count, RunSettings, check_ranges
from agent_gym.nets.settings import MEMORY, ActivationName, EncoderSettings, OptimizerSettings, ScheduleName

LossName = Literal[
    "auto", "mse", "mae", "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"
]
KindName = Literal["auto", "regression", "binary", "multiclass"]

MAX_MEMBERS = 1000  # networks of an ensemble


@dataclass(frozen=True)
class TaskConfig(RunSettings, OptimizerSettings, EncoderSettings):
    """Settings common to all tasks."""

    data: str = ""
    """File or folder to learn from; empty: the task's own data."""
    epochs: Annotated[int, NOT_NEGATIVE] = 0
    """Passes over the training part; 0: by its size, about 3,000 optimizer steps."""
    batch_size: Annotated[int, NOT_NEGATIVE] = 32
    """Rows in a minibatch, one optimizer step each; 0: all rows at once (full batch)."""
    learning_rate: float = 1e-3
    activation: ActivationName = "relu"
    loss: LossName = "auto"
    """What is minimised; auto: mse for numbers, cross-entropy for classes."""
    dropout: Annotated[float, BELOW_ONE] = 0.0
    """Share of hidden units dropped while training, 0 to 1."""
    early_stopping: Annotated[int, NOT_NEGATIVE] = 0
    """Stop after this many epochs without a better validation loss; 0: never."""
    val_split: Annotated[float, BELOW_ONE] = 0.15
    """Share of the rows that choose the best model, 0 to 1; 0: the training rows themselves."""
    test_split: Annotated[float, BELOW_ONE] = 0.15
    """Share of the rows kept for the final figures, 0 to 1; 0: the validation rows themselves."""
    threshold: Annotated[float, BELOW_ONE] = 0.5
    """Probability from which a row counts as the second of two classes."""

    attend_to: ClassVar[str] = "inputs"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.val_split + self.test_split >= 1.0:
            raise UserError(
                f"--val-split {self.val_split} and --test-split {self.test_split} leave no row to train on: "
                "expected a sum below 1"
            )

    def encoder_settings(self) -> EncoderSettings:
        """The settings of its encoder, which a task may narrow."""
        return self


@dataclass(frozen=True)
class FileConfig(TaskConfig):
    """Settings of tasks that read a table."""

    encoding: str = ""
    """Of the letters in --data, as Python names it (cp949, latin-1); empty: found out."""


@dataclass(frozen=True)
class SequenceConfig(TaskConfig):
    """Settings of tasks on sequences, which memories read without dense layers in front."""

    schedule: ScheduleName = "cosine"
    max_grad_norm: float = 1.0

    def encoder_settings(self) -> EncoderSettings:
        return replace(self, hidden_sizes=()) if self.encoder in MEMORY else self


@dataclass(frozen=True)
class StudyConfig(RunSettings):
    """Settings common to all studies, which are counted in steps and not in epochs."""

    total_steps: Count = 1000
    """Optimizer steps."""

    def __post_init__(self) -> None:
        check_ranges(self)
