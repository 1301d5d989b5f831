"""Policy heads that learn from actions of others."""

from __future__ import annotations

from gymnasium import spaces

from agent_gym.nets.heads import DeterministicHead, PolicyHead, SquashedGaussianHead, make_policy_head

HEADS = {"squashed": SquashedGaussianHead, "deterministic": DeterministicHead}


def policy_head(kind: str, action_space: spaces.Space, in_dim: int) -> PolicyHead:
    """The head `kind` for a Box; for other actions, and where it is open, the one of PPO. Raises UserError."""
    if isinstance(action_space, spaces.Box) and kind in HEADS:
        return HEADS[kind](action_space, in_dim)
    return make_policy_head(action_space, in_dim)
