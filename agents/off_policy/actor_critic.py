"""What SAC and TD3 share: an actor and an ensemble of critics, each with an encoder and perhaps a memory of its own."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.networks import Actor
from agent_gym.agents.off_policy.acting import Acting
from agent_gym.agents.off_policy.critic import Critic, ranked
from agent_gym.agents.policy import Policy, one_step
from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.envs.vector import VectorEnv
from agent_gym.nets.distributions import Noise
from agent_gym.nets.heads import PolicyHead
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.return_scale import ReturnStats


class ActorAndCritic(Policy):
    """An actor, `network`, and the critics that value what it does; a subclass gives `make_head` and `choose`."""

    network: Actor
    critic: Critic
    exportable = True

    def __init__(self, obs_space: spaces.Space, action_space: spaces.Space, config: OffPolicyConfig) -> None:
        super().__init__(obs_space, action_space, config)
        self.network = Actor(obs_space, config, self.make_head)
        self.critic = self.make_critics()
        self.state_dims = (self.network.state_dim, self.critic.state_dim)
        self.state_dim = sum(self.state_dims)
        self.return_stats = ReturnStats()
        self.discrete = isinstance(action_space, spaces.Discrete)
        self.size = 1 if self.discrete else self.network.head.size

    @property
    @abstractmethod
    def num_critics(self) -> int:
        """How many critics there are."""

    def make_critics(self) -> Critic:
        """The critics with their first weights."""
        return Critic(self.obs_space, self.action_space, self.config, self.num_critics)

    @abstractmethod
    def make_head(self, in_dim: int) -> PolicyHead:
        """The actor's head on features [..., in_dim]."""

    @abstractmethod
    def choose(self, output: Any, explore: bool, generator: torch.Generator | None) -> Tensor:
        """The action [1, B, ...] for what the actor's head gave."""

    def chosen(self, output: Any, noise: Tensor) -> Tensor:
        """What `choose` explores with, had it drawn `noise` [1, B, ...]; see `noise`."""
        return output.sample_from(noise)

    def networks(self) -> nn.Module:
        return _Both(self.network, self.critic)

    def forward(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> tuple[Any, Tensor]:
        """What the actor's head gives for one step, and the next memory of both."""
        output, state = self._unmasked(obs, state, reset)
        return output if mask is None else output.masked(mask.unsqueeze(0)), state

    def _unmasked(self, obs: Any, state: Tensor, reset: Tensor) -> tuple[Any, Tensor]:
        obs, reset = one_step(self.obs_norm(obs)), reset.unsqueeze(0)
        if not self.state_dim:
            return self.network(obs, state, reset)
        mine, critics = state.split(self.state_dims, dim=1)
        output, mine = self.network(obs, mine, reset)
        _, critics = self.critic.encoder(obs, critics, reset)  # its memory takes in what the actor's does
        return output, torch.cat((mine, critics), dim=1)

    @torch.no_grad()
    def act(self, obs: Any, state: Tensor, reset: Tensor, mask=None, *, explore=False, generator=None):
        output, state = self(obs, state, reset, mask)
        action = self.choose(output, explore, generator).squeeze(0)
        return self.network.head.to_env(action), state, {"action": action}

    @torch.no_grad()
    def values(self, obs: Any, state: Tensor, reset: Tensor, action: Tensor | None) -> Tensor:
        """What the critics say together, in units of reward: [B] of actions [1, B, m], or [B, n] of discrete ones."""
        memory = state.split(self.state_dims, dim=1)[1]
        features, _ = self.critic.encoder(one_step(self.obs_norm(obs)), memory, reset.unsqueeze(0))
        return self.return_stats.in_reward(self.critic.together(self.critic(features, action))[0])


class ActorCriticAgent(Acting):
    """An agent whose policy is an actor with critics; a subclass gives the losses."""

    policy: ActorAndCritic

    def __init__(self, config: OffPolicyConfig, env: VectorEnv, device: torch.device | str) -> None:
        super().__init__(config, env, device)
        self.actor, self.critic = self.policy.network, self.policy.critic
        self.discrete, self.size = self.policy.discrete, self.policy.size

    def memories(self, batch: dict) -> tuple[Tensor | None, Tensor | None]:
        """The memories of actor and critics before a batch of sequences; None without memory."""
        return batch["state"].split(self.policy.state_dims, dim=1) if "state" in batch else (None, None)

    def random_action(self, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shape, drawn = (self.env.num_envs, self.size), {"generator": self.generator, "device": self.device}
        if self.discrete and mask is not None:
            action = ranked(torch.rand(shape[:1], **drawn), mask)
        elif (combinations := self.critic.combinations) is not None:
            action = self.random_mixture(combinations, mask, **drawn)
        elif self.discrete:
            action = torch.randint(int(self.env.action_space.n), shape[:1], **drawn)
        else:
            action = 2.0 * torch.rand(shape, **drawn) - 1.0
        return self.actor.head.to_env(action), action

    def from_env(self, action: Tensor) -> Tensor:
        return self.actor.head.from_env(action)

    def random_mixture(self, combinations: Any, mask: Tensor | None, **drawn: Any) -> Tensor:
        """Choices and numbers [B, c + d], of the combinations that are allowed."""
        count = self.env.num_envs
        allowed = torch.ones(count, combinations.count, dtype=torch.bool, device=self.device)
        if mask is not None:
            allowed = mask[:, combinations.columns].all(-1)
        choices = combinations.table[ranked(torch.rand(count, **drawn), allowed)]
        numbers = 2.0 * torch.rand(count, self.critic.numbers, **drawn) - 1.0
        return torch.cat((choices.to(numbers.dtype), numbers), dim=1)

    def explore(self) -> tuple[Tensor, Tensor, Tensor]:
        drawn = {"explore": True, "generator": self.generator}
        action, state, extras = self.policy.act(self.obs, self.state, self.reset, self.mask_here, **drawn)
        return action, extras["action"], state

    def chances(self) -> dict[str, Tensor]:
        noise, random = self.noise, {"generator": self.generator, "device": self.device}
        draw = torch.rand if noise.kind == "uniform" else torch.randn
        return {"noise": draw((1, self.env.num_envs, *noise.shape), **random)}

    @cached_property
    def noise(self) -> Noise:
        """What exploring draws for one action."""
        with torch.no_grad():
            return self.policy.noise(torch.zeros(1, 1, self.actor.encoder.out_dim, device=self.device))

    def explored(self, obs: Any, drawn: dict[str, Tensor], mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, _ = self.policy(obs, *self.policy.nothing(obs), mask)
        action = self.policy.chosen(output, drawn["noise"]).squeeze(0)
        return self.actor.head.to_env(action), action

    def fit_critic(self, batch: dict, learners: dict[str, Learner]) -> Stats:
        """An update of the critics; its "td_error" [T, n] is their mean, and there only if it sets priorities."""
        stats = learners["critic"].update(batch)
        td_error = stats.pop("td_error")
        if self.config.prioritized:
            stats["td_error"] = td_error.abs().mean(0)
        return stats


class _Both(nn.Module):
    """Both on the same observations; the critics value an action of zeros."""

    def __init__(self, actor: Actor, critic: Critic) -> None:
        super().__init__()
        self.actor, self.critic = actor, critic
        self.state_dim = actor.state_dim + critic.state_dim

    def forward(self, obs: Any, state: Tensor, reset: Tensor) -> tuple[Any, Tensor]:
        """obs [T, B, ...], state [B, state_dim], reset [T, B]; returns what the actor's head and Critic do."""
        mine, critics = state.split((self.actor.state_dim, self.critic.state_dim), dim=1)
        output, _ = self.actor(obs, mine, reset)
        features, _ = self.critic.encoder(obs, critics, reset)
        return output, self.critic(features, features.new_zeros(*features.shape[:2], self.critic.numbers))
