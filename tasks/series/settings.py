"""The settings of forecasts. Imports no torch, so that --help comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import NOT_NEGATIVE, Count
from agent_gym.tasks.config import FileConfig, SequenceConfig


@dataclass(frozen=True)
class SeriesConfig(SequenceConfig, FileConfig):
    """The next values of a series: generated waves, or a column of a CSV file."""

    column: str = ""
    """Column of --data that holds the series, in order of time; several, between commas, are forecast together."""
    relative: Literal["auto", "none", "last", "ratio"] = "auto"
    """What a window's values are relative to: nothing (auto: waves), or its last one, which is subtracted or divides
    (auto: where changes grow with the level)."""
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
    val_split: float = 0.2
    test_split: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder == "cnn":
            raise UserError("--encoder cnn: expected rnn, lstm, gru, transformer, mlp or linear for a series")

    attend_to: ClassVar[str] = "past"  # in order of time
