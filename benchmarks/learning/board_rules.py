"""The rules of our boards beside open_spiel's, in random games: legal moves, who is to move, ends and results."""

from __future__ import annotations

import argparse
import time

import numpy as np
import pyspiel
import torch

from agent_gym.envs.games.game import DRAWN, FIRST_WON, RESULT, SECOND_WON, TURN, Game
from agent_gym.envs.native.boards import connect_four, go, hex, othello, tictactoe

PAIRS = {
    "tictactoe": (tictactoe.make, {}, "tic_tac_toe"),
    "connect_four": (connect_four.make, {}, "connect_four"),
    "othello-8": (othello.make, {"size": 8}, "othello"),
    "hex-3": (hex.make, {"size": 3}, "hex(board_size=3)"),
    "hex-11": (hex.make, {"size": 11}, "hex(board_size=11)"),
    **{f"go-{n}": (go.make, {"size": n}, f"go(board_size={n},max_game_length=10000)") for n in (5, 7, 9)},
}
CODES = {FIRST_WON: 1.0, SECOND_WON: -1.0, DRAWN: 0.0}


def compare(pair: str, num_games: int, seed: int) -> int:
    """Play random games on both sides at once, asserting that all agrees; returns the number of moves."""
    make, rules, name = PAIRS[pair]
    game, spiel, rng = make(**rules), pyspiel.load_game(name), np.random.default_rng(seed)
    ours, theirs = game.initial(num_games, torch.device("cpu")), [spiel.new_initial_state() for _ in range(num_games)]
    running, moves = set(range(num_games)), 0
    while running:
        masks, results, turns = game.mask(ours).numpy(), ours[RESULT].tolist(), ours[TURN].tolist()
        action = np.zeros(num_games, int)
        for b in sorted(running):
            position, mine = theirs[b], np.flatnonzero(masks[b])
            if position.is_terminal() or len(position.history()) == game.max_moves:
                assert results[b] and CODES[results[b]] == np.sign(final(position)[0]), position
                assert not len(mine)
                running.remove(b)
                continue
            assert not results[b] and turns[b] == position.current_player()
            assert mine.tolist() == legal(game, position), position
            action[b] = rng.choice(mine)
            position.apply_action(int(action[b]))
            moves += 1
        ours = game.play(ours, torch.from_numpy(action))
    return moves


def legal(game: Game, position: pyspiel.State) -> list[int]:
    """open_spiel's legal actions; of Go those that repeat no position, which it lets end the game instead."""
    actions = position.legal_actions()
    return [a for a in actions if not repeats(position, a)] if game.id == "AgentGym/Go-v0" else actions


def repeats(position: pyspiel.State, action: int) -> bool:
    if action == position.get_game().num_distinct_actions() - 1:  # a pass
        return False
    after = position.clone()
    after.apply_action(action)
    return after.is_terminal()


def final(position: pyspiel.State) -> list[float]:
    """The result; of a game of Go that is broken off, as it stands."""
    if not position.is_terminal():
        position = position.clone()
        while not position.is_terminal():
            position.apply_action(position.get_game().num_distinct_actions() - 1)
    return position.returns()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pair", nargs="*", default=list(PAIRS))
    parser.add_argument("--games", type=int, default=10_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for pair in args.pair:
        started, moves = time.perf_counter(), 0
        for start in range(0, args.games, 500):
            moves += compare(pair, min(500, args.games - start), seed=start)
        seconds = time.perf_counter() - started
        print(f"{pair:14} {args.games:,} games, {moves:,} moves, all alike, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
