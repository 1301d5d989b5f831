"""Heads whose outputs are numbers as they are: values, logits, predictions."""

from torch import Tensor, nn

from agent_gym.nets.encoders.base import orthogonal_init
from agent_gym.nets.layers.narrow import Linear
from agent_gym.nets.precision import precisely


class ValueHead(nn.Module):
    """features [T, B, in_dim] -> value [T, B]."""

    def __init__(self, in_dim: int):
        super().__init__()
        self.linear = orthogonal_init(Linear(in_dim, 1), 1.0)

    def forward(self, features: Tensor) -> Tensor:
        return precisely(self.linear, features).squeeze(-1)


class LinearHead(Linear):
    """features [T, B, in_dim] -> [T, B, out_dim]: class logits, predictions, Q-values; PyTorch's default weights."""

    def forward(self, features: Tensor) -> Tensor:
        return precisely(super().forward, features)
