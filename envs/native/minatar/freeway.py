"""MinAtar's Freeway: a chicken crosses eight lanes of cars, again and again, in 2,500 steps."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.envs.native.drawing import RED, YELLOW
from agent_gym.envs.native.minatar.board import SIZE, frame, game, pick, sticky

NOTHING, UP, DOWN = range(3)
LANES = 8  # rows 1 to 8
COLUMN = 4  # the chicken's
PAUSE, STEPS = 3, 2500  # steps between its moves, steps before the last
# Rows of the state after three for each lane: the car's column, the steps until it moves, and its speed, from 1 (each
# step, fast) to 5, negative to the left.
CHICKEN, MOVE_TIMER, TIME, LAST = range(3 * LANES, 3 * LANES + 4)


def start(draws: Tensor) -> Tensor:
    """State [28, B] int64, by 16 draws a game: the speeds of the cars, then their ways."""
    speed = _speeds(draws)
    cars = torch.cat((torch.zeros_like(speed), speed.abs(), speed))
    scalars = torch.zeros(4, draws.shape[1], dtype=torch.int64, device=draws.device)
    state = torch.cat((cars, scalars))
    state[CHICKEN], state[MOVE_TIMER], state[TIME] = SIZE - 1, PAUSE, STEPS
    return state


def _speeds(draws: Tensor) -> Tensor:
    """[8, B] by 16 draws."""
    return (1 + pick(draws[:LANES], 5)) * torch.where(draws[LANES:] > 0.5, 1, -1)


def play(state: Tensor, action: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Move the chicken, then the cars. 1 at the other side, where all speeds change; a hit brings it back.

    17 draws: does the action stick; the new speeds and ways.
    """
    column, timer, speed = state[: 3 * LANES].view(3, LANES, -1)
    chicken, move_timer, time, last = state[3 * LANES :]
    action = sticky(action, last, draws[0])
    moving = (move_timer == 0) & (action != NOTHING)
    chicken = torch.where(moving, (chicken + torch.where(action == UP, -1, 1)).clamp(0, SIZE - 1), chicken)
    move_timer = torch.where(moving, PAUSE, move_timer)
    across = chicken == 0
    speed = torch.where(across, _speeds(draws[1:]), speed)
    timer = torch.where(across, speed.abs(), timer)
    chicken = torch.where(across, SIZE - 1, chicken)

    going = timer == 0
    gone = torch.where(going, (column + speed.sign()) % SIZE, column)
    timer = torch.where(going, speed.abs(), timer - 1)
    lane = torch.arange(1, LANES + 1, device=state.device).unsqueeze(1)
    hit = ((lane == chicken) & ((column == COLUMN) | (gone == COLUMN))).any(0)  # before the car moves or then
    chicken = torch.where(hit, SIZE - 1, chicken)
    scalars = torch.stack((chicken, (move_timer - 1).clamp(min=0), time - 1, action))
    return torch.cat((gone, timer, speed, scalars)), across.float(), time < 1


def look(state: Tensor) -> Tensor:
    """Channels: chicken, cars, where the cars of speeds 1 to 5 were."""
    column, _, speed = state[: 3 * LANES].view(3, LANES, -1)
    lane = torch.arange(1, LANES + 1, device=state.device).unsqueeze(1).expand_as(column)
    always = torch.ones_like(column, dtype=torch.bool)
    behind = (column - speed.sign()) % SIZE
    marks = [(0, state[CHICKEN], torch.full_like(state[CHICKEN], COLUMN), always[0]), (1, lane, column, always)]
    marks += [(1 + pace, lane, behind, speed.abs() == pace) for pace in range(1, 6)]
    return frame(7, state.shape[1], state.device, marks)


SHADES = tuple((200 - 26 * pace, 200 - 26 * pace, 210 - 26 * pace) for pace in range(5))  # fast cars have light trails
FREEWAY = game("Freeway", (16, start), (17, play), look, (YELLOW, RED, *SHADES), ("nothing", "up", "down"))
