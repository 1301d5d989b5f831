"""Settings of encoders and of the optimizer, inherited by whoever has them as flags. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from agent_gym.ground.errors import UserError, nearest
from agent_gym.ground.settings import NOT_NEGATIVE, POSITIVE, Needs, Range, check_ranges

ENCODERS = ("auto", "linear", "mlp", "cnn", "rnn", "lstm", "gru", "transformer")
ActivationName = Literal["tanh", "relu", "sigmoid", "leaky_relu", "elu", "silu", "gelu", "softplus"]
OptimizerName = Literal["adam", "adamw", "rmsprop", "momentum", "sgd"]
CellsName = Literal["auto", "codes", "brightness"]
ScheduleName = Literal["constant", "linear", "cosine"]

MEMORY = ("rnn", "lstm", "gru", "transformer")  # encoders that remember
RECURRENT = Needs("encoder", ("rnn", "lstm", "gru"))
ATTENTION = Needs("encoder", ("transformer",))
IMAGES = Needs("encoder", but=("linear", "mlp"))
MAX_WINDOW = 65_536
MAX_LAYERS = 64  # of memory on top of each other


@dataclass(frozen=True)
class EncoderSettings:
    """How observations become features."""

    encoder: str = "auto"
    """Network between observation and heads: auto (cnn for images, mlp otherwise), linear (the inputs themselves), mlp,
    cnn, rnn, lstm, gru, transformer, or your own as module:Class."""
    hidden_sizes: Annotated[tuple[int, ...], Needs("encoder", but=("linear",)), Range(1)] = (64, 64)
    """Width of each dense layer; in front of the memory for rnn, lstm, gru and transformer."""
    activation: ActivationName = "tanh"
    """Non-linearity between layers."""
    layer_norm: Annotated[bool, Needs("encoder", but=("linear",))] = False
    """Normalise the sums of each dense layer before its activation (Ba et al. 2016), which steadies learned values."""
    orthogonal: bool = True
    """Orthogonal first weights and zero biases; otherwise PyTorch's."""
    recurrent_size: Annotated[int, RECURRENT, Range(1)] = 64
    """Units of each rnn, lstm or gru layer."""
    recurrent_layers: Annotated[int, RECURRENT, Range(1, MAX_LAYERS)] = 1
    """Recurrent layers on top of each other."""
    attention_size: Annotated[int, ATTENTION, Range(1)] = 64
    """Units of each layer of the transformer."""
    attention_heads: Annotated[int, ATTENTION, Range(1)] = 4
    """Parts of the units that attend each by itself."""
    attention_layers: Annotated[int, ATTENTION, Range(1, MAX_LAYERS)] = 2
    """Layers of the transformer on top of each other."""
    attention_window: Annotated[int, ATTENTION, Range(1, MAX_WINDOW)] = 32
    """Steps that the transformer sees, the present one included."""
    conv_layers: Annotated[tuple[tuple[int, int, int, int], ...], IMAGES] = ()
    """Convolutions as filters, kernel, stride, padding; 0 filters: max pooling; empty: chosen by the image's size."""
    cnn_hidden_sizes: Annotated[tuple[int, ...] | None, IMAGES, Range(1)] = None
    """Width of each dense layer after the convolutions, no number: no such layer; None: chosen by the image's size."""
    cells: CellsName = "auto"
    """What numbers in grids and images are: auto takes small grids of whole numbers for codes, learned one by one."""
    image_layout: Literal["auto", "first", "last"] = "auto"
    """Where an image's channels stand; auto: at the end that leaves a square frame, else at the shorter one."""
    encoder_from: str = ""
    """Run whose encoder's weights are the start of this one's; empty: random."""
    freeze_encoder: Annotated[bool, Needs("encoder_from", but=("",))] = False
    """Keep the weights of --encoder-from as they are."""

    encoder_names: ClassVar[tuple[str, ...]] = ENCODERS
    dropout: ClassVar[float] = 0.0  # a setting of tasks alone
    trunk: ClassVar[str] = ""  # dense layers of another kind, by their name in nets/trunks
    attend_to: ClassVar[str] = "past"  # the transformer: the steps of its window, or the "inputs" of one step

    def __post_init__(self) -> None:
        check_ranges(self)
        known = self.encoder_names
        if self.encoder not in known and (":" not in self.encoder or known != ENCODERS):
            own = ", or module:Class" if known == ENCODERS else ""
            raise UserError(
                f"--encoder {self.encoder}: expected one of {', '.join(known)}{own}{nearest(self.encoder, known)}"
            )
        for filters, kernel, stride, padding in self.conv_layers:
            if min(kernel, stride) < 1 or min(filters, padding) < 0 or (filters == 0 and padding > kernel // 2):
                raise UserError(
                    f"--conv-layers with {filters} filters, kernel {kernel}, stride {stride} and padding {padding}: "
                    "expected kernel and stride of 1 or more and padding of 0 or more, for max pooling (0 filters) up "
                    "to half the kernel"
                )


@dataclass(frozen=True)
class OptimizerSettings:
    """How gradients become steps."""

    learning_rate: Annotated[float, POSITIVE] = 3e-4
    """Step size at the start."""
    schedule: ScheduleName = "constant"
    """How the learning rate falls over the run."""
    optimizer: OptimizerName = "adam"
    """Update rule."""
    max_grad_norm: Annotated[float, NOT_NEGATIVE] = 0.0
    """Largest global gradient norm; 0: no clipping."""
    weight_decay: Annotated[float, NOT_NEGATIVE] = 0.0
    """Pull of the weights to zero (L2; decoupled for adamw)."""
    eps: Annotated[float, Needs("optimizer", ("adam", "adamw", "rmsprop")), POSITIVE] = 1e-8
    """Added to the optimizer's denominator by adam, adamw and rmsprop."""
    capture: Literal["auto", "no"] = "auto"
    """Replay updates, and on a GPU acting and native environments too, as graphs, which changes no bit and halves small
    ones; no: run them as they are written."""
    compile: bool = False
    """Compile losses with torch.compile: up to a minute at the start the first time, so for runs of many minutes; needs
    a C++ compiler, on a GPU triton."""
    precision: Literal["float32", "bf16"] = "float32"
    """Arithmetic of matrix products and convolutions while learning; bf16 where the machine has it."""
