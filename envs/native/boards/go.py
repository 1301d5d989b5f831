"""Go with area scoring, positional superko and komi (Tromp and Taylor's rules, but no suicide)."""

from __future__ import annotations

from functools import cached_property, partial
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from agent_gym.envs.games.game import (
    MOVES,
    TURN,
    Game,
    name_cell,
    numbers,
    over,
    result,
    square_symmetries,
)
from agent_gym.envs.native.boards.bits import signed
from agent_gym.envs.native.boards.cells import beyond, neighbours, stand_in
from agent_gym.envs.native.boards.pictures import draw_stones, pointed
from agent_gym.ground.errors import UserError

LEAST, MOST, MOST_KOMI = 2, 19, 500
EMPTY, BLACK, WHITE, OUTSIDE = range(4)
PASSED, HASH, BOARD = 3, 4, 5  # rows: whether the last move was a pass; the position's number; then cell by cell


def mixed(index: int) -> int:
    """A 64-bit number that looks random (splitmix64, Steele et al. 2014)."""
    word = (index + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    word = (word ^ word >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
    return signed(word ^ word >> 31)


class Go:
    """The rules for one size and komi.

    State: the rows above; `cells`, `labels` (of each stone's group; the number of cells where there is none), `atari`
    (at each label, whether that group has one liberty) and `legal`, a row a cell each; then the numbers of all
    positions so far. A position's number is the sum of its stones' numbers modulo 2^64.
    """

    def __init__(self, size: int, komi: float) -> None:
        self.size, self.komi, self.points = size, komi, size * size
        self.max_moves = 2 * self.points
        self.table = neighbours(size, size, ((-1, 0), (0, -1), (0, 1), (1, 0)))
        n = self.points
        self.beside = tuple((*step, n) for step in self.table)  # of a pass too
        self.place = tuple(range(n))
        starts = [BOARD + part * n for part in range(5)]
        self.cells, self.labels, self.atari, self.legal = (slice(start, start + n) for start in starts[:4])
        self.history = slice(starts[4], starts[4] + self.max_moves + 1)

    @cached_property
    def stone_numbers(self) -> tuple[tuple[int, ...], ...]:
        """Of an empty, a black and a white cell at each point."""
        n = self.points
        return (0,) * n, tuple(map(mixed, range(n))), tuple(map(mixed, range(n, 2 * n)))

    def initial(self, num_games: int, device: torch.device) -> Tensor:
        state = torch.zeros(self.history.stop, num_games, dtype=torch.int64, device=device)
        state[self.labels] = self.points
        state[self.legal] = 1
        return state

    def play(self, state: Tensor, action: Tensor) -> Tensor:
        n, device = self.points, state.device
        turn, moves = state[TURN], state[MOVES] + 1
        passes = action == n
        mover, other = turn + BLACK, WHITE - turn
        cells, labels = state[self.cells], state[self.labels]
        place = numbers(self.place, device).unsqueeze(1)
        placed = place == action
        # The groups beside the new stone: the mover's become one with it, the other's last liberty may be gone.
        beside = numbers(self.beside, device)[:, action]
        kind = beyond(cells, OUTSIDE).gather(0, beside)
        label = beyond(labels, n).gather(0, beside)
        last = beyond(state[self.atari], 0).gather(0, label).bool()
        joined = placed | stand_in(labels, label, kind == mover)
        taken = stand_in(labels, label, (kind == other) & last & ~passes)
        cells = torch.where(placed, mover, cells.masked_fill(taken, EMPTY))
        labels = torch.where(joined & ~passes, action, labels.masked_fill(taken, n))
        number = numbers(self.stone_numbers, device)[cells, place].sum(0)
        history = state[self.history].scatter(0, moves.clamp(max=self.max_moves).unsqueeze(0), number.unsqueeze(0))

        ended = (passes & (state[PASSED] > 0)) | (moves >= self.max_moves)
        lead = self._lead(cells, ended)
        standing = (lead < 0).long()
        head = (1 - turn, result(standing, ended & (lead != 0), ended), moves, passes.long(), number)
        atari, legal = self._look(cells, labels, number, history, other)
        return torch.cat((torch.stack(head), cells, labels, atari, legal, history))

    def _look(
        self, cells: Tensor, labels: Tensor, number: Tensor, history: Tensor, mover: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The rows `atari` and `legal`, where `mover` [B] is to move."""
        n, device = self.points, cells.device
        table = numbers(self.table, device)
        beside, label = beyond(cells, OUTSIDE)[table], beyond(labels, n)[table]  # [4, n, B]
        # A group whose stones see its liberties k times, with sum s and sum of squares q, has one if and only if
        # k q = s²; it has none only where there is no group.
        point = (beyond((numbers(self.place, device) + 1).unsqueeze(1), 0)[table]) * (beside == EMPTY)
        seen = torch.stack(((beside == EMPTY).sum(0), point.sum(0), point.square().sum(0)))
        stones = numbers(self.stone_numbers, device)[cells, numbers(self.place, device).unsqueeze(1)]
        per_stone = torch.cat((seen, stones.unsqueeze(0)))
        total = per_stone.new_zeros(4, n + 1, cells.shape[1])
        total.scatter_add_(1, labels.expand(4, -1, -1), per_stone)
        count, sums, squares, weight = total
        atari = ((count > 0) & (count * squares == sums.square())).long()
        atari[n] = 0

        one_left = atari.gather(0, label.flatten(0, 1)).view_as(label).bool()
        group_weight = weight.gather(0, label.flatten(0, 1)).view_as(label)
        captures = (beside == WHITE + BLACK - mover) & one_left
        lives = (beside == EMPTY) | ((beside == mover) & ~one_left) | captures
        for first, second in combinations(range(4), 2):  # one group on two sides is taken once
            captures[second] &= ~(captures[first] & (label[first] == label[second]))
        mine = numbers(self.stone_numbers, device)[mover].T
        after = number + mine - torch.where(captures, group_weight, 0).sum(0)
        again = (after.unsqueeze(1) == history).any(1)
        legal = (cells == EMPTY) & lives.any(0) & ~again
        return atari[:n], legal.long()

    def _lead(self, cells: Tensor, wanted: Tensor) -> Tensor:
        """Black's area minus White's and komi, [B] float32; 0 in games that are not `wanted`."""
        if cells.device.type != "cpu":  # counting all is cheaper than asking which are wanted
            return torch.where(wanted, self._area(cells) - self.komi, 0.0)
        lead = torch.zeros(cells.shape[1])
        index = wanted.nonzero().squeeze(1)
        if len(index):
            lead[index] = self._area(cells[:, index]) - self.komi
        return lead

    def _area(self, cells: Tensor) -> Tensor:
        """Black's area minus White's, [B]: stones, and empty points from which only one colour can be reached."""
        table, empty = numbers(self.table, cells.device), cells == EMPTY
        reached = torch.stack((cells == BLACK, cells == WHITE))
        outside = reached.new_zeros(2, 1, cells.shape[1])
        for _ in range(self.points // 2 + 1):  # no way through empty points is longer
            grown = reached | (empty & torch.cat((reached, outside), 1)[:, table].any(1))
            if cells.device.type == "cpu" and torch.equal(grown, reached):
                break
            reached = grown
        black, white = reached
        return (black & ~white).sum(0).float() - (white & ~black).sum(0).float()

    def mask(self, state: Tensor) -> Tensor:
        """[B, points + 1]: points without suicide and without a position that was there before; a pass is the last."""
        legal = torch.cat((state[self.legal], torch.ones_like(state[:1])))
        return ((legal > 0) & ~over(state)).T

    def observe(self, state: Tensor) -> Tensor:
        """[B, 4, size, size]: own stones, the other's, ones for Black, ones after a pass."""
        turn, cells = state[TURN], state[self.cells]
        flags = torch.stack((turn == 0, state[PASSED] > 0)).unsqueeze(1).expand(-1, self.points, -1)
        planes = torch.cat((torch.stack((cells == turn + BLACK, cells == WHITE - turn)), flags))
        return planes.permute(2, 0, 1).reshape(-1, 4, self.size, self.size).to(torch.uint8)

    def restore(self, obs: Tensor) -> Tensor:
        mine, theirs, black, passed = obs.flatten(2).long().permute(1, 2, 0)
        turn = 1 - black[0]
        cells = mine * (BLACK + turn) + theirs * (WHITE - turn)
        labels = self._label(cells)
        place = numbers(self.place, obs.device).unsqueeze(1)
        number = numbers(self.stone_numbers, obs.device)[cells, place].sum(0)
        moves = (mine + theirs).sum(0)
        history = torch.zeros(self.max_moves + 1, len(obs), dtype=torch.int64, device=obs.device)
        history.scatter_(0, moves.unsqueeze(0), number.unsqueeze(0))
        atari, legal = self._look(cells, labels, number, history, turn + BLACK)
        head = torch.stack((turn, torch.zeros_like(turn), moves, passed[0], number))
        return torch.cat((head, cells, labels, atari, legal, history))

    def _label(self, cells: Tensor) -> Tensor:
        """Labels of the groups of any position: the smallest point of each."""
        n, table = self.points, numbers(self.table, cells.device)
        stones = cells != EMPTY
        labels = torch.where(stones, numbers(self.place, cells.device).unsqueeze(1), n)
        alike = (beyond(cells, OUTSIDE)[table] == cells) & stones
        for _ in range(n):
            spread = torch.where(alike, beyond(labels, n)[table], n).amin(0).minimum(labels)
            if cells.device.type == "cpu" and torch.equal(spread, labels):
                break
            labels = spread
        return labels

    def score(self, state: Tensor) -> Tensor:
        """Black's area minus White's and komi."""
        return self._area(state[self.cells]) - self.komi

    def board(self, state: Tensor) -> Tensor:
        return state[self.cells].T.reshape(-1, self.size, self.size)

    def render(self, state: np.ndarray) -> np.ndarray:
        return draw_stones(state[self.cells].reshape(self.size, self.size).tolist(), between_lines=False)


def make(size: int = 9, komi: float = 7.5) -> Game:
    """Raises UserError for a size or komi that is none."""
    if not isinstance(size, int) or not LEAST <= size <= MOST:
        raise UserError(f'Go of size {size!r}: --env-kwargs takes "size" from {LEAST} to {MOST}')
    if not isinstance(komi, int | float) or not abs(komi) <= MOST_KOMI:
        raise UserError(f'Go with komi {komi!r}: --env-kwargs takes "komi" from {-MOST_KOMI} to {MOST_KOMI}')
    go = Go(size, float(komi))
    return Game(
        id="AgentGym/Go-v0",
        board=(size, size),
        num_planes=4,
        num_actions=go.points + 1,
        max_moves=go.max_moves,
        initial=go.initial,
        play=go.play,
        mask=go.mask,
        observe=go.observe,
        restore=go.restore,
        score=go.score,
        cells=go.board,
        symmetries=square_symmetries(size, extra=(go.points,)),
        name_action=lambda action: "pass" if action == go.points else name_cell(size, action),
        point=partial(pointed, size, size),
        render=go.render,
        variant=f"{size} by {size}, komi {go.komi:g}",
    )
