"""MinAtar's Space Invaders: a cannon against a block of aliens that comes down and shoots."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.envs.native.drawing import BLUE, GREEN, RED, YELLOW
from agent_gym.envs.native.minatar.board import CELLS, SIZE, game, sticky

NOTHING, LEFT, RIGHT, FIRE = range(4)
RELOAD, MARCH, VOLLEY = 5, 12, 10  # steps between shots, between moves of a full block, between the aliens' shots
FASTEST = 6  # the least that MARCH becomes, one less with every wave
BOTTOM = SIZE - 1
# Rows of the state after three boards: aliens, the cannon's shots, the aliens' shots. WAY: the aliens', -1 or 1.
CANNON, WAY, INTERVAL, MOVE_TIMER, VOLLEY_TIMER, RELOAD_TIMER, LAST = range(3 * CELLS, 3 * CELLS + 7)


def start(draws: Tensor) -> Tensor:
    """State [307, B] int64: four rows of six aliens. Without chance: draws [0, B]."""
    state = torch.zeros(3 * CELLS + 7, draws.shape[1], dtype=torch.int64, device=draws.device)
    state[:CELLS] = _block(state).flatten(0, 1).long()
    state[CANNON], state[WAY] = 5, -1
    state[INTERVAL], state[MOVE_TIMER], state[VOLLEY_TIMER] = MARCH, MARCH, VOLLEY
    return state


def _block(like: Tensor) -> Tensor:
    """[10, 10, 1] bool: where a wave begins."""
    row, column = (torch.arange(SIZE, device=like.device).view(shape) for shape in ((-1, 1, 1), (1, -1, 1)))
    return (row < 4) & (column >= 2) & (column < 8)


def play(state: Tensor, action: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Move or fire, then all shots, then the aliens, who shoot. 1 for an alien. One draw: does the action stick?

    It ends with a shot or an alien in the cannon's cell, and with aliens that would leave the lowest row.
    """
    aliens, shots, fire = state[: 3 * CELLS].view(3, SIZE, SIZE, -1) > 0
    cannon, way, interval, move_timer, volley_timer, reload_timer, last = state[3 * CELLS :]
    action = sticky(action, last, draws[0])
    firing = (action == FIRE) & (reload_timer == 0)
    reload_timer = torch.where(firing, RELOAD, reload_timer)
    row, column = (torch.arange(SIZE, device=state.device).view(shape) for shape in ((-1, 1, 1), (1, -1, 1)))
    here = (row == BOTTOM) & (column == cannon)
    shots = shots | (here & firing)
    cannon = (cannon + (action == RIGHT).long() - (action == LEFT).long()).clamp(0, BOTTOM)
    here = (row == BOTTOM) & (column == cannon)
    shots = shots.roll(-1, 0) & (row != BOTTOM)
    fire = fire.roll(1, 0) & (row != 0)
    over = ((fire | aliens) & here).flatten(0, 1).any(0)

    moving = move_timer == 0
    move_timer = torch.where(moving, torch.minimum(aliens.flatten(0, 1).sum(0), interval), move_timer)
    at_edge = torch.where(way < 0, aliens[:, 0].any(0), aliens[:, BOTTOM].any(0))
    down, aside = moving & at_edge, moving & ~at_edge
    over = over | (down & aliens[BOTTOM].any(0))
    aliens_aside = torch.where(way < 0, aliens.roll(-1, 1), aliens.roll(1, 1))
    aliens = torch.where(down, aliens.roll(1, 0), torch.where(aside, aliens_aside, aliens))
    way = torch.where(down, -way, way)
    over = over | (moving & (aliens & here).flatten(0, 1).any(0))

    volley = volley_timer == 0
    volley_timer = torch.where(volley, VOLLEY, volley_timer)
    fire = fire | (volley & _shooter(aliens, cannon))
    killed = aliens & shots
    aliens, shots = aliens & ~killed, shots & ~killed
    cleared = ~aliens.flatten(0, 1).any(0)
    interval = interval - (cleared & (interval > FASTEST)).long()
    aliens = aliens | (_block(state) & cleared)
    boards = torch.stack((aliens, shots, fire)).flatten(0, 2).long()
    reload_timer = (reload_timer - 1).clamp(min=0)
    scalars = torch.stack((cannon, way, interval, move_timer - 1, volley_timer - 1, reload_timer, action))
    return torch.cat((boards, scalars)), killed.flatten(0, 1).sum(0).float(), over


def _shooter(aliens: Tensor, cannon: Tensor) -> Tensor:
    """[10, 10, B] bool: the lowest alien of the column nearest to the cannon; of two as near, the left one's."""
    row, column = (torch.arange(SIZE, device=aliens.device).view(shape) for shape in ((-1, 1, 1), (1, -1, 1)))
    distance = 2 * (column - cannon).abs() + (column > cannon).long()  # [1, 10, B], no two alike
    distance = torch.where(aliens.any(0, keepdim=True), distance, 3 * SIZE)
    nearest = distance == distance.amin(1, keepdim=True)
    lowest = torch.where(aliens, row, -1).amax(0, keepdim=True)
    return aliens & nearest & (row == lowest)


def look(state: Tensor) -> Tensor:
    """Channels: cannon, aliens, aliens going left, aliens going right, the cannon's shots, the aliens' shots."""
    aliens, shots, fire = state[: 3 * CELLS].view(3, SIZE, SIZE, -1) > 0
    row, column = (torch.arange(SIZE, device=state.device).view(shape) for shape in ((-1, 1, 1), (1, -1, 1)))
    cannon = (row == BOTTOM) & (column == state[CANNON])
    left = state[WAY] < 0
    return torch.stack((cannon, aliens, aliens & left, aliens & ~left, shots, fire))


COLOURS = (BLUE, GREEN, GREEN, (58, 130, 92), YELLOW, RED)
ACTIONS = ("nothing", "left", "right", "fire")
SPACE_INVADERS = game("SpaceInvaders", (0, start), (1, play), look, COLOURS, ACTIONS)
