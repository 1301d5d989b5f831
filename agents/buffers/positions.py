"""Positions of games that are played side by side; what they led to is known once their game has ended."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.envs.games.game import Game


class Positions:
    """The latest `rows` positions of each of B games that follow one another in B columns."""

    def __init__(self, game: Game, capacity: int, num_games: int, device: torch.device) -> None:
        self.game, self.num_games = game, num_games
        self.rows = max(-(-capacity // num_games), game.max_moves + 1)
        shape = (self.rows, num_games)
        self.fields = {
            "obs": torch.zeros(*shape, game.num_planes, *game.board, dtype=torch.uint8, device=device),
            "legal": torch.zeros(*shape, game.num_actions, dtype=torch.bool, device=device),
            "policy": torch.zeros(*shape, game.num_actions, dtype=torch.float16, device=device),
            "searched": torch.zeros(shape, device=device),  # value that the search found
            "result": torch.zeros(shape, device=device),  # of the game, for the player to move
            "turn": torch.zeros(shape, dtype=torch.int8, device=device),
            "known": torch.zeros(shape, dtype=torch.bool, device=device),  # whether the result is
        }
        cells, actions = zip(*game.symmetries, strict=True)
        self.cells, self.actions = (torch.tensor(part, device=device) for part in (cells, actions))
        self.count = 0  # rows that were ever added
        self.finished = 0  # positions whose result was ever known

    def add(self, **position: Tensor) -> None:
        """A position of every game: obs, legal, policy, searched and turn, [B, ...]."""
        row = self.count % self.rows
        for name, value in position.items():
            self.fields[name][row] = value.to(self.fields[name].dtype)
        self.fields["known"][row] = False
        self.count += 1

    def finish(self, ended: Tensor, first: Tensor, length: Tensor) -> None:
        """Games `ended` [B] after `length` [B] positions with `first` [B], 1 to -1, for their first player."""
        column = ended.nonzero().squeeze(1)
        if not len(column):
            return
        age = torch.arange(int(length[column].max()), device=column.device).unsqueeze(1)
        age, column = torch.broadcast_tensors(age, column)
        mine = age < length[column]
        row, column = (self.count - 1 - age[mine]) % self.rows, column[mine]
        turn = self.fields["turn"][row, column]
        self.fields["result"][row, column] = torch.where(turn == 0, first[column], -first[column])
        self.fields["known"][row, column] = True
        self.finished += len(row)

    def batches(self, count: int, size: int, generator: torch.Generator) -> list[dict[str, Tensor]]:
        """`count` batches of `size` positions with known results, each seen from a random side of the board."""
        known = self.fields["known"].flatten().nonzero().squeeze(1)
        drawn = {"generator": generator, "device": known.device}
        place = known[torch.randint(len(known), (count, size), **drawn)]
        side = torch.randint(len(self.cells), (count, size), **drawn)
        return [self._batch(*pair) for pair in zip(place, side, strict=True)]

    def _batch(self, place: Tensor, side: Tensor) -> dict[str, Tensor]:
        rows = {name: field.flatten(0, 1)[place] for name, field in self.fields.items()}
        obs, actions = rows["obs"], self.actions[side]
        cells = self.cells[side].unsqueeze(1).expand(-1, obs.shape[1], -1)
        return {
            "obs": obs.flatten(2).gather(2, cells).view_as(obs),
            "legal": rows["legal"].gather(1, actions),
            "policy": rows["policy"].float().gather(1, actions),
            "result": rows["result"],
            "searched": rows["searched"],
        }

    def state_dict(self) -> dict:
        return {"fields": self.fields, "count": self.count, "finished": self.finished}

    def load_state_dict(self, state: dict) -> None:
        for name, field in self.fields.items():
            field.copy_(state["fields"][name])
        self.count, self.finished = state["count"], state["finished"]
