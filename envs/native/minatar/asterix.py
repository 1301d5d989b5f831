"""MinAtar's Asterix: gather gold that crosses the field, and keep out of the way of what else does."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.envs.native.drawing import BLUE, GREY, RED, YELLOW
from agent_gym.envs.native.minatar.board import SIZE, frame, game, on_board, pick, sticky

NOTHING, LEFT, UP, RIGHT, DOWN = range(5)
LANES = 8  # rows 1 to 8, with one traveller each at most
SPAWN, MOVE, RAMP = 10, 5, 100  # steps between travellers, between their moves, and until both are shortened
EMPTY, ENEMY, GOLD = range(3)
# Rows of the state after three for each lane: the traveller's column, its way (-1, 1) and its kind.
X, Y, SPAWN_SPEED, SPAWN_TIMER, MOVE_SPEED, MOVE_TIMER, RAMP_TIMER, RAMP_INDEX, LAST = range(3 * LANES, 3 * LANES + 9)


def start(draws: Tensor) -> Tensor:
    """State [33, B] int64: the player in the middle of an empty field. Without chance: draws [0, B]."""
    state = torch.zeros(3 * LANES + 9, draws.shape[1], dtype=torch.int64, device=draws.device)
    state[X], state[Y] = 5, 5
    state[SPAWN_SPEED], state[SPAWN_TIMER], state[MOVE_SPEED], state[MOVE_TIMER] = SPAWN, SPAWN, MOVE, MOVE
    state[RAMP_TIMER] = RAMP
    return state


def play(state: Tensor, action: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Move the player, then the travellers. 1 for gold, an enemy ends it.

    Four draws: does the action stick; of a new traveller the way, whether it is gold, and its lane among the empty.
    """
    column, way, kind = state[: 3 * LANES].view(3, LANES, -1)
    x, y, spawn_speed, spawn_timer, move_speed, move_timer, ramp_timer, ramp_index, last = state[3 * LANES :]
    action = sticky(action, last, draws[0])

    spawning = spawn_timer == 0
    count = (kind == EMPTY).cumsum(0)
    chosen = pick(draws[3], count[-1].clamp(min=1)) + 1
    new = spawning & (kind == EMPTY) & (count == chosen)
    column = torch.where(new, torch.where(draws[1] < 0.5, 0, SIZE - 1), column)
    way = torch.where(new, torch.where(draws[1] < 0.5, 1, -1), way)
    kind = torch.where(new, torch.where(draws[2] < 1 / 3, GOLD, ENEMY), kind)
    spawn_timer = torch.where(spawning, spawn_speed, spawn_timer)

    x = (x + (action == RIGHT).long() - (action == LEFT).long()).clamp(0, SIZE - 1)
    y = (y + (action == DOWN).long() - (action == UP).long()).clamp(1, LANES)
    lane = torch.arange(1, LANES + 1, device=state.device).unsqueeze(1)
    kind, gained, caught = _meet(column, kind, lane, x, y)
    moving = move_timer == 0
    column = torch.where(moving & (kind != EMPTY), column + way, column)
    kind = torch.where(on_board(column), kind, EMPTY)
    kind, more, caught_then = _meet(column, kind, lane, x, y)
    move_timer = torch.where(moving, move_speed, move_timer)

    able = (spawn_speed > 1) | (move_speed > 1)
    due = able & (ramp_timer < 0)
    ramp_timer = torch.where(due, RAMP, ramp_timer - able.long())
    move_speed = move_speed - (due & (move_speed > 1) & (ramp_index % 2 == 1)).long()
    spawn_speed = spawn_speed - (due & (spawn_speed > 1)).long()
    scalars = (x, y, spawn_speed, spawn_timer - 1, move_speed, move_timer - 1, ramp_timer, ramp_index + due, action)
    state = torch.cat((column, way, kind, torch.stack(scalars)))
    return state, (gained + more).float(), caught | caught_then


def _meet(column: Tensor, kind: Tensor, lane: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is left of the kinds [8, B] where the player is at (x, y); gold [B] gained; caught by an enemy [B]."""
    met = (column == x) & (lane == y)
    gold = met & (kind == GOLD)
    return torch.where(gold, EMPTY, kind), gold.sum(0), (met & (kind == ENEMY)).any(0)


def look(state: Tensor) -> Tensor:
    """Channels: player, enemies, where the travellers were, gold."""
    column, way, kind = state[: 3 * LANES].view(3, LANES, -1)
    lane = torch.arange(1, LANES + 1, device=state.device).unsqueeze(1).expand_as(column)
    always = torch.ones_like(state[X], dtype=torch.bool)
    marks = [(0, state[Y], state[X], always), (2, lane, column - way, kind != EMPTY)]
    marks += [(1, lane, column, kind == ENEMY), (3, lane, column, kind == GOLD)]
    return frame(4, state.shape[1], state.device, marks)


ACTIONS = ("nothing", "left", "up", "right", "down")
ASTERIX = game("Asterix", (0, start), (4, play), look, (BLUE, RED, GREY, YELLOW), ACTIONS)
