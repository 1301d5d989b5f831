"""What SAC and TD3 share: an actor and an ensemble of critics, each with an encoder and perhaps a memory of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.critic import Critic
from agent_gym.agents.networks import Actor
from agent_gym.agents.off_policy import OffPolicy, OffPolicyConfig, one_step
from agent_gym.envs.vector import VectorEnv
from agent_gym.nets.heads import PolicyHead
from agent_gym.nets.learner.learner import Stats


class ActorCriticAgent(OffPolicy):
    """An agent with `policy` and `critic`; a subclass builds them with `build` and gives the losses and `choose`."""

    policy: Actor
    critic: Critic

    def __init__(self, config: OffPolicyConfig, env: VectorEnv, device: torch.device | str) -> None:
        super().__init__(config, env, device)
        self.discrete = isinstance(env.action_space, spaces.Discrete)

    def build(self, make_head: Callable[[int], PolicyHead], critics: int) -> None:
        """The networks; `make_head(in_dim)` gives the policy's head."""
        encoder = self.config.encoder_config()
        self.policy = Actor(self.env.obs_space, encoder, make_head)
        self.critic = Critic(self.env.obs_space, self.env.action_space, encoder, critics)
        self.model = nn.ModuleDict({"policy": self.policy, "critic": self.critic, "obs_norm": self.obs_norm}).to(
            self.device
        )
        self.state_dims = (self.policy.state_dim, self.critic.state_dim)
        self.state_dim = sum(self.state_dims)
        self.size = 1 if self.discrete else self.policy.head.size

    def networks(self) -> nn.Module:
        return _ActorAndCritic(self.policy, self.critic)

    @abstractmethod
    def choose(self, output: Any, explore: bool) -> Tensor:
        """The action [1, B, ...] for what the policy's head gave."""

    def memories(self, batch: dict) -> tuple[Tensor | None, Tensor | None]:
        """The memories of actor and critics before a batch of sequences; None without memory."""
        return batch["state"].split(self.state_dims, dim=1) if "state" in batch else (None, None)

    def random_action(self) -> tuple[Tensor, Tensor]:
        shape, drawn = (self.env.num_envs, self.size), {"generator": self.generator, "device": self.device}
        if self.discrete:
            action = torch.randint(int(self.env.action_space.n), shape[:1], **drawn)
        else:
            action = 2.0 * torch.rand(shape, **drawn) - 1.0
        return self.policy.head.to_env(action), action

    def explore(self) -> tuple[Tensor, Tensor, Tensor]:
        action, state, extras = self.act(self.obs, self.state, self.reset)
        return action, extras["action"], state

    @torch.no_grad()
    def act(self, obs: Any, state: Tensor, reset: Tensor, explore: bool = True):
        output, state = self._policy(obs, state, reset)
        action = self.choose(output, explore).squeeze(0)
        return self.policy.head.to_env(action), state, {"action": action}

    def _policy(self, obs: Any, state: Tensor, reset: Tensor) -> tuple[Any, Tensor]:
        obs, reset = one_step(self.obs_norm(obs)), reset.unsqueeze(0)
        if not self.state_dim:
            return self.policy(obs, state, reset)
        mine, critics = state.split(self.state_dims, dim=1)
        output, mine = self.policy(obs, mine, reset)
        _, critics = self.critic.encoder(obs, critics, reset)  # its memory takes in what the actor's does
        return output, torch.cat((mine, critics), dim=1)

    @torch.no_grad()
    def values(self, obs: Any, state: Tensor, reset: Tensor, action: Tensor | None) -> Tensor:
        """The smallest of the critics' values: [B] of actions [1, B, m], or [B, n] of all discrete ones."""
        memory = state.split(self.state_dims, dim=1)[1]
        features, _ = self.critic.encoder(one_step(self.obs_norm(obs)), memory, reset.unsqueeze(0))
        return self.critic(features, action).amin(0)[0]

    def learn_critic(self, batch: dict) -> Stats:
        """An update of the critics; its "td_error" [T, n] is their mean, and there only if it sets priorities."""
        stats = self.learners["critic"].update(batch)
        td_error = stats.pop("td_error")
        if self.config.prioritized:
            stats["td_error"] = td_error.abs().mean(0)
        return stats


class _ActorAndCritic(nn.Module):
    """Both on the same observations; the critics value an action of zeros."""

    def __init__(self, policy: Actor, critic: Critic) -> None:
        super().__init__()
        self.policy, self.critic = policy, critic
        self.state_dim = policy.state_dim + critic.state_dim

    def forward(self, obs: Any, state: Tensor, reset: Tensor) -> Tensor:
        """obs [T, B, ...], state [B, state_dim], reset [T, B]; returns what Critic does."""
        mine, critics = state.split((self.policy.state_dim, self.critic.state_dim), dim=1)
        self.policy(obs, mine, reset)
        features, _ = self.critic.encoder(obs, critics, reset)
        size = 0 if self.critic.discrete else self.policy.head.size
        return self.critic(features, features.new_zeros(*features.shape[:2], size))
