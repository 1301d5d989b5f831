"""What every encoder has in common: the contract, the configuration, the error and the initialisation."""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import Tree

EncoderName = Literal["auto", "linear", "mlp", "cnn", "rnn", "lstm", "gru", "transformer"]
ActivationName = Literal["tanh", "relu", "sigmoid", "leaky_relu", "elu", "silu", "gelu", "softplus"]


MAX_LAYERS = 64  # of memory on top of each other
MAX_WINDOW = 65_536


@dataclass(frozen=True)
class EncoderConfig:
    """How observations become features."""

    encoder: EncoderName = "auto"
    """auto: cnn for images, mlp for anything else; rnn, lstm, gru, transformer remember; linear: the inputs."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each dense layer; in front of the memory for rnn, lstm, gru and transformer."""
    activation: ActivationName = "tanh"
    """Activation after each dense layer."""
    recurrent_size: int = 64
    """Units of each recurrent layer."""
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
    attend_to: Literal["past", "inputs"] = "past"
    """What the transformer attends to: the steps of the window, or the inputs of one step (columns, patches)."""
    dropout: float = 0.0
    """Share of units dropped after each dense layer while training, 0 to 1."""
    layer_norm: bool = False
    """Normalise the sums of each dense layer before its activation (Ba et al. 2016)."""
    orthogonal: bool = True
    """Orthogonal initial weights and zero biases; otherwise PyTorch's default."""
    conv_layers: tuple[tuple[int, int, int, int], ...] = ()
    """Convolutions as (filters, kernel, stride, padding), max pooling with 0 filters; empty: by the image's size."""
    cnn_hidden_sizes: tuple[int, ...] | None = None
    """Units of each dense layer after the convolutions, empty: no such layer; None: chosen by the image's size."""
    weights_from: str = ""
    """Folder of a run whose encoder's weights are the first ones; empty: random."""
    freeze: bool = False
    """Weights take no part in training."""

    def __post_init__(self) -> None:
        if not 1 <= self.recurrent_layers <= MAX_LAYERS or self.recurrent_size < 1:
            raise UserError(
                f"--recurrent-layers {self.recurrent_layers} --recurrent-size {self.recurrent_size}: expected 1 to "
                f"{MAX_LAYERS} layers of 1 unit or more"
            )
        sizes = (self.attention_size, self.attention_heads, self.attention_window)
        if not 1 <= self.attention_layers <= MAX_LAYERS or min(sizes) < 1 or self.attention_window > MAX_WINDOW:
            raise UserError(
                f"--attention-layers {self.attention_layers} --attention-size {self.attention_size} --attention-heads "
                f"{self.attention_heads} --attention-window {self.attention_window}: expected 1 to {MAX_LAYERS} "
                f"layers, sizes of 1 or more and a window up to {MAX_WINDOW:,}"
            )
        if min(*self.hidden_sizes, *(self.cnn_hidden_sizes or ()), 1, 1) < 1:
            raise UserError(
                f"--hidden-sizes {self.hidden_sizes} --cnn-hidden-sizes {self.cnn_hidden_sizes}: expected 1 or more"
            )
        for filters, kernel, stride, padding in self.conv_layers:
            if min(kernel, stride) < 1 or min(filters, padding) < 0 or (filters == 0 and padding > kernel // 2):
                raise UserError(
                    f"--conv-layers with {filters} filters, kernel {kernel}, stride {stride} and padding {padding}: "
                    "expected kernel and stride of 1 or more and padding of 0 or more, for max pooling (0 filters) up "
                    "to half the kernel"
                )


class Encoder(nn.Module):
    """Observations to features, time-major: one forward for acting (T = 1) and training.

    obs: leaves [T, B, ...]; state: [B, state_dim]; reset: [T, B] bool, True where obs starts an episode
    (the state is zeroed before it). Stateless encoders have state_dim 0 and hand the empty state on.
    """

    out_dim: int
    state_dim: int = 0

    def forward(self, obs: Tree, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features [T, B, out_dim] and the state [B, state_dim] after the last step."""
        raise NotImplementedError

    def initial_state(self, batch_size: int) -> Tensor:
        """Zeros [batch_size, state_dim] where the parameters are."""
        like = next(self.parameters(), None)
        like = next(self.buffers(), None) if like is None else like
        device = None if like is None else like.device
        return torch.zeros(batch_size, self.state_dim, device=device)


def orthogonal_init(layer: nn.Module, gain: float = sqrt(2.0)) -> nn.Module:
    """Orthogonal weights and zero bias, in place (Saxe 2014; gains as in Engstrom 2020 for policies)."""
    nn.init.orthogonal_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
