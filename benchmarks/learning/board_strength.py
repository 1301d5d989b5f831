"""A run at a board against open_spiel's tree search: python -m benchmarks.learning.board_strength RUN [--games 100].

The opponent is open_spiel's own, in C++: UCT with so many simulations a move, a random game from each leaf, wins and
losses that are proved taken as such, a new tree for each move. A move of its that our rules forbid (of Go, open_spiel
knows no positional superko) is replaced by a random one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyspiel
import torch
from torch import Tensor

from agent_gym.composing.saved import open_saved
from agent_gym.composing.seats.duels import policy_player, rules_of
from agent_gym.envs.games.game import TURN, outcome, over
from agent_gym.envs.games.match import Match
from agent_gym.envs.games.players import draw_legal

EXPLORATION = 2.0
"""The weight of moves that were seldom looked at, as in open_spiel's own example."""
MEGABYTES = 1000
NAMES = {
    "AgentGym/TicTacToe-v0": "tic_tac_toe",
    "AgentGym/ConnectFour-v0": "connect_four",
    "AgentGym/Go-v0": "go(board_size={rows})",
    "AgentGym/Hex-v0": "hex(board_size={rows})",
}


def play(run: Path, begins: Tensor, simulations: int, seed: int, opening: int | None = None) -> Tensor:
    """What the run got in each game, 1, 0 or -1; it is the first player where `begins` [B] bool.

    `opening`: the first move of all games, whoever makes it.
    """
    saved = open_saved(run)
    game = rules_of(saved, "a match")
    player, generator = policy_player(saved.policy, game, str(run)), torch.Generator().manual_seed(seed)
    spiel = pyspiel.load_game(NAMES[game.id].format(rows=game.board[0]))
    seeds = range(seed, seed + len(begins))
    rollouts = [pyspiel.RandomRolloutEvaluator(1, number) for number in seeds]
    bots = [
        pyspiel.MCTSBot(spiel, rollout, EXPLORATION, simulations, MEGABYTES, True, number, False)
        for rollout, number in zip(rollouts, seeds, strict=True)
    ]
    ours, theirs = game.initial(len(begins), torch.device("cpu")), [spiel.new_initial_state() for _ in begins]
    while not over(ours).all():
        running = ~over(ours)
        mask, mine = game.mask(ours), running & (begins == (ours[TURN] == 0))
        action = torch.zeros(len(begins), dtype=torch.int64)
        if opening is not None and not theirs[0].history():
            action[:] = opening
        else:
            for i in (running & ~mine).nonzero().flatten().tolist():
                move = bots[i].step(theirs[i])
                action[i] = move if mask[i, move] else draw_legal(mask[i : i + 1], generator)
            if mine.any():
                action[mine] = player(ours[:, mine], generator)
        for i in running.nonzero().flatten().tolist():
            theirs[i].apply_action(int(action[i]))
        ours = torch.where(running, game.play(ours, action), ours)
    first, second = outcome(ours)
    return torch.where(begins, first, second)


def match(begins: Tensor, result: Tensor) -> Match:
    counts = [int((result == value).sum()) for value in (1, 0, -1)]
    sides = [((result[side] + 1) / 2).mean().item() for side in (begins, ~begins)]
    return Match(*counts, *sides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--games", type=int, default=100, help="half of them begun by the run")
    parser.add_argument("--simulations", type=int, default=1000, help="of open_spiel's search, a move")
    parser.add_argument("--opening", type=int, help="the first move of every game")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    begins = torch.arange(args.games) < (args.games + 1) // 2
    played = match(begins, play(args.run, begins, args.simulations, args.seed, args.opening))
    low, high = played.interval()
    print(
        f"{played.wins} won, {played.draws} drawn, {played.losses} lost of {played.games}; score "
        f"{100 * played.score:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}); "
        f"beginning {100 * played.as_first:.0f} %, second {100 * played.as_second:.0f} %"
    )


if __name__ == "__main__":
    main()
