"""How strong an agent is: matches with fixed opponents and with its earlier selves, on Elo's scale."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from agent_gym.envs.games.game import Game
from agent_gym.envs.games.match import play_match, rate
from agent_gym.envs.games.players import Player

OPENING = 2  # random moves before a match with an earlier self, since both always play alike


class Ladder:
    """Earlier selves as vectors of weights, their Elo, and matches with them and with players that never change.

    Random play has Elo 0. Other fixed opponents have no rating of their own: their scores are told, but do not count.
    """

    def __init__(self, game: Game, opponents: dict[str, Player], num_selves: int, num_games: int) -> None:
        self.game, self.opponents, self.num_selves, self.num_games = game, opponents, num_selves, num_games
        self.weights = torch.zeros(0, 0)  # [selves, parameters], the latest last
        self.elo = torch.zeros(0, dtype=torch.float64)

    @torch.no_grad()
    def climb(
        self, network: nn.Module, player: Callable[..., Player], step: int, seed: int, device: torch.device
    ) -> tuple[float, dict[str, float]]:
        """The Elo of `network` now and scalars; it joins the earlier selves. `player(network)` plays with one."""
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + step)
        scores, rated = {}, []
        for name, opponent in self.opponents.items():
            match = play_match(self.game, player(), opponent, self.num_games, generator, device=device)
            scores[f"eval/score_{name}"] = match.score
            if name == "random":
                rated.append((0.0, match.score, match.games))
        earlier = copy.deepcopy(network)
        for number, (weights, elo) in enumerate(zip(self.weights.flip(0), self.elo.flip(0).tolist(), strict=True), 1):
            vector_to_parameters(weights.to(device), earlier.parameters())
            match = play_match(
                self.game, player(), player(earlier), self.num_games, generator, device=device, opening=OPENING
            )
            scores[f"eval/score_self_{number}"] = match.score
            rated.append((elo, match.score, match.games))
        elo = rate(rated)
        self._join(parameters_to_vector(network.parameters()), elo)
        return elo, {"eval/elo": elo} | scores

    def _join(self, weights: Tensor, elo: float) -> None:
        if not self.num_selves:
            return
        row = weights.detach().cpu().unsqueeze(0).clone()
        self.weights = torch.cat((self.weights, row))[-self.num_selves :] if self.weights.numel() else row
        self.elo = torch.cat((self.elo, torch.tensor([elo], dtype=torch.float64)))[-self.num_selves :]

    def state_dict(self) -> dict:
        return {"weights": self.weights, "elo": self.elo}

    def load_state_dict(self, state: dict) -> None:
        self.weights, self.elo = state["weights"].cpu(), state["elo"].cpu()
