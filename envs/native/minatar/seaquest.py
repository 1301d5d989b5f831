"""MinAtar's Seaquest: a submarine fetches divers, shoots at what else swims, and comes up for air."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.envs.native.drawing import BLUE, GREEN, GREY, LIGHT, ORANGE, PAPER, RED, YELLOW
from agent_gym.envs.native.minatar.board import CELLS, SIZE, frame, game, on_board, pick, sticky

NOTHING, LEFT, UP, RIGHT, DOWN, FIRE = range(6)
AIR, FULL, RELOAD = 200, 6, 5  # steps under water, divers on board, steps between shots
SPAWN, DIVER_SPAWN, MOVE, DIVER_MOVE, VOLLEY = 20, 30, 5, 5, 10  # steps between such events, at first
FASTEST = 2  # the least that MOVE becomes; SPAWN becomes 1
EMPTY, FISH, SUB = range(3)

# What moves lies in slots, old before new. One enemy comes a step at most, and at that pace it is gone after 30 steps;
# two shots and two divers are there at once at most, and one place more takes in a new one.
ENEMIES, SHOTS, DIVERS = 34, 3, 3
ENEMY_ROWS, SHOT_ROWS, DIVER_ROWS = 6, 4, 5  # kind or presence, column, row, way (-1, 1), then timers: move, fire
SHOTS_AT = ENEMIES * ENEMY_ROWS
DIVERS_AT = SHOTS_AT + SHOTS * SHOT_ROWS
FIRE_AT = DIVERS_AT + DIVERS * DIVER_ROWS
SCALARS_AT = FIRE_AT + 2 * CELLS  # two boards: the enemies' shots to the left, to the right
(X, Y, FACING, OXYGEN, ABOARD, SPAWN_SPEED, SPAWN_TIMER, DIVER_TIMER) = range(SCALARS_AT, SCALARS_AT + 8)
(MOVE_SPEED, RAMP_INDEX, RELOAD_TIMER, SURFACED, LAST) = range(SCALARS_AT + 8, SCALARS_AT + 13)


def start(draws: Tensor) -> Tensor:
    """State [444, B] int64: the submarine at the surface of an empty sea. Without chance: draws [0, B]."""
    state = torch.zeros(SCALARS_AT + 13, draws.shape[1], dtype=torch.int64, device=draws.device)
    state[X], state[FACING], state[OXYGEN] = 5, -1, AIR
    state[SPAWN_SPEED], state[SPAWN_TIMER], state[DIVER_TIMER], state[MOVE_SPEED] = SPAWN, SPAWN, DIVER_SPAWN, MOVE
    state[SURFACED] = 1
    return state


def _added(slots: Tensor, where: Tensor, *values: Tensor | int) -> Tensor:
    """The slots [rows, N, B], all used ones first, with one more where told [B]."""
    count = (slots[0] != EMPTY).sum(0)
    new = where & (torch.arange(slots.shape[1], device=slots.device).unsqueeze(1) == count)
    return torch.stack([torch.where(new, value, row) for row, value in zip(slots, values, strict=True)])


def _packed(slots: Tensor) -> Tensor:
    """The used ones first, in their order."""
    order = (slots[0] == EMPTY).to(torch.uint8).argsort(stable=True, dim=0)
    return slots.gather(1, order.expand_as(slots))


def _first(which: Tensor) -> Tensor:
    """The first that is True of [N, B], alone."""
    return which & (which.cumsum(0) == 1)


def _last(which: Tensor) -> Tensor:
    """The last that is True of [N, B], alone."""
    return _first(which.flip(0)).flip(0)


def play(state: Tensor, action: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Move or fire; then shots, divers, submarines, their shots and fish move. 1 for what is shot, up to 10 for air.

    It ends with a touch, without air, and at the surface without a diver. Six draws: does the action stick; of a new
    enemy the way, whether it is a submarine, and its row; of a new diver the way and the row.
    """
    count = state.shape[1]
    enemies = state[:SHOTS_AT].view(ENEMY_ROWS, ENEMIES, count)
    shots = state[SHOTS_AT:DIVERS_AT].view(SHOT_ROWS, SHOTS, count)
    divers = state[DIVERS_AT:FIRE_AT].view(DIVER_ROWS, DIVERS, count)
    fire = state[FIRE_AT:SCALARS_AT].view(2, SIZE, SIZE, count) > 0
    x, y, facing, oxygen, aboard, spawn_speed, spawn_timer, diver_timer = state[SCALARS_AT : SCALARS_AT + 8]
    move_speed, ramp_index, reload_timer, surfaced, last = state[SCALARS_AT + 8 :]
    action = sticky(action, last, draws[0])

    due = spawn_timer == 0
    way, row = _way(draws[1]), 1 + pick(draws[3], 8)
    against = ((enemies[0] != EMPTY) & (enemies[2] == row) & (enemies[3] != way)).any(0)
    kind = torch.where(draws[2] < 1 / 3, SUB, FISH)
    enemies = _added(enemies, due & ~against, kind, _edge(way), row, way, move_speed, VOLLEY)
    spawn_timer = torch.where(due, spawn_speed, spawn_timer)
    due = diver_timer == 0
    way = _way(draws[4])
    divers = _added(divers, due, 1, _edge(way), 1 + pick(draws[5], 8), way, DIVER_MOVE)
    diver_timer = torch.where(due, DIVER_SPAWN, diver_timer)

    firing = (action == FIRE) & (reload_timer == 0)
    shots = _added(shots, firing, 1, x, y, facing)
    reload_timer = torch.where(firing, RELOAD, reload_timer)
    aside = (action == RIGHT).long() - (action == LEFT).long()
    x = (x + aside).clamp(0, SIZE - 1)
    facing = torch.where(aside == 0, facing, aside)
    y = (y + (action == DOWN).long() - (action == UP).long()).clamp(0, SIZE - 2)

    kind, column, row, way, move_timer, volley_timer = enemies
    used, shot_column, shot_row, shot_way = shots
    shot_column = shot_column + shot_way
    flying = list(((used > 0) & on_board(shot_column)).unbind())
    reward = torch.zeros_like(x)
    for number in reversed(range(SHOTS)):  # the newest strikes first, fish before submarines, old before new
        target = flying[number] & (column == shot_column[number]) & (row == shot_row[number])
        fish = _first(target & (kind == FISH))
        struck = fish | (_first(target & (kind == SUB)) & ~fish.any(0))
        kind, flying[number] = torch.where(struck, EMPTY, kind), flying[number] & ~struck.any(0)
        reward = reward + struck.sum(0)

    divers, aboard = _fetch(divers, aboard, x, y)

    touched = torch.zeros_like(due)
    for sort in (SUB, FISH):
        swimming = kind == sort
        moving = swimming & (move_timer == 0)
        before = (column == x) & (row == y)
        column = torch.where(moving, column + way, column)
        after = (column == x) & (row == y)
        touched = touched | (swimming & (before | after)).any(0)
        move_timer = torch.where(moving, move_speed, move_timer - swimming.long())
        kind = torch.where(moving & ~on_board(column), EMPTY, kind)
        open_to = moving & ~after
        for number in range(SHOTS):  # the oldest meets the newest
            there = (column == shot_column[number]) & (row == shot_row[number])
            struck = _last(flying[number] & open_to & there & (kind == sort))
            kind, flying[number] = torch.where(struck, EMPTY, kind), flying[number] & ~struck.any(0)
            reward = reward + struck.sum(0)
        if sort == SUB:  # they fire even in the step in which they are shot
            volley = swimming & (volley_timer == 0)
            volley_timer = torch.where(volley, VOLLEY, volley_timer - swimming.long())
            sides = [volley & (way < 0), volley & (way > 0)]
            fire = fire | frame(2, count, x.device, [(side, row, column, sides[side]) for side in (0, 1)])
            reached = _at(fire.any(0), x, y)
            cells = torch.arange(SIZE, device=x.device).view(1, SIZE, 1)
            fire = torch.stack((fire[0].roll(-1, 1) & (cells < SIZE - 1), fire[1].roll(1, 1) & (cells > 0)))
            touched = touched | reached | _at(fire.any(0), x, y)

    over = touched | (oxygen <= 0)
    under = y > 0
    rising = ~under & (surfaced == 0)
    over = over | (rising & (aboard == 0))
    rising = rising & (aboard != 0)
    full = rising & (aboard == FULL)
    reward = reward + torch.where(full, oxygen * 10 // AIR, 0)
    # A full load leaves one less than nobody on board, as it does in the package.
    aboard = torch.where(full, 0, aboard) - rising.long()
    oxygen = torch.where(rising, AIR, oxygen - under.long())
    surfaced = torch.where(under, 0, torch.where(rising, 1, surfaced))
    able = rising & ((spawn_speed > 1) | (move_speed > FASTEST))
    move_speed = move_speed - (able & (move_speed > FASTEST) & (ramp_index % 2 == 1)).long()
    spawn_speed = spawn_speed - (able & (spawn_speed > 1)).long()

    enemies = _packed(torch.stack((kind, column, row, way, move_timer, volley_timer)))
    shots = _packed(torch.stack((torch.stack(flying).long(), shot_column, shot_row, shot_way)))
    timers = [(timer - 1).clamp(min=0) for timer in (spawn_timer, diver_timer, reload_timer)]
    scalars = (x, y, facing, oxygen, aboard, spawn_speed, timers[0], timers[1])
    scalars += (move_speed, ramp_index + able, timers[2], surfaced, action)
    boards = [part.flatten(0, -2).long() for part in (enemies, shots, _packed(divers), fire)]
    return torch.cat((*boards, torch.stack(scalars))), reward.float(), over


def _way(draw: Tensor) -> Tensor:
    return torch.where(draw < 0.5, 1, -1)


def _edge(way: Tensor) -> Tensor:
    """The column where those come in that go this way."""
    return torch.where(way > 0, 0, SIZE - 1)


def _at(board: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """What [10, 10, B] holds in a cell: [B]."""
    return board.flatten(0, 1).gather(0, (y * SIZE + x).unsqueeze(0))[0]


def _fetch(divers: Tensor, aboard: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The divers after their step, and how many are on board; the newest gets in first."""
    rows = []
    for used, column, row, way, timer in reversed(divers.unbind(1)):
        taken = (used > 0) & (column == x) & (row == y) & (aboard < FULL)
        moving = (used > 0) & ~taken & (timer == 0)
        column = torch.where(moving, column + way, column)
        timer = torch.where(moving, DIVER_MOVE, timer - 1)
        taken = taken | (moving & (column == x) & (row == y) & (aboard < FULL))
        rows.append(torch.stack((used * (~taken & on_board(column)), column, row, way, timer)))
        aboard = aboard + taken
    return torch.stack(rows[::-1], 1), aboard


def look(state: Tensor) -> Tensor:
    """Channels: the submarine's front, its back, its shots; where others were; their shots, fish, submarines.

    Then the gauges in the lowest row, of air and of divers on board, and the divers.
    """
    count = state.shape[1]
    kind, column, row, way, *_ = state[:SHOTS_AT].view(ENEMY_ROWS, ENEMIES, count)
    used, shot_column, shot_row, _ = state[SHOTS_AT:DIVERS_AT].view(SHOT_ROWS, SHOTS, count)
    swims, diver_column, diver_row, diver_way, _ = state[DIVERS_AT:FIRE_AT].view(DIVER_ROWS, DIVERS, count)
    x, y, facing, oxygen, aboard = state[SCALARS_AT : SCALARS_AT + 5]
    always = torch.ones_like(x, dtype=torch.bool)
    gauge = torch.arange(SIZE, device=state.device).unsqueeze(1).expand(SIZE, count)
    lowest = torch.full_like(gauge, SIZE - 1)
    marks = [
        (0, y, x, always),
        (1, y, x - facing, always),
        (2, shot_row, shot_column, used > 0),
        (3, row, column - way, kind != EMPTY),
        (3, diver_row, diver_column - diver_way, swims > 0),
        (5, row, column, kind == FISH),
        (6, row, column, kind == SUB),
        (7, lowest, gauge, gauge < oxygen.clamp(min=0) * SIZE // AIR),
        (8, lowest, gauge, (gauge >= SIZE - 1 - aboard) & (gauge < SIZE - 1)),
        (9, diver_row, diver_column, swims > 0),
    ]
    channels = frame(10, count, state.device, marks)
    channels[4] = state[FIRE_AT:SCALARS_AT].view(2, SIZE, SIZE, count).any(0)
    return channels


COLOURS = (YELLOW, ORANGE, PAPER, GREY, (240, 120, 200), RED, (150, 60, 60), BLUE, GREEN, LIGHT)
ACTIONS = ("nothing", "left", "up", "right", "down", "fire")
SEAQUEST = game("Seaquest", (0, start), (6, play), look, COLOURS, ACTIONS)
