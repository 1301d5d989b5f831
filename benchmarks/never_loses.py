"""Play every game of tic-tac-toe that an opponent can choose against a run: python -m benchmarks.never_loses RUN."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from agent_gym.composing.saved import open_saved
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    policy = open_saved(args.run).policy
    for side, name in enumerate(("first", "second")):
        wins, draws, losses = exhaust(policy.game, policy.player(), side)
        print(f"as the {name} player: {wins} won, {draws} drawn, {losses} lost of {wins + draws + losses} games")


if __name__ == "__main__":
    main()
