"""Two-player games against oneself: the opponent is the learning policy, or one of its earlier selves."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.envs.games.game import Game
from agent_gym.envs.games.table import Table
from agent_gym.envs.vector import Step, VectorEnv
from agent_gym.ground.errors import UserError

CURRENT = -1  # the opponent of a game that is played against the policy as it is


def self_play(env: VectorEnv, config: PPOConfig) -> SelfPlayEnv:
    """`env`'s game with opponents that learn. Raises UserError where it is no such game."""
    if env.game is None:
        raise UserError(
            f"--self-play is for two-player games whose rules are known, such as AgentGym/ConnectFour-v0, and "
            f"{env.id} is none"
        )
    return SelfPlayEnv(env, env.game, config.self_play_ratio, config.self_play_pool, config.self_play_every)


class SelfPlayEnv(VectorEnv):
    """B games of a policy against itself, each from one side; which side and which opponent is drawn for each game.

    `ratio` of the games have an earlier self as opponent, drawn evenly from the `pool` latest, one from every `every`
    updates; the others the policy as it is. Opponents draw their moves.
    """

    backend = "native"

    def __init__(self, env: VectorEnv, game: Game, ratio: float, pool: int, every: int) -> None:
        self.id, self.num_envs, self.device, self.choice = env.id, env.num_envs, env.device, "self-play"
        self.obs_space, self.action_space = env.obs_space, env.action_space
        self.recovery, self.game = env.recovery, game
        self.ratio, self.every, self.table = ratio, every, Table(game)
        self.generator = torch.Generator(self.device)
        self.selves: list[dict[str, Tensor] | None] = [None] * pool
        self.updates = -1  # the first policy is not yet an earlier one
        self.policy: Any = None

    def learned(self, policy: Any) -> None:
        """Keep a copy of the policy, if it is time for one. Raises UserError for one with memory."""
        if policy.state_dim:
            raise UserError("--self-play needs a policy without memory: --encoder mlp or cnn")
        if self.policy is None:
            self.policy, self.earlier = policy, copy.deepcopy(policy)
        self.updates += 1
        if self.updates % self.every == 0:
            place = self.updates // self.every % len(self.selves)
            self.selves[place] = {name: part.detach().clone() for name, part in policy.state_dict().items()}

    def reset(self, seed: int) -> Tensor:
        self.generator.manual_seed(seed)
        self.state = self._begin(torch.ones(self.num_envs, dtype=torch.bool, device=self.device), None)
        return self.observe()

    def _begin(self, ended: Tensor, state: Tensor | None) -> Tensor:
        """New games where they have `ended` [B]; the last two rows of a state are the agent's side and the opponent."""
        count = self.num_envs
        draw = {"generator": self.generator, "device": self.device}
        known = sum(part is not None for part in self.selves)
        opponent = torch.randint(max(known, 1), (count,), **draw)
        opponent = torch.where(torch.rand(count, **draw) < self.ratio, opponent, CURRENT)
        agent = self.table.seats(count, self.generator, self.device)
        fresh = torch.cat((self.game.initial(count, self.device), agent.unsqueeze(0), opponent.unsqueeze(0)))
        state = fresh if state is None else torch.where(ended, fresh, state)

        def answer(waiting: Tensor, index: Tensor) -> Tensor:
            return self._answer(waiting, state[-1, index])

        return torch.cat((self.table.reply(state[:-2], state[-2], answer), state[-2:]))

    @torch.no_grad()
    def _answer(self, waiting: Tensor, opponents: Tensor) -> Tensor:
        """The moves of `opponents` [K] in the games `waiting` [S, K]."""
        obs, legal = self.game.observe(waiting), self.game.mask(waiting)
        action = torch.zeros_like(opponents)
        for opponent in opponents.unique().tolist():
            index = (opponents == opponent).nonzero().squeeze(1)
            policy = self.policy
            if opponent != CURRENT:
                policy = self.earlier
                policy.load_state_dict(self.selves[opponent])
            reset = torch.ones(len(index), dtype=torch.bool, device=self.device)
            here = (obs[index], policy.initial_state(len(index)), reset, legal[index])
            action[index] = policy.act(*here, explore=True, generator=self.generator)[0]
        return action

    def step(self, action: Tensor) -> Step:
        agent, opponent = self.state[-2], self.state[-1]
        state, reward, ended = self.table.step(
            self.state[:-2], agent, action, lambda waiting, index: self._answer(waiting, opponent[index])
        )
        final = obs = self.game.observe(state)
        self.state = torch.cat((state, self.state[-2:]))
        if ended.any():
            self.state = self._begin(ended, self.state)
            obs = self.observe()
        return Step(obs, reward, ended, torch.zeros_like(ended), final, {})

    @property
    def mask(self) -> Tensor:
        return self.game.mask(self.state[:-2])

    def observe(self) -> Tensor:
        """The current observations."""
        return self.game.observe(self.state[:-2])

    def state_dict(self) -> dict[str, Any]:
        weights = self.policy.state_dict()
        kept = {
            name: torch.stack([torch.zeros_like(part) if own is None else own[name] for own in self.selves])
            for name, part in weights.items()
        }
        return {
            "games": self.state.clone(),
            "generator": self.generator.get_state(),
            "selves": kept,
            "known": sum(own is not None for own in self.selves),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        self.state = state["games"].to(self.device, copy=True)
        self.generator.set_state(state["generator"].cpu())
        self.updates, known = state["updates"], state["known"]
        for place in range(len(self.selves)):
            own = {name: part[place].to(self.device, copy=True) for name, part in state["selves"].items()}
            self.selves[place] = own if place < known else None
        return True
