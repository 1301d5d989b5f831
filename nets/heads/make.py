"""The policy head of an action space."""

from gymnasium import spaces

from agent_gym.ground.errors import UserError
from agent_gym.nets.heads.base import PolicyHead
from agent_gym.nets.heads.continuous import GaussianHead, StateDependentHead
from agent_gym.nets.heads.discrete import DiscreteHead, MultiBinaryHead, MultiDiscreteHead
from agent_gym.nets.heads.hybrid import HybridHead


def make_policy_head(
    action_space: spaces.Space,
    in_dim: int,
    *,
    log_std_init: float = 0.0,
    state_dependent: bool = False,
    parameterised: bool = False,
) -> PolicyHead:
    """The policy head for an action space; UserError names a space that none takes.

    `state_dependent` makes the noise of a Box depend on the features (gSDE); other spaces ignore it.
    """
    hybrid = isinstance(action_space, spaces.Dict) and set(action_space) == {"choices", "boxes"}
    if parameterised and not hybrid:
        raise UserError(f"--parameterised: the action space {action_space} is not of choices and Boxes")
    if isinstance(action_space, spaces.Discrete):
        return DiscreteHead(action_space, in_dim)
    if isinstance(action_space, spaces.MultiDiscrete):
        return MultiDiscreteHead(action_space, in_dim)
    if isinstance(action_space, spaces.MultiBinary):
        return MultiBinaryHead(action_space, in_dim)
    if isinstance(action_space, spaces.Box):
        head = StateDependentHead if state_dependent else GaussianHead
        return head(action_space, in_dim, log_std_init)
    if hybrid:
        return HybridHead(action_space, in_dim, log_std_init, parameterised)
    raise UserError(
        f"action space {action_space} is not supported; expected Discrete, MultiDiscrete, MultiBinary or Box"
    )
