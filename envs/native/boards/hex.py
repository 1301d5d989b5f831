"""Hex: the first player connects top and bottom, the second left and right; a draw is impossible."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from agent_gym.envs.games.game import MOVES, TURN, Game, name_cell, numbers, over, result
from agent_gym.envs.native.boards.cells import beyond, neighbours, stand_in
from agent_gym.envs.native.boards.pictures import draw_hexagons, pointed_hexagon
from agent_gym.ground.errors import UserError

LEAST, MOST = 2, 19
BOARD = 3
STEPS = ((-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0))
OUTSIDE = 3


class Hex:
    """The rules for one size. State: `cells`, 0 or 1 + the player; `labels` of the chains; `edges` that they touch."""

    def __init__(self, size: int) -> None:
        self.size, self.points = size, size * size
        n = self.points
        self.cells, self.labels, self.edges = (slice(BOARD + part * n, BOARD + (part + 1) * n) for part in range(3))
        self.table = tuple((*step, n) for step in neighbours(size, size, STEPS))
        rows, columns = np.divmod(np.arange(n), size)
        # Bit 0: the edge where a chain begins, bit 1: where it ends.
        self.touching = tuple(
            tuple(((line == 0) + 2 * (line == size - 1)).astype(int).tolist()) for line in (rows, columns)
        )

    def initial(self, num_games: int, device: torch.device) -> Tensor:
        state = torch.zeros(self.edges.stop, num_games, dtype=torch.int64, device=device)
        state[self.labels] = self.points
        return state

    def play(self, state: Tensor, action: Tensor) -> Tensor:
        n, device = self.points, state.device
        turn, moves = state[TURN], state[MOVES] + 1
        cells, labels, edges = state[self.cells], state[self.labels], state[self.edges]
        beside = numbers(self.table, device)[:, action]
        own = beyond(cells, OUTSIDE).gather(0, beside) == turn + 1
        label = beyond(labels, n).gather(0, beside)
        placed = numbers(tuple(range(n)), device).unsqueeze(1) == action
        chain = placed | stand_in(labels, label, own)
        touched = torch.where(own, beyond(edges, 0).gather(0, beside), 0)
        reached = numbers(self.touching, device)[turn, action]
        for edge in touched:
            reached = reached | edge
        won = reached == 3
        return torch.cat(
            (
                torch.stack((1 - turn, result(turn, won, torch.zeros_like(won)), moves)),
                torch.where(placed, turn + 1, cells),
                torch.where(chain, action, labels),
                torch.where(chain, reached, edges),
            )
        )

    def mask(self, state: Tensor) -> Tensor:
        """[B, points]: the empty cells."""
        return ((state[self.cells] == 0) & ~over(state)).T

    def observe(self, state: Tensor) -> Tensor:
        """[B, 3, size, size]: own stones, the other's, ones for the first player."""
        turn, cells = state[TURN], state[self.cells]
        planes = torch.stack((cells == turn + 1, cells == 2 - turn, (turn == 0).expand(self.points, -1)))
        return planes.permute(2, 0, 1).reshape(-1, 3, self.size, self.size).to(torch.uint8)

    def restore(self, obs: Tensor) -> Tensor:
        """The position with the same stones: chains are put together stone by stone."""
        mine, theirs, first = obs.flatten(2).long().permute(1, 2, 0)
        turn = 1 - first[0]
        cells = mine * (1 + turn) + theirs * (2 - turn)
        state = self.initial(len(obs), obs.device)
        for point in range(self.points):
            state[TURN] = (cells[point] - 1).clamp(min=0)
            played = self.play(state, torch.full_like(turn, point))
            state = torch.where(cells[point] > 0, played, state)
        state[TURN] = turn
        return state

    def board(self, state: Tensor) -> Tensor:
        return state[self.cells].T.reshape(-1, self.size, self.size)

    def render(self, state: np.ndarray) -> np.ndarray:
        return draw_hexagons(state[self.cells].reshape(self.size, self.size).tolist())


def make(size: int = 11) -> Game:
    """Raises UserError for a size that is none."""
    if not isinstance(size, int) or not LEAST <= size <= MOST:
        raise UserError(f'Hex of size {size!r}: --env-kwargs takes "size" from {LEAST} to {MOST}')
    rules = Hex(size)
    same, turned = tuple(range(rules.points)), tuple(reversed(range(rules.points)))
    return Game(
        id="AgentGym/Hex-v0",
        board=(size, size),
        num_planes=3,
        num_actions=rules.points,
        max_moves=rules.points,
        initial=rules.initial,
        play=rules.play,
        mask=rules.mask,
        observe=rules.observe,
        restore=rules.restore,
        cells=rules.board,
        symmetries=((same, same), (turned, turned)),
        name_action=lambda action: name_cell(size, action),
        point=partial(pointed_hexagon, size),
        render=rules.render,
        variant=f"{size} by {size}",
        shifted=True,
    )
