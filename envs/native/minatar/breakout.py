"""MinAtar's Breakout: a paddle bounces a ball against three rows of bricks."""

from __future__ import annotations

import torch
from torch import Tensor

from agent_gym.envs.native.drawing import BLUE, GREY, ORANGE, YELLOW
from agent_gym.envs.native.minatar.board import SIZE, frame, game, on_board, sticky

NOTHING, LEFT, RIGHT = range(3)
TOP, ROWS = 1, 3  # of the bricks
BRICKS = ROWS * SIZE
# Rows of the state after the bricks' own: 1 where one is left. DX, DY: the ball's way, -1 or 1; LAST: the last action.
PADDLE, X, Y, DX, DY, LAST_X, LAST_Y, STRUCK, LAST = range(BRICKS, BRICKS + 9)


def start(draws: Tensor) -> Tensor:
    """State [39, B] int64, by one draw a game: the ball comes down from the left or the right wall."""
    from_right = (draws[0] >= 0.5).long()
    state = torch.ones(BRICKS + 9, draws.shape[1], dtype=torch.int64, device=draws.device)
    state[PADDLE], state[X], state[Y] = 4, 9 * from_right, 3
    state[DX] = 1 - 2 * from_right
    state[LAST_X], state[LAST_Y] = state[X], state[Y]
    state[STRUCK], state[LAST] = 0, NOTHING
    return state


def play(state: Tensor, action: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Move the paddle, then the ball. 1 for a brick; a ball that is missed ends it. One draw: does the action stick?

    A ball that has struck a brick flies through the bricks that it meets in the very next steps.
    """
    bricks, (paddle, x, y, dx, dy, _, _, struck, last) = state[:BRICKS], state[BRICKS:]
    action = sticky(action, last, draws[0])
    paddle = (paddle + (action == RIGHT).long() - (action == LEFT).long()).clamp(0, SIZE - 1)
    new_x, new_y = x + dx, y + dy
    dx = torch.where(on_board(new_x), dx, -dx)
    new_x = new_x.clamp(0, SIZE - 1)
    ceiling = new_y < 0
    new_y = new_y.clamp(min=0)

    cell = (new_y - TOP) * SIZE + new_x
    among = ~ceiling & (cell >= 0) & (cell < BRICKS)
    cell = cell.clamp(0, BRICKS - 1).unsqueeze(0)
    brick = among & (bricks.gather(0, cell)[0] > 0)
    broken = brick & (struck == 0)
    bricks = bricks.scatter(0, cell, torch.where(broken, 0, bricks.gather(0, cell)[0]).unsqueeze(0))

    bottom = (new_y == SIZE - 1) & ~brick
    bricks = torch.where(bottom & (bricks.sum(0) == 0), 1, bricks)
    flat = bottom & (x == paddle)
    back = bottom & ~flat & (new_x == paddle)
    dx = torch.where(back, -dx, dx)
    dy = torch.where(ceiling | broken | flat | back, -dy, dy)
    new_y = torch.where(broken | flat | back, y, new_y)
    scalars = torch.stack((paddle, new_x, new_y, dx, dy, x, y, brick.long(), action))
    return torch.cat((bricks, scalars)), broken.float(), bottom & ~flat & ~back


def look(state: Tensor) -> Tensor:
    """Channels: paddle, ball, where the ball was, bricks."""
    paddle, x, y, _, _, last_x, last_y, _, _ = state[BRICKS:]
    always = torch.ones_like(x, dtype=torch.bool)
    marks = [(0, torch.full_like(x, SIZE - 1), paddle, always), (1, y, x, always), (2, last_y, last_x, always)]
    channels = frame(4, state.shape[1], state.device, marks)
    channels[3, TOP : TOP + ROWS] = state[:BRICKS].view(ROWS, SIZE, -1) > 0
    return channels


BREAKOUT = game("Breakout", (1, start), (1, play), look, (BLUE, YELLOW, GREY, ORANGE), ("nothing", "left", "right"))
