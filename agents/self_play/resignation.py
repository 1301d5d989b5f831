"""When a player of a game gives up, and whether it would have been right to."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.envs.games.search import Found

PLAYED_OUT = 0.1  # share of games that nobody gives up, so that the threshold is checked
MOST_WRONG = 0.05  # of the games that would have been given up; with more, nobody gives up (Silver et al. 2017)
FEWEST = 20  # games to judge from
FORGET = 0.995  # older games count less, by this for each game


class Resignation:
    """Watches B games for a value below minus `threshold`; 0: nobody ever gives up."""

    def __init__(self, threshold: float, num_games: int, generator: torch.Generator) -> None:
        self.threshold, self.generator = threshold, generator
        self.played_out = torch.ones(num_games, dtype=torch.bool, device=generator.device)
        self.wanted = torch.full((num_games,), -1, device=generator.device)  # who would first have given up
        self.checked = torch.zeros(2, dtype=torch.float64)  # games that would have been given up; not lost of these

    def look(self, found: Found, turn: Tensor) -> Tensor:
        """Which games are given up now by the player to move, [B] bool."""
        if not self.threshold:
            return torch.zeros_like(self.played_out)
        best = found.values.gather(1, found.best.unsqueeze(1)).squeeze(1)
        hopeless = torch.maximum(best, found.value) < -self.threshold
        self.wanted = torch.where(hopeless & (self.wanted < 0), turn, self.wanted)
        return hopeless & ~self.played_out & self.trusted

    @property
    def trusted(self) -> bool:
        """Whether few enough were wrong to give up."""
        checked, wrong = self.checked.tolist()
        return checked >= FEWEST and wrong <= MOST_WRONG * checked

    def finish(self, ended: Tensor, first: Tensor) -> None:
        """Games `ended` [B] with `first` [B] for the first player."""
        if not self.threshold or not ended.any():
            return
        judged = ended & (self.wanted >= 0) & (self.played_out | (not self.trusted))
        lost = torch.where(self.wanted == 0, first, -first) < 0
        games = torch.stack((judged.sum(), (judged & ~lost).sum())).double().cpu()
        self.checked = self.checked * FORGET ** float(games[0]) + games
        draw = torch.rand(ended.shape, generator=self.generator, device=ended.device) < PLAYED_OUT
        self.played_out = torch.where(ended, draw, self.played_out)
        self.wanted = torch.where(ended, -1, self.wanted)

    def scalars(self) -> dict[str, float]:
        checked, wrong = self.checked.tolist()
        return {"rollout/resigned_wrongly": wrong / checked} if checked else {}

    def state_dict(self) -> dict:
        return {"played_out": self.played_out, "wanted": self.wanted, "checked": self.checked}

    def load_state_dict(self, state: dict) -> None:
        device = self.played_out.device
        self.played_out, self.wanted = state["played_out"].to(device), state["wanted"].to(device)
        self.checked = state["checked"].cpu()
