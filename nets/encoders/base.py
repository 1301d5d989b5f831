"""What every encoder has in common: the contract and the initialisation."""

from abc import ABC, abstractmethod
from math import sqrt

import torch
from torch import Tensor, nn

from agent_gym.ground.tree import Tree


class Encoder(nn.Module, ABC):
    """Observations to features, time-major: one forward for acting (T = 1) and training.

    obs: leaves [T, B, ...]; state: [B, state_dim]; reset: [T, B] bool, True where obs starts an episode
    (the state is zeroed before it). Stateless encoders have state_dim 0 and hand the empty state on.
    """

    out_dim: int
    state_dim: int = 0

    @abstractmethod
    def forward(self, obs: Tree, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features [T, B, out_dim] and the state [B, state_dim] after the last step."""

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
