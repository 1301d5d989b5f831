"""Every game of tic-tac-toe an opponent can choose, against a run: python -m benchmarks.learning.never_loses RUN.

Also against one who plays perfectly: each of his moves that loses nothing of the position's value, equally often.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from agent_gym.composing.saved import open_saved
from agent_gym.composing.seats.duels import policy_player, rules_of
from agent_gym.envs.games.game import TURN, Game, outcome, over
from agent_gym.envs.games.players import Player


@torch.no_grad()
def exhaust(game: Game, player: Player, side: int) -> tuple[int, int, int]:
    """Wins, draws and losses over all games in which the opponent of `side` plays every legal move."""
    generator, counts = torch.Generator().manual_seed(0), torch.zeros(3, dtype=torch.int64)
    state = game.initial(1, torch.device("cpu"))
    while state.shape[1]:
        if state[TURN, 0] == side:
            state = game.play(state, player(state, generator))
        else:
            parent, action = game.mask(state).nonzero().T
            state = game.play(state[:, parent], action)
        ended = over(state)
        result = outcome(state[:, ended])[side]
        counts += torch.stack(((result > 0).sum(), (result == 0).sum(), (result < 0).sum()))
        state = state[:, ~ended]
    return tuple(counts.tolist())


@torch.no_grad()
def solve(game: Game) -> dict[tuple[int, ...], float]:
    """The value of every position for the player to move: what he gets if both play perfectly, by going backwards."""
    levels = [game.initial(1, torch.device("cpu"))]
    while levels[-1].shape[1]:
        parent, action = game.mask(levels[-1]).nonzero().T
        after = torch.unique(game.play(levels[-1][:, parent], action), dim=1)
        levels.append(after[:, ~over(after)])
    values: dict[tuple[int, ...], float] = {}
    for state in reversed(levels[:-1]):
        best = moves_values(game, state, values).amax(1)
        values |= dict(zip(map(tuple, state.T.tolist()), best.tolist(), strict=True))
    return values


def moves_values(game: Game, state: Tensor, values: dict[tuple[int, ...], float]) -> Tensor:
    """What each move is worth for the player to move, [B, num_actions]; -inf where it is not legal."""
    parent, action = game.mask(state).nonzero().T
    after = game.play(state[:, parent], action)
    ended = over(after)
    worth = outcome(after).gather(0, state[TURN, parent].unsqueeze(0))[0]
    positions = map(tuple, after[:, ~ended].T.tolist())
    worth[~ended] = torch.tensor([-values[position] for position in positions], dtype=worth.dtype)
    table = torch.full((state.shape[1], game.num_actions), -torch.inf)
    table[parent, action] = worth
    return table


@torch.no_grad()
def against_perfect(game: Game, player: Player, side: int) -> tuple[float, float, float]:
    """Shares of games won, drawn and lost by `side` against an opponent who knows every position's value."""
    generator, values = torch.Generator().manual_seed(0), solve(game)
    state, weight, shares = game.initial(1, torch.device("cpu")), torch.ones(1), torch.zeros(3)
    while state.shape[1]:
        if state[TURN, 0] == side:
            state = game.play(state, player(state, generator))
        else:
            table = moves_values(game, state, values)
            perfect = table == table.amax(1, keepdim=True)
            parent, action = perfect.nonzero().T
            state, weight = game.play(state[:, parent], action), (weight / perfect.sum(1))[parent]
        ended, got = over(state), outcome(state)[side]
        for place, result in enumerate((1, 0, -1)):
            shares[place] += weight[ended & (got == result)].sum()
        state, weight = state[:, ~ended], weight[~ended]
    return tuple(shares.tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    saved = open_saved(args.run)
    game = rules_of(saved, "never_loses")
    player = policy_player(saved.policy, game, str(args.run))
    for side, name in enumerate(("first", "second")):
        wins, draws, losses = exhaust(game, player, side)
        print(f"as the {name} player: {wins} won, {draws} drawn, {losses} lost of {wins + draws + losses} games")
        won, drawn, lost = against_perfect(game, player, side)
        print(f"  against perfect play: {won:.1%} won, {drawn:.1%} drawn, {lost:.1%} lost")


if __name__ == "__main__":
    main()
