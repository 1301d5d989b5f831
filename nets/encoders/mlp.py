"""Dense networks, and the layers that turn any observation space into one vector."""

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import Tree
from agent_gym.nets.encoders.base import Encoder, orthogonal_init
from agent_gym.nets.encoders.pooled import POOLED
from agent_gym.nets.layers.activations import get_activation
from agent_gym.nets.layers.narrow import linear
from agent_gym.nets.settings import EncoderSettings
from agent_gym.nets.trunks import TRUNKS

MOST_ONE_HOT = 1024  # values in one vector; where there are more, a row of a table is looked up
ROW = 16  # numbers in such a row


class Dense(nn.Linear):
    """A linear layer and its activation in one module, which halves the cost of calling small ones."""

    def __init__(self, in_dim: int, out_dim: int, activation: str, layer_norm: bool = False):
        super().__init__(in_dim, out_dim)
        self.norm = nn.LayerNorm(out_dim) if layer_norm else None
        self.activation_name, self.activation = activation, get_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        x = linear(x, self.weight, self.bias)
        return self.activation(x if self.norm is None else self.norm(x))


class MLP(nn.Sequential):
    """Dense layers, each with dropout if any: [..., in_dim] -> [..., out_dim]."""

    def __init__(
        self,
        in_dim: int,
        hidden_sizes: tuple[int, ...],
        activation: str = "tanh",
        dropout: float = 0.0,
        orthogonal: bool = True,
        layer_norm: bool = False,
    ):
        layers: list[nn.Module] = []
        for size in hidden_sizes:
            dense = Dense(in_dim, size, activation, layer_norm)
            layers.append(orthogonal_init(dense) if orthogonal else dense)
            if dropout > 0.0:
                layers.append(nn.Dropout(dropout))
            in_dim = size
        super().__init__(*layers)
        self.out_dim = in_dim


def uint8_scale(space: spaces.Space) -> float:
    """The factor that takes a Box of uint8 or of codes to 0..1 (1/255 for pixels); 1 for anything else."""
    whole = isinstance(space, spaces.Box) and space.dtype.kind in "iu" and space.low.min() >= 0
    return 1.0 / max(int(space.high.max()), 1) if whole else 1.0


class Flatten(nn.Module):
    """Box or MultiBinary [T, B, *shape] -> float [T, B, out_dim]; uint8 is scaled to 0..1."""

    def __init__(self, space: spaces.Box | spaces.MultiBinary):
        super().__init__()
        self.out_dim = int(np.prod(space.shape))
        self.rank = len(space.shape)
        self.scale = uint8_scale(space)

    def forward(self, obs: Tensor) -> Tensor:
        if self.rank != 1:
            obs = obs.reshape(*obs.shape[:2], self.out_dim)
        if not obs.is_floating_point():
            obs = obs.float()
        return obs if self.scale == 1.0 else obs * self.scale


class OneHot(nn.Module):
    """Discrete [T, B] or MultiDiscrete [T, B, *shape] -> one-hot vectors side by side, float [T, B, out_dim]."""

    def __init__(self, space: spaces.Discrete | spaces.MultiDiscrete):
        super().__init__()
        sizes = np.ravel(space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n)
        starts = np.broadcast_to(np.ravel(space.start), sizes.shape)
        values = np.concatenate([start + np.arange(size) for start, size in zip(starts, sizes, strict=True)])
        self.out_dim = len(values)
        self.register_buffer("values", torch.as_tensor(values, dtype=torch.int64), persistent=False)
        self.register_buffer("column", torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)), persistent=False)

    def forward(self, obs: Tensor) -> Tensor:
        obs = obs.reshape(*obs.shape[:2], -1)
        return obs[..., self.column].eq(self.values).float()


class LookUp(nn.Module):
    """What `OneHot` takes, where there are many values: a learned row for each, side by side.

    Memory for a batch and time do not grow with the number of values.
    """

    def __init__(self, space: spaces.Discrete | spaces.MultiDiscrete):
        super().__init__()
        sizes = torch.as_tensor(np.ravel(space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n))
        self.out_dim = ROW * len(sizes)
        self.table = nn.Parameter(torch.randn(int(sizes.sum()), ROW))
        rows = torch.cumsum(sizes, 0) - sizes - torch.as_tensor(np.ravel(space.start))
        self.register_buffer("rows", rows, persistent=False)  # of the value 0 of each

    def forward(self, obs: Tensor) -> Tensor:
        obs = obs.reshape(*obs.shape[:2], -1)
        return F.embedding(obs + self.rows, self.table).flatten(2)


class Concat(nn.Module):
    """Dict or Tuple: the leaves' feature vectors side by side; a Tuple's keys are "0", "1", ..."""

    def __init__(self, children: dict[str, nn.Module]):
        super().__init__()
        self.keys = list(children)
        self.parts = nn.ModuleList(children.values())
        self.out_dim = sum(child.out_dim for child in children.values())

    def forward(self, obs: dict[str, Tree]) -> Tensor:
        return torch.cat([part(obs[key]) for key, part in zip(self.keys, self.parts, strict=True)], dim=-1)


def flatten_leaf(space: spaces.Space) -> nn.Module:
    """The layer that turns one space without children into a vector; UserError if there is none."""
    if type(space) in POOLED:
        return POOLED[type(space)](space)
    if isinstance(space, (spaces.Box, spaces.MultiBinary)):
        if np.prod(space.shape) == 0:
            raise UserError(f"observation space {space} is empty; expected at least one number")
        return Flatten(space)
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        sizes = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n
        return OneHot(space) if np.sum(sizes) <= MOST_ONE_HOT else LookUp(space)
    raise UserError(
        f"observation space {space} is not supported; expected Box, Discrete, MultiDiscrete, MultiBinary, "
        "or a Dict or Tuple of these"
    )


class MLPEncoder(Encoder):
    """inputs (any module from obs to [T, B, n]), then an MLP; no hidden layers hand the inputs on."""

    def __init__(self, inputs: nn.Module, config: EncoderSettings, hidden_sizes: tuple[int, ...]):
        super().__init__()
        self.inputs = inputs
        if config.trunk and hidden_sizes:
            self.mlp: nn.Module = TRUNKS[config.trunk](inputs.out_dim, hidden_sizes, config.activation)
        else:
            self.mlp = MLP(
                inputs.out_dim, hidden_sizes, config.activation, config.dropout, config.orthogonal, config.layer_norm
            )
        self.out_dim = self.mlp.out_dim

    def forward(self, obs: Tree, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        return self.mlp(self.inputs(obs)), state
