"""Policies over choices and numbers together."""

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.nets.distributions import Hybrid
from agent_gym.nets.heads.base import PolicyHead
from agent_gym.nets.heads.box import flat_box
from agent_gym.nets.heads.continuous import GaussianHead
from agent_gym.nets.heads.discrete import MultiDiscreteHead


class HybridHead(PolicyHead):
    """A Dict of "choices" and "boxes", as ground.spaces has it: a Hybrid.

    `parameterised`: the only choice says which of as many Boxes counts.
    """

    def __init__(self, space: spaces.Dict, in_dim: int, log_std_init: float, parameterised: bool):
        super().__init__()
        self.choices = MultiDiscreteHead(space["choices"], in_dim)
        self.numbers = GaussianHead(flat_box(space["boxes"]), in_dim, log_std_init)
        self.split = len(space["choices"].nvec)
        counts = None
        if parameterised:
            sizes = [box.shape[0] for box in space["boxes"]]
            if space["choices"].nvec.tolist() != [len(sizes)]:
                raise UserError(
                    f"--parameterised: expected one choice among as many actions as there are Boxes, and there are "
                    f"choices {space['choices'].nvec.tolist()} and {len(sizes)} Boxes"
                )
            owner = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
            counts = torch.arange(len(sizes)).unsqueeze(1) == owner
        self.register_buffer("counts", counts, persistent=False)

    def forward(self, features: Tensor) -> Hybrid:
        return Hybrid(self.choices(features), self.numbers(features), self.counts)

    def to_env(self, action: Tensor) -> Tensor:
        return torch.cat((action[..., : self.split], self.numbers.to_env(action[..., self.split :])), dim=-1)
