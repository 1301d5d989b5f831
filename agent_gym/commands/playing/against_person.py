"""A person plays against a run in the terminal."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from agent_gym.composing.seats.sitting import Sitting
from agent_gym.envs.games.game import Game

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


def play_person(sitting: Sitting, *, ask: Callable[[str], str] = input, tell: Callable[[str], None] = print) -> str:
    """One game. Returns "won", "lost", "drawn" or "stopped" for the person."""
    tell(f"you are {MARKS[1 + sitting.side]}; {HELP}")
    while not sitting.over:
        if sitting.waits:
            sitting.answer()
            tell(_thought(sitting))
            continue
        tell(board_text(sitting.game, sitting.state))
        action = _asked(sitting, ask, tell)
        if action is None:
            return "stopped"
        sitting.play(action)
    tell(board_text(sitting.game, sitting.state))
    return sitting.result


def _thought(sitting: Sitting) -> str:
    """The agent's move and what it thought."""
    seen, names = sitting.seen, sitting.names
    parts = [f"the agent plays {names[sitting.answered]}"]
    if "value" in seen:
        parts.append(f"its value {float(seen['value']):+.2f}")
    if "probs" in seen:
        best = (-seen["probs"]).argsort(kind="stable")[:SHOWN]
        parts.append(
            ", ".join(f"{names[move]} {100 * seen['probs'][move]:.0f} %" for move in best if seen["probs"][move] > 0)
        )
    return "; ".join(parts)


def _asked(sitting: Sitting, ask: Callable[[str], str], tell: Callable[[str], None]) -> int | None:
    """The person's move; None to stop."""
    names = {sitting.names[action].lower(): action for action in sitting.legal}
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
            tell(_visits(sitting))
        elif answer in names or answer in numbers:
            return names.get(answer, numbers.get(answer))
        else:
            tell(f"{answer!r} is no legal move here: {HELP}")


def _visits(sitting: Sitting) -> str:
    visits = sitting.seen.get("visits")
    if visits is None:
        return "there is no search to show"
    order = (-visits).argsort(kind="stable")
    return ", ".join(f"{sitting.names[move]} {int(visits[move])}" for move in order if visits[move] > 0)
