"""What an exported policy computes: one step of acting as a function of named tensors."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.export.spaces import describe, leaves
from agent_gym.ground.spaces import choices_of
from agent_gym.ground.tree import Tree, tree_map
from agent_gym.nets.distributions import Noise

DTYPES = {"float32": torch.float32, "uint8": torch.uint8, "int64": torch.int64, "int8": torch.int8}
EXAMPLES = 2  # rows of an example: with one, torch would take the batch's size for a constant


class ExportablePolicy(Protocol):
    """What an export asks of a policy."""

    obs_norm: nn.Module
    network: nn.Module
    """Has `encoder`, whose forward is that of nets.encoders.base.Encoder."""

    def decide(self, features: Tensor, noise: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """The action [B, ...] as the environment takes it for features [1, B, F]: the most likely, or by `noise`."""

    def noise(self, features: Tensor) -> Noise:
        """What `decide` takes as noise for features [1, B, F]."""


class Graph(nn.Module, ABC):
    """A module on positional tensors with the names and the metadata that they get in a file."""

    inputs: list[str]
    outputs: list[str]
    about: dict[str, Any]
    """Metadata: plain data."""

    @abstractmethod
    def examples(self) -> tuple[Tensor, ...]:
        """Inputs of EXAMPLES rows."""


class Acting(Graph):
    """obs leaves [B, ...], memory [B, S] and reset [B] if S > 0, noise [B, ...] if sampled, mask [B, n] if masked.

    Gives action and next_memory.

    The action is the environment's own: counted from its space's start, scaled to its bounds. Of a space of several
    parts it is a row of which `ground.spaces.Unfold` makes the action.
    """

    def __init__(
        self,
        policy: ExportablePolicy,
        obs_space: spaces.Space,
        action_space: spaces.Space,
        *,
        sampled: bool = False,
        masked: bool = False,
    ) -> None:
        """The spaces are the environment's own."""
        super().__init__()
        self.policy = copy.deepcopy(policy).cpu().eval().requires_grad_(False)
        for name, _ in list(self.policy.named_children()):
            if name not in ("obs_norm", "network"):
                delattr(self.policy, name)  # what values, but does not act
        self.leaves = leaves(obs_space)
        self.layout = _layout(obs_space, iter(range(len(self.leaves))))
        self.size = policy.network.encoder.state_dim
        self.noise = policy.noise(torch.zeros(1, 1, policy.network.encoder.out_dim)) if sampled else None
        start, several = getattr(action_space, "start", 0), isinstance(action_space, spaces.MultiDiscrete)
        self.start = torch.as_tensor(start).reshape(action_space.shape) if several else int(start)
        self.inputs = [leaf.name for leaf in self.leaves]
        self.inputs += ["memory", "reset"] * bool(self.size) + ["noise"] * sampled + ["mask"] * masked
        self.mask = sum(choices_of(action_space)) if masked else 0
        self.outputs = ["action"] + ["next_memory"] * bool(self.size)
        self.about = {
            "kind": "policy",
            "obs": [leaf._asdict() for leaf in self.leaves],
            "obs_space": describe(obs_space),
            "action_space": describe(action_space),
            "memory": self.size,
            "mask": self.mask,
            "noise": None if self.noise is None else self.noise._asdict(),
        }

    def examples(self) -> tuple[Tensor, ...]:
        made = [torch.zeros(EXAMPLES, *leaf.shape, dtype=DTYPES[leaf.dtype]) for leaf in self.leaves]
        if self.size:
            made += [torch.zeros(EXAMPLES, self.size), torch.zeros(EXAMPLES, dtype=torch.bool)]
        if self.noise is not None:
            made.append(torch.full((EXAMPLES, *self.noise.shape), 0.5))
        if self.mask:
            made.append(torch.ones(EXAMPLES, self.mask, dtype=torch.bool))
        return tuple(made)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.inputs, inputs, strict=True))
        batch = inputs[0].shape[0]
        obs = self.policy.obs_norm(tree_map(lambda index: inputs[index], self.layout))
        obs = tree_map(lambda x: x.unsqueeze(0), obs)
        memory = given["memory"] if self.size else torch.zeros(batch, 0)
        reset = given["reset"] if self.size else torch.zeros(batch, dtype=torch.bool)
        features, memory = self.policy.network.encoder(obs, memory, reset.unsqueeze(0))
        action = self.policy.decide(features, given.get("noise"), given.get("mask"))
        if not action.is_floating_point():
            action = action + self.start
        return (action, memory) if self.size else (action,)


def _layout(space: spaces.Space, numbers: Any) -> Tree:
    """The canonical observation with the numbers of its leaves in their places."""
    if isinstance(space, spaces.Dict):
        return {key: _layout(part, numbers) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return {str(key): _layout(part, numbers) for key, part in enumerate(space.spaces)}
    return next(numbers)
