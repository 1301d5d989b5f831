"""Between the agent's numbers and those of a Box with its bounds."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.nets.heads.base import PolicyHead

HUGE = 1e15  # no environment means bounds beyond this: they are the largest float, or another word for none
CONFINED = 1.0 - 2.0**-20  # the largest action whose artanh is taken: 7.3
SOFTPLUS_AT_1 = math.log(math.e - 1.0)  # where softplus is 1


class BoxHead(PolicyHead):
    """Box: bounded dimensions live in [-1, 1] inside the agent and are rescaled for the environment.

    What the other dimensions take is a function of u, which is the agent's action itself or, where a policy is
    confined to (-1, 1), its artanh: u where there is no bound, and a softplus of u above the only bound (below an
    upper one), one unit from it at u = 0. The unit is 1 or a tenth of the bound. Bounds beyond HUGE count as none.
    """

    confined = False  # the agent's actions lie in [-1, 1] in every dimension

    def __init__(self, space: spaces.Box):
        super().__init__()
        if not np.issubdtype(space.dtype, np.floating):
            raise UserError(f"action space {space} is not supported; expected a Box of floats")
        self.shape = space.shape
        self.size = int(np.prod(space.shape))
        low, high = (bound.astype(np.float64).ravel() for bound in (space.low, space.high))
        below, above = np.abs(low) < HUGE, np.abs(high) < HUGE  # which bounds there are
        bounded, half = below & above, below ^ above
        low, high = np.where(below, low, 0.0), np.where(above, high, 0.0)
        self._buffer("low", np.where(below, low, -np.inf))
        self._buffer("high", np.where(above, high, np.inf))
        unit = np.where(half, np.maximum(1.0, 0.1 * np.abs(low + high)), 1.0)
        self._buffer("scale", np.where(bounded, (high - low) / 2.0, np.where(half & above, -unit, unit)))
        self._buffer("centre", np.where(bounded, (high + low) / 2.0, low + high))
        self.register_buffer("bounded", torch.from_numpy(bounded), persistent=False)
        self.register_buffer("one_sided", torch.from_numpy(half), persistent=False)
        self.curved = bool(half.any()) or (self.confined and not bounded.all())

    def _buffer(self, name: str, value: np.ndarray) -> None:
        self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32), persistent=False)

    def to_env(self, action: Tensor) -> Tensor:
        if self.curved:
            action = self._curve(action)
        # Clamped last, so that rounding cannot leave the bounds.
        action = torch.addcmul(self.centre, action, self.scale).clamp(self.low, self.high)
        return action if len(self.shape) == 1 else action.reshape(-1, *self.shape)

    def from_env(self, action: Tensor) -> Tensor:
        action = (action.reshape(-1, self.size) - self.centre) / torch.where(self.scale == 0, 1.0, self.scale)
        if self.curved:
            above = action.clamp(min=1e-6)
            u = torch.where(self.one_sided, above + torch.log(-torch.expm1(-above)) - SOFTPLUS_AT_1, action)
            action = torch.where(self.bounded, action, torch.tanh(u) if self.confined else u)
        return torch.where(self.bounded, action.clamp(-1.0, 1.0), action)

    def slope(self, action: Tensor) -> Tensor:
        """How much the environment's action [B, m] changes with the agent's [B, m]."""
        if not self.curved:
            return self.scale.expand_as(action)
        u, slope = self._free(action), torch.ones_like(action)
        if self.confined:
            slope = (1.0 - action.square()).clamp(min=1e-6).reciprocal()
        slope = torch.where(self.one_sided, slope * torch.sigmoid(u + SOFTPLUS_AT_1), slope)
        return torch.where(self.bounded, 1.0, slope) * self.scale.abs()

    def _free(self, action: Tensor) -> Tensor:
        """u of the agent's action."""
        return torch.atanh(action.clamp(-CONFINED, CONFINED)) if self.confined else action

    def _curve(self, action: Tensor) -> Tensor:
        u = self._free(action)
        u = torch.where(self.one_sided, F.softplus(u + SOFTPLUS_AT_1), u)
        return torch.where(self.bounded, action, u)


def flat_box(boxes: spaces.Tuple) -> spaces.Box:
    """Boxes, one after the other."""
    low, high = (np.concatenate([getattr(box, name) for box in boxes]) for name in ("low", "high"))
    return spaces.Box(low, high, dtype=np.float32)
