"""Several MLPs of equal shape evaluated as one batched network, such as twin critics."""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.layers.activations import get_activation
from agent_gym.nets.precision import precisely
from agent_gym.nets.settings import EncoderSettings


class BatchedLinear(nn.Module):
    """`num` linear layers: [num, B, in_dim] -> [num, B, out_dim]; weights [num, in_dim, out_dim], PyTorch's default."""

    def __init__(self, num: int, in_dim: int, out_dim: int):
        super().__init__()
        bound = 1.0 / sqrt(in_dim)
        self.weight = nn.Parameter(torch.empty(num, in_dim, out_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num, 1, out_dim).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """x of the first networks alone gives their outputs alone."""
        weight, bias = self.weight, self.bias
        if len(x) < len(weight):
            weight, bias = weight[: len(x)], bias[: len(x)]
        if weight.shape[-1] == 1:  # a matrix product is made for more columns: 140 against 25 microseconds
            return (x * weight.transpose(1, 2)).sum(-1, keepdim=True) + bias
        return torch.baddbmm(bias, x, weight)


class BatchedLayerNorm(nn.Module):
    """`num` layer normalisations (Ba et al. 2016): [num, B, dim] -> [num, B, dim]."""

    def __init__(self, num: int, dim: int):
        super().__init__()
        self.dim = dim
        self.weight = nn.Parameter(torch.ones(num, 1, dim))
        self.bias = nn.Parameter(torch.zeros(num, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        """x of the first networks alone gives their outputs alone."""
        return torch.addcmul(self.bias[: len(x)], F.layer_norm(x, (self.dim,)), self.weight[: len(x)])


class EnsembleMLP(nn.Module):
    """`num` MLPs on the same inputs: [B, in_dim] -> [num, B, out_dim], one kernel a layer for all of them."""

    def __init__(
        self,
        num: int,
        in_dim: int,
        hidden_sizes: tuple[int, ...],
        out_dim: int,
        activation: str = "relu",
        layer_norm: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.num, self.dropout = num, dropout
        layers: list[nn.Module] = []
        for size in hidden_sizes:
            linear = BatchedLinear(num, in_dim, size)
            layers.append(nn.Sequential(linear, BatchedLayerNorm(num, size)) if layer_norm else linear)
            in_dim = size
        self.hidden = nn.ModuleList(layers)
        self.out = BatchedLinear(num, in_dim, out_dim)
        self.activation = get_activation(activation)

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """`first`: only so many of the networks."""
        x = x.expand(first or self.num, *x.shape)
        for layer in self.hidden:
            x = self.activation(layer(x))
            if self.dropout > 0.0:
                x = F.dropout(x, self.dropout, self.training)
        return precisely(self.out, x)


def make_ensemble(num: int, in_dim: int, out_dim: int, config: EncoderSettings) -> EnsembleMLP:
    """`num` networks for vectors, each what an encoder and a head would be. Raises UserError unless linear or mlp."""
    if config.encoder not in ("auto", "linear", "mlp") or config.encoder_from:
        flag = f"--encoder {config.encoder}" if not config.encoder_from else f"--encoder-from {config.encoder_from}"
        raise UserError(f"{flag} does not fit several members: expected --encoder mlp or linear, or --members 1")
    hidden = () if config.encoder == "linear" else config.hidden_sizes
    return EnsembleMLP(num, in_dim, hidden, out_dim, config.activation, config.layer_norm, config.dropout)
