"""AlphaZero (Silver et al. 2017): a network that learns what a tree search with it finds out, by playing itself."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.agents.agent import Agent
from agent_gym.agents.buffers.positions import Positions
from agent_gym.agents.policy import Policy, one_step
from agent_gym.agents.self_play.ladder import Ladder
from agent_gym.agents.self_play.resignation import Resignation
from agent_gym.agents.settings.alphazero import AlphaZeroConfig
from agent_gym.agents.settings.base import parse_kwargs
from agent_gym.envs.games.game import MOVES, TURN, Game, find_game, outcome, over
from agent_gym.envs.games.players import Player, make_player
from agent_gym.envs.games.search import NEVER, Found, SearchConfig, improved, puct, search
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.heads import LinearHead, ValueHead
from agent_gym.nets.learner.learner import Learner, Stats


class PolicyAndValue(nn.Module):
    """Logits of all actions and the value for the player to move, -1 to 1, on one encoder."""

    def __init__(self, obs_space: spaces.Space, num_actions: int, config: AlphaZeroConfig) -> None:
        super().__init__()
        self.encoder = make_encoder(obs_space, config)
        self.head = LinearHead(self.encoder.out_dim, num_actions)
        self.value_head = ValueHead(self.encoder.out_dim)
        for last in (self.head, self.value_head.linear):  # the first search has no preferences
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, obs: Tensor, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        """obs [T, B, ...] -> logits [T, B, n], value [T, B]."""
        features, _ = self.encoder(obs, state, reset)
        return self.head(features), self.value_head(features).tanh()


def alphazero_loss(network: PolicyAndValue, batch: dict, value_coef: float):
    """Cross-entropy with the search's policy and squared error of the value (Silver et al. 2017, equation 1).

    batch: obs [B, ...], legal [B, n], policy [B, n], target [B]. The weights' decay is the optimizer's.
    """
    obs = batch["obs"].unsqueeze(0)
    nothing = obs.new_zeros(obs.shape[1], 0, dtype=torch.float32)
    logits, value = network(obs, nothing, nothing.new_zeros(obs.shape[:2], dtype=torch.bool))
    log_probs = logits[0].masked_fill(~batch["legal"], NEVER).log_softmax(1)
    policy_loss = -(batch["policy"] * log_probs).sum(1).mean()
    value_loss = (value[0] - batch["target"]).square().mean()
    entropy = -(log_probs.exp() * log_probs).sum(1).mean()
    stats = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
    return policy_loss + value_coef * value_loss, {name: value.detach() for name, value in stats.items()}


class AlphaZeroPolicy(Policy):
    """A network and the search that it guides. Acts from observations alone, in any environment of its game."""

    network: PolicyAndValue

    def __init__(self, obs_space: spaces.Space, action_space: spaces.Space, config: AlphaZeroConfig) -> None:
        super().__init__(obs_space, action_space, config)
        self.game = find_game(config.env, parse_kwargs(config.env_kwargs), "alphazero")
        if config.encoder in ("rnn", "lstm", "gru", "transformer"):
            raise UserError(f"--encoder {config.encoder}: alphazero looks at positions one by one; take mlp or cnn")
        self.network = PolicyAndValue(obs_space, self.game.num_actions, config)

    @torch.no_grad()
    def evaluate(self, state: Tensor, legal: Tensor, network: PolicyAndValue | None = None) -> tuple[Tensor, Tensor]:
        """What the network thinks of positions [S, B]: logits [B, n], value [B]; see envs.games.search.Evaluate."""
        obs = one_step(self.game.observe(state))
        nothing = torch.zeros(obs.shape[1], 0, device=obs.device)
        reset = torch.zeros(obs.shape[:2], dtype=torch.bool, device=obs.device)
        logits, value = (network or self.network)(obs, nothing, reset)
        return logits[0], value[0]

    def settings(self, training: bool) -> SearchConfig:
        """How to search."""
        config = self.config
        gumbel = config.root == "gumbel"
        return SearchConfig(
            simulations=config.simulations,
            rule=improved if gumbel else partial(puct, c_puct=config.c_puct),
            noise_share=config.noise_share if training and not gumbel else 0.0,
            noise_total=config.noise_total,
            sampled=config.gumbel_actions if gumbel else 0,
            perturb=training,
        )

    def search(
        self,
        state: Tensor,
        generator: torch.Generator | None,
        *,
        training: bool = False,
        legal: Tensor | None = None,
        network: PolicyAndValue | None = None,
    ) -> Found:
        """Search positions [S, B]; `network`: another one of the same kind."""
        evaluate = partial(self.evaluate, network=network)
        return search(self.game, state, evaluate, self.settings(training), generator, legal=legal)

    def draw(self, found: Found, moves: Tensor, generator: torch.Generator | None) -> Tensor:
        """The moves [B] to play while training, where so many `moves` [B] were made: early ones are drawn."""
        config = self.config
        if config.temperature == 0.0 or config.root == "gumbel":  # where the noise of the root draws them
            return found.best
        noise = torch.rand(found.policy.shape, generator=generator, device=moves.device)
        weight = found.policy.clamp(min=1e-30).pow(1.0 / config.temperature)
        drawn = torch.where(found.policy > 0, noise.log() / weight, -torch.inf).argmax(1)
        return torch.where(moves < config.temperature_moves, drawn, found.best)

    @torch.no_grad()
    def act(self, obs: Any, state: Tensor, reset: Tensor, mask=None, *, explore=False, generator=None):
        position = self.game.restore(obs)
        found = self.search(position, generator, legal=mask)
        action = self.draw(found, position[MOVES], generator) if explore else found.best
        return action, state, {"action": action}

    @torch.no_grad()
    def inspect(self, obs: Any, state: Tensor, reset: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        found = self.search(self.game.restore(obs), None, legal=mask)
        return {"value": found.value, "probs": found.policy, "visits": found.visits}

    def player(self, network: PolicyAndValue | None = None) -> Player:
        """It as a player of its game who takes the best move, perhaps with another network."""
        return lambda state, generator: self.search(state, None, network=network).best


class AlphaZero(Agent):
    """Plays B games against itself side by side and learns from the latest of them."""

    policy_class = AlphaZeroPolicy
    policy: AlphaZeroPolicy
    assesses = True
    headline = "rollout/episode_length"

    def __init__(self, config: AlphaZeroConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        self.game: Game = self.policy.game
        self.learner = Learner(self.loss, self.policy.network.parameters(), config, capture=True)
        self.learners = {"policy": self.learner}
        self.positions = Positions(self.game, config.replay_positions, config.num_envs, self.device)
        self.resignation = Resignation(config.resign, config.num_envs, self.generator)
        opponents = {name: make_player(self.game, name) for name in config.match_opponents}
        self.ladder = Ladder(self.game, opponents, config.match_selves, config.match_games)
        self.games = self.game.initial(config.num_envs, self.device)
        self.updates = 0

    def loss(self, batch: dict):
        return alphazero_loss(self.policy.network, batch, self.config.value_coef)

    def begin(self) -> None:
        """All games start anew."""
        self.games = self.game.initial(self.config.num_envs, self.device)

    def settle(self) -> None:
        """Nothing: games are saved as they stand."""

    @torch.no_grad()
    def collect(self) -> dict[str, float]:
        for _ in range(self.config.num_steps):
            self._move()
        self.steps += self.config.num_steps * self.config.num_envs
        if not self.window.numel():
            return {}
        result, length = self.window.mean(1).tolist()
        return {"rollout/first_player_result": result, "rollout/episode_length": length} | self.resignation.scalars()

    def _move(self) -> None:
        """One move in every game; games that end are replaced."""
        state, game = self.games, self.game
        found = self.policy.search(state, self.generator, training=True)
        action = self.policy.draw(found, state[MOVES], self.generator)
        self.positions.add(
            obs=game.observe(state),
            legal=game.mask(state),
            policy=found.policy,
            searched=found.value,
            turn=state[TURN],
        )
        given_up = self.resignation.look(found, state[TURN])
        after = game.play(state, action)
        first = torch.where(given_up, 2.0 * state[TURN].float() - 1.0, outcome(after)[0])
        ended = over(after) | given_up
        self.positions.finish(ended, first, after[MOVES])
        self.resignation.finish(ended, first)
        done = torch.stack((first[ended], after[MOVES][ended].float())).double().cpu()
        self.window = torch.cat((self.window, done), 1)[:, -100:]
        self.games = torch.where(ended, game.initial(1, self.device), after)

    def update(self) -> Stats:
        config = self.config
        due = int(self.positions.finished * config.passes / config.batch_size) - self.updates
        if due <= 0:
            return {}
        self.updates += due
        self.learner.set_progress(self.progress)
        stats = []
        for batch in self.positions.batches(due, config.batch_size, self.generator):
            batch["target"] = torch.lerp(batch.pop("result"), batch.pop("searched"), config.search_value_share)
            stats.append(self.learner.update(batch))
        self.learner.check()
        means = {name: torch.stack([s[name] for s in stats]).mean() for name in stats[0]}
        return means | {"learning_rate": torch.tensor(self.learner.learning_rate)}

    def assess(self) -> tuple[float, dict[str, float]]:
        """Elo against fixed opponents and earlier selves, where random play has 0."""
        return self.ladder.climb(self.policy.network, self.policy.player, self.steps, self.config.seed, self.device)

    def state_dict(self) -> dict:
        return {
            "model": self.policy.state_dict(),
            "steps": self.steps,
            "generator": self.generator.get_state(),
            "window": self.window,
            "reset": torch.zeros(self.config.num_envs, dtype=torch.bool),
            "games": self.games,
            "positions": self.positions.state_dict(),
            "resignation": self.resignation.state_dict(),
            "ladder": self.ladder.state_dict(),
            "updates": self.updates,
            "course": self.course.state_dict(),
            "learner": self.learner.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        self.policy.load_state_dict(state["model"])
        self.steps, self.updates = state["steps"], state["updates"]
        self.take_over(state)
        self.generator.set_state(state["generator"].cpu())
        self.window, self.games = state["window"].cpu(), state["games"].to(self.device)
        self.positions.load_state_dict(state["positions"])
        self.resignation.load_state_dict(state["resignation"])
        self.ladder.load_state_dict(state["ladder"])
        self.learner.load_state_dict(state["learner"])
