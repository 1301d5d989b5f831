"""A person plays against a run in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from agent_gym.envs.games.game import TURN, Game, outcome, over

MARKS = (".", "X", "O")
SHOWN = 5  # moves of the agent that are listed
HELP = "a move by its name or number; ? the search's visits; m the legal moves; q stop"


def board_text(game: Game, state: Tensor) -> str:
    """The board of one game [S, 1], with the names that its cells have: letters for columns, numbers for rows."""
    cells = game.cells(state)[0].tolist()
    lines = [f"{row + 1:>3} " + " ".join(MARKS[cell] for cell in line) for row, line in enumerate(cells)]
    if game.shifted:  # a rhombus
        lines = [" " * row + line for row, line in enumerate(lines)]
    return "\n".join(["    " + " ".join(chr(ord("a") + column) for column in range(game.board[1])), *lines])


def play_person(
    game: Game,
    policy: Any,
    *,
    side: int,
    device: torch.device | str = "cpu",
    ask: Callable[[str], str] = input,
    tell: Callable[[str], None] = print,
) -> str:
    """One game; the person has `side` 0 (begins) or 1. Returns "won", "lost", "drawn" or "stopped" for the person."""
    state, seen = game.initial(1, torch.device(device)), None
    tell(f"you are {MARKS[1 + side]}; {HELP}")
    while not over(state).any():
        if state[TURN, 0] == side:
            tell(board_text(game, state))
            action = _asked(game, state, seen, ask, tell)
            if action is None:
                return "stopped"
        else:
            action, seen = _answer(game, policy, state, tell)
        state = game.play(state, torch.tensor([action], device=state.device))
    tell(board_text(game, state))
    mine = outcome(state)[side, 0].item()
    return "won" if mine > 0 else "lost" if mine < 0 else "drawn"


def _answer(game: Game, policy: Any, state: Tensor, tell: Callable[[str], None]) -> tuple[int, dict[str, Tensor]]:
    """The agent's move and what it thought."""
    obs, legal = game.observe(state), game.mask(state)
    here = (obs, policy.initial_state(1), torch.ones(1, dtype=torch.bool, device=obs.device), legal)
    seen = policy.inspect(*here)
    action = policy.act(*here)[0].item()
    if not legal[0, action]:  # of a policy that does not know what is legal
        action = int(legal[0].float().multinomial(1))
    parts = [f"the agent plays {game.name_action(action)}"]
    if "value" in seen:
        parts.append(f"its value {seen['value'][0].item():+.2f}")
    if "probs" in seen:
        top = seen["probs"][0].topk(min(SHOWN, int(legal.sum())))
        shares = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        parts.append(", ".join(f"{game.name_action(move)} {100 * share:.0f} %" for move, share in shares))
    tell("; ".join(parts))
    return action, seen


def _asked(
    game: Game, state: Tensor, seen: dict[str, Tensor] | None, ask: Callable[[str], str], tell: Callable[[str], None]
) -> int | None:
    """The person's move; None to stop."""
    legal = game.mask(state)[0].nonzero().flatten().tolist()
    names = {game.name_action(action).lower(): action for action in legal}
    numbers = {name.rpartition(" ")[2]: action for name, action in names.items()}
    while True:
        try:
            answer = ask("your move: ").strip().lower()
        except EOFError:
            return None
        if answer in ("q", "quit"):
            return None
        if answer == "m":
            tell(", ".join(names))
        elif answer == "?":
            tell(_visits(game, seen))
        elif answer in names or answer in numbers:
            return names.get(answer, numbers.get(answer))
        else:
            tell(f"{answer!r} is no legal move here: {HELP}")


def _visits(game: Game, seen: dict[str, Tensor] | None) -> str:
    if seen is None or "visits" not in seen:
        return "there is no search to show"
    visits = seen["visits"][0]
    order = visits.argsort(descending=True, stable=True).tolist()
    return ", ".join(f"{game.name_action(move)} {int(visits[move])}" for move in order if visits[move] > 0)
