"""Actor and critic on encoders, with memory as an argument."""

from __future__ import annotations

from collections.abc import Callable

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.envs.vector import OWN
from agent_gym.nets.distributions import Bernoulli, Categorical, DiagGaussian, Distribution, Hybrid, SquashedGaussian
from agent_gym.nets.encoders.base import Encoder
from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.heads import PolicyHead, ValueHead, make_policy_head
from agent_gym.nets.settings import EncoderSettings


class ActorCritic(nn.Module):
    """A policy head and a value head on one shared encoder or on one each.

    Where a global state stands beside the observation, the critic alone sees it (MAPPO, Yu et al. 2022).

    `forward(obs [T, B, ...], state [B, state_dim], reset [T, B])` returns the action distribution over
    [T, B], the value [T, B] and the state [B, state_dim] after the last step. `mask` [T, B, n]: the discrete actions
    that are allowed.
    """

    def __init__(
        self,
        obs_space: spaces.Space,
        action_space: spaces.Space,
        config: EncoderSettings,
        *,
        shared: bool,
        **head_options: object,
    ) -> None:
        super().__init__()
        central = isinstance(obs_space, spaces.Dict) and OWN in obs_space.spaces
        self.encoder = Own(make_encoder(obs_space[OWN], config)) if central else make_encoder(obs_space, config)
        self.critic_encoder = None if shared and not central else make_encoder(obs_space, config)
        shared = self.critic_encoder is None
        self.head = make_policy_head(action_space, self.encoder.out_dim, **head_options)
        self.value_head = ValueHead(self.encoder.out_dim)
        self.state_dim = self.encoder.state_dim * (1 if shared else 2)

    def act(self, obs: object, reset: Tensor, mask: Tensor | None = None) -> Distribution:
        """The action distribution alone, for a policy without memory."""
        features, _ = self.encoder(obs, reset.new_zeros(reset.shape[1], 0, dtype=torch.float32), reset)
        return self.head(features).masked(mask)

    def value(self, obs: object, reset: Tensor) -> Tensor:
        """The value [T, B] alone, for a policy without memory."""
        encoder = self.encoder if self.critic_encoder is None else self.critic_encoder
        features, _ = encoder(obs, reset.new_zeros(reset.shape[1], 0, dtype=torch.float32), reset)
        return self.value_head(features)

    def forward(self, obs: object, state: Tensor, reset: Tensor, mask: Tensor | None = None):
        if self.critic_encoder is None:
            features, state = self.encoder(obs, state, reset)
            return self.head(features).masked(mask), self.value_head(features), state
        actor_state, critic_state = state.chunk(2, dim=1)
        features, actor_state = self.encoder(obs, actor_state, reset)
        critic_features, critic_state = self.critic_encoder(obs, critic_state, reset)
        state = torch.cat((actor_state, critic_state), dim=1) if self.state_dim else state
        return self.head(features).masked(mask), self.value_head(critic_features), state


class Own(nn.Module):
    """An encoder that sees an agent's own observation and not the global state beside it."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.out_dim, self.state_dim = encoder, encoder.out_dim, encoder.state_dim

    def forward(self, obs: dict, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder(obs[OWN], state, reset)


class Actor(nn.Module):
    """An encoder and a policy head, which `make_head(in_dim)` gives.

    `forward(obs [T, B, ...], state [B, state_dim], reset [T, B])` returns what the head gives and the next state.
    """

    def __init__(
        self, obs_space: spaces.Space, config: EncoderSettings, make_head: Callable[[int], PolicyHead]
    ) -> None:
        super().__init__()
        self.encoder = make_encoder(obs_space, config)
        self.head = make_head(self.encoder.out_dim)
        self.state_dim = self.encoder.state_dim

    def forward(self, obs: object, state: Tensor, reset: Tensor):
        features, state = self.encoder(obs, state, reset)
        return self.head(features), state


def describe(head: PolicyHead, distribution: Distribution) -> dict[str, Tensor]:
    """A distribution over [1, B] in numbers that a spectator can read, [B, ...], actions in the environment's units.

    Discrete and MultiDiscrete give "probs" [B, n] and [B, m, n], MultiBinary "bit_probs" [B, m], Box "mean" and
    "std" [B, m]; the deviation of a squashed normal is that of its tangent at the mean.
    """
    if isinstance(distribution, Hybrid):
        return describe(head.choices, distribution.choices) | describe(head.numbers, distribution.numbers)
    match distribution:
        case Categorical():
            return {"probs": distribution.probs[0]}
        case Bernoulli():
            return {"bit_probs": distribution.probs[0]}
        case DiagGaussian():
            mean, slope = distribution.mean[0], torch.ones(())
            log_std = distribution.log_std
        case SquashedGaussian():
            mean = distribution.mode()[0]
            slope, log_std = 1.0 - mean.square(), distribution.gaussian.log_std
    std = log_std.exp().expand(1, *mean.shape)[0] * slope.to(mean.device) * head.slope(mean)
    return {"mean": head.to_env(mean).flatten(1), "std": std}
