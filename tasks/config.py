"""The flags that every supervised task takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.base import ActivationName, EncoderConfig, EncoderName
from agent_gym.nets.learner.learner import OptimizerConfig

MAX_THREADS = 1024  # more than any machine has, and fewer than a system refuses to start
LossName = Literal[
    "auto", "mse", "mae", "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"
]
OptimizerName = Literal["adam", "adamw", "rmsprop", "momentum", "sgd"]
ScheduleName = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class TaskConfig:
    """Flags common to all tasks."""

    data: str = ""
    """File or folder to learn from; empty: the task's own data."""
    epochs: int = 0
    """Passes over the training part; 0: by its size, about 3,000 optimizer steps."""
    batch_size: int = 32
    """Rows in a minibatch, one optimizer step each; 0: all rows at once (full batch)."""
    learning_rate: float = 1e-3
    """Step size at the start."""
    schedule: ScheduleName = "constant"
    """How the learning rate falls over the run."""
    optimizer: OptimizerName = "adam"
    """Update rule."""
    weight_decay: float = 0.0
    """Pull of the weights to zero (L2; decoupled for adamw)."""
    max_grad_norm: float = 0.0
    """Largest global gradient norm; 0: no clipping."""
    loss: LossName = "auto"
    """What is minimised; auto: mse for numbers, cross-entropy for classes."""
    encoder: EncoderName = "auto"
    """Network between inputs and output; auto: cnn for images, mlp otherwise; linear: none, a single layer."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Width of each hidden layer; in front of the memory for rnn, lstm, gru and transformer."""
    activation: ActivationName = "relu"
    """Non-linearity between layers."""
    layer_norm: bool = False
    """Normalise the sums of each dense layer before its activation."""
    recurrent_size: int = 64
    """Units of each rnn, lstm or gru layer."""
    recurrent_layers: int = 1
    """Recurrent layers on top of each other."""
    attention_size: int = 64
    """Units of each layer of the transformer."""
    attention_heads: int = 4
    """Parts of the units that attend each by itself."""
    attention_layers: int = 2
    """Layers of the transformer on top of each other."""
    attention_window: int = 32
    """Steps that the transformer sees, the present one included."""
    conv_layers: tuple[tuple[int, int, int, int], ...] = ()
    """Convolutions as filters, kernel, stride, padding; 0 filters: max pooling; empty: chosen by the image's size."""
    cnn_hidden_sizes: tuple[int, ...] | None = None
    """Width of each dense layer after the convolutions, no number: no such layer; None: chosen by the image's size."""
    dropout: float = 0.0
    """Share of hidden units dropped while training, 0 to 1."""
    early_stopping: int = 0
    """Stop after this many epochs without a better validation loss; 0: never."""
    val_split: float = 0.15
    """Share of the rows that choose the best model, 0 to 1; 0: the training rows themselves."""
    test_split: float = 0.15
    """Share of the rows kept for the final figures, 0 to 1; 0: the validation rows themselves."""
    threshold: float = 0.5
    """Probability from which a row counts as the second of two classes."""
    seed: int = 0
    """Seed of everything random in the run: splits, first weights, minibatch order, dropout."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where data and network live."""
    num_threads: int = 0
    """CPU threads of torch; 0: one."""
    encoder_from: str = ""
    """Run whose encoder's weights are the start of this one's; empty: random."""
    freeze_encoder: bool = False
    """Keep the weights of --encoder-from as they are."""
    run_dir: str = ""
    """Directory of the run; empty: runs/<task>-<data>-<seed>-<time>."""
    eval_every: int = 0
    """Epochs between validations; 0: each, or a hundred times in a long run."""
    checkpoint_every: int = 0
    """Epochs between checkpoints; 0: ten times in the run."""
    log_layers: bool = False
    """Log the gradient norm and the share of dead units of each layer; updates take up to three times as long."""
    track: Literal["none", "mlflow", "wandb"] = "none"
    """Experiment tracker beside TensorBoard, at the server that its own variables name, or in a local file."""
    experiment: str = ""
    """The tracker's experiment or project; empty: what its own variables say, or agent-gym."""
    run_name: str = ""
    """The run's name at the tracker; empty: the run directory's."""
    parent_run: str = ""
    """Name of the tracker's run that this one is nested under, made if there is none; empty: under none."""
    summary: bool = False
    """Print the network layer by layer and stop."""
    quiet: bool = False
    """Print the result only."""

    def __post_init__(self) -> None:
        self.require_positive("learning_rate", "recurrent_size", "recurrent_layers")
        self.require_not_negative("epochs", "batch_size", "weight_decay", "max_grad_norm", "early_stopping", "seed")
        self.require_not_negative("num_threads", "eval_every", "checkpoint_every")
        for name in ("dropout", "val_split", "test_split", "threshold"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected 0 or more and below 1")
        if self.val_split + self.test_split >= 1.0:
            raise UserError(
                f"--val-split {self.val_split} and --test-split {self.test_split} leave no row to train on: "
                "expected a sum below 1"
            )
        if self.num_threads > MAX_THREADS:
            raise UserError(f"--num-threads {self.num_threads}: expected at most {MAX_THREADS}")
        if any(size <= 0 for size in (*self.hidden_sizes, *(self.cnn_hidden_sizes or ()))):
            raise UserError(f"--hidden-sizes {self.hidden_sizes}: every width must be at least 1")

    def require_positive(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) > 0:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected a number above 0")

    def require_not_negative(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected 0 or more")

    def encoder_config(self) -> EncoderConfig:
        return EncoderConfig(
            encoder=self.encoder,
            hidden_sizes=self.hidden_sizes,
            activation=self.activation,
            layer_norm=self.layer_norm,
            recurrent_size=self.recurrent_size,
            recurrent_layers=self.recurrent_layers,
            attention_size=self.attention_size,
            attention_heads=self.attention_heads,
            attention_layers=self.attention_layers,
            attention_window=self.attention_window,
            dropout=self.dropout,
            conv_layers=self.conv_layers,
            cnn_hidden_sizes=self.cnn_hidden_sizes,
            weights_from=self.encoder_from,
            freeze=self.freeze_encoder,
            attend_to="inputs",
        )

    def optimizer_config(self) -> OptimizerConfig:
        return OptimizerConfig(
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            max_grad_norm=self.max_grad_norm,
            weight_decay=self.weight_decay,
        )
