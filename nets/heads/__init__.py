"""What stands on an encoder's features: policies for every action space, values, plain outputs."""

from agent_gym.nets.heads.base import PolicyHead
from agent_gym.nets.heads.box import flat_box
from agent_gym.nets.heads.continuous import DeterministicHead, GaussianHead, SquashedGaussianHead, StateDependentHead
from agent_gym.nets.heads.discrete import DiscreteHead, MultiBinaryHead, MultiDiscreteHead
from agent_gym.nets.heads.hybrid import HybridHead
from agent_gym.nets.heads.make import make_policy_head
from agent_gym.nets.heads.plain import LinearHead, ValueHead

__all__ = [
    "DeterministicHead",
    "DiscreteHead",
    "GaussianHead",
    "HybridHead",
    "LinearHead",
    "MultiBinaryHead",
    "MultiDiscreteHead",
    "PolicyHead",
    "SquashedGaussianHead",
    "StateDependentHead",
    "ValueHead",
    "flat_box",
    "make_policy_head",
]
