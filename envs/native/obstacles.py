"""A wheeled robot with range sensors drives through a field of pillars to a goal."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core, constant
from agent_gym.envs.native.drawing import BLUE, GREEN, GREY, INK, ORANGE, Canvas, turned

SIDE, ROBOT, REACH, TAU = 10.0, 0.15, 0.4, 0.2  # side of the room, robot's radius, size of the goal [m]; seconds a step
MAX_SPEED, MAX_TURN, LAG = 1.0, 2.0, 0.5  # m/s, rad/s, share of a commanded change that happens in one step
RAYS, RANGE = 16, 4.0  # sensors all around, the first straight ahead; they see this far [m]
COLUMNS, ROWS = (2.8, 5.0, 7.2), (1.9, 5.0, 8.1)  # pillars stand near these points
# Pillars differ by at most 0.25 m from the points and 0.7 m in radius: between the columns there is always a way.
SHIFT, RADII, PILLARS = 0.25, (0.3, 0.7), len(COLUMNS) * len(ROWS)
POSE = 7  # rows of the state before the pillars: x, y, heading, speed, turn rate, goal x, goal y


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [7 + 27, B]: the robot at the left wall, the goal at the right one, nine pillars (x, y, radius) between."""
    state = torch.zeros(POSE + 3 * PILLARS, num_envs, device=device)
    state[0], state[5] = 0.8, SIDE - 0.8
    for row in (1, 6):
        state[row].uniform_(1.0, SIDE - 1.0, generator=generator)
    state[2].uniform_(-math.pi / 2, math.pi / 2, generator=generator)
    x, y, radius = state[POSE:].view(3, len(COLUMNS), len(ROWS), num_envs)
    x.uniform_(-SHIFT, SHIFT, generator=generator).add_(constant(COLUMNS, device).view(-1, 1, 1))
    y.uniform_(-3 * SHIFT, 3 * SHIFT, generator=generator).add_(constant(ROWS, device).view(-1, 1))
    radius.uniform_(*RADII, generator=generator)
    return state


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Action [B, 2]: speed from -1 (stop) to 1 (full) and turn rate from -1 (right) to 1 (left), both with a lag.

    The reward is the way made towards the goal in metres, 10 for reaching it and -10 for touching anything.
    """
    x, y, heading, speed, turn, goal_x, goal_y = state[:POSE]
    action = action.clamp(-1.0, 1.0)
    speed = torch.lerp(speed, MAX_SPEED * (action[:, 0] + 1) / 2, LAG)
    turn = torch.lerp(turn, MAX_TURN * action[:, 1], LAG)
    before = torch.hypot(goal_x - x, goal_y - y)
    heading = heading + TAU * turn
    x, y = x + TAU * speed * heading.cos(), y + TAU * speed * heading.sin()
    distance = torch.hypot(goal_x - x, goal_y - y)
    pillar_x, pillar_y, radius = state[POSE:].view(3, PILLARS, -1)
    touched = (torch.hypot(pillar_x - x, pillar_y - y) < radius + ROBOT).any(0)
    touched = touched | (torch.maximum((x - SIDE / 2).abs(), (y - SIDE / 2).abs()) > SIDE / 2 - ROBOT)
    reached = (distance < REACH) & ~touched
    state = torch.cat((torch.stack((x, y, heading, speed, turn, goal_x, goal_y)), state[POSE:]))
    return state, before - distance + 10.0 * reached - 10.0 * touched, touched | reached


def ranges(state: Tensor) -> Tensor:
    """[16, B]: the distance from the robot's centre to the first pillar or wall along each ray, at most 4 m."""
    x, y, heading = state[:3]
    turn = torch.arange(RAYS, device=state.device).unsqueeze(1) * (2 * math.pi / RAYS)
    cos, sin = (heading + turn).cos(), (heading + turn).sin()  # [16, B]
    pillar_x, pillar_y, radius = state[POSE:].view(3, PILLARS, 1, -1)
    dx, dy = pillar_x - x, pillar_y - y  # [9, 1, B]
    along = dx * cos + dy * sin
    # Half of the chord that the ray cuts out of the circle, squared; negative where it passes by.
    chord = radius * radius - (dx * sin - dy * cos).square()
    hit = torch.where((chord > 0) & (along > 0), along - chord.clamp(min=0).sqrt(), RANGE).amin(0)
    wall = torch.minimum(_to_wall(x, cos), _to_wall(y, sin))
    return torch.minimum(hit, wall).clamp(0.0, RANGE)


def _to_wall(position: Tensor, direction: Tensor) -> Tensor:
    """The way to the wall ahead along one axis; far where the ray runs along it."""
    return torch.where(direction > 0, SIDE - position, position) / direction.abs().clamp(min=1e-6)


def observe(state: Tensor) -> Tensor:
    """[B, 21]: 16 ranges / 4 m; distance to the goal / 10 m, cosine and sine of its bearing; speed, turn rate / 2."""
    x, y, heading, speed, turn, goal_x, goal_y = state[:POSE]
    bearing = torch.atan2(goal_y - y, goal_x - x) - heading
    distance = torch.hypot(goal_x - x, goal_y - y)
    rest = torch.stack((distance / SIDE, bearing.cos(), bearing.sin(), speed / MAX_SPEED, turn / MAX_TURN))
    return torch.cat((ranges(state) / RANGE, rest)).t()


def render(state: np.ndarray) -> np.ndarray:
    """The room from above with the robot's rays."""
    canvas = Canvas((480, 480), (0.0, 0.0, SIDE, SIDE))
    x, y, heading, _, _, goal_x, goal_y = state[:POSE]
    canvas.circle((goal_x, goal_y), REACH, GREEN)
    canvas.circle((goal_x, goal_y), REACH * 0.6, (250, 249, 245))
    canvas.circle((goal_x, goal_y), REACH * 0.3, GREEN)
    seen = ranges(torch.from_numpy(np.ascontiguousarray(state)).unsqueeze(1))[:, 0].tolist()
    for ray, length in enumerate(seen):
        end = turned([(length, 0.0)], heading + ray * 2 * math.pi / RAYS, (x, y))[0]
        canvas.line(((x, y), end), (196, 200, 205), 0.02)
        if length < RANGE:
            canvas.circle(end, 0.06, ORANGE)
    for pillar_x, pillar_y, radius in state[POSE:].reshape(3, PILLARS).T:
        canvas.circle((pillar_x, pillar_y), radius, GREY)
        canvas.circle((pillar_x, pillar_y), radius - 0.06, (176, 181, 190))
    canvas.circle((x, y), ROBOT * 1.5, BLUE)  # drawn a little larger than it is
    canvas.polygon(turned([(0.2, 0.0), (-0.1, 0.13), (-0.1, -0.13)], heading, (x, y)), (255, 255, 255))
    for corner in ((0, 0, SIDE, 0.07), (0, SIDE - 0.07, SIDE, SIDE), (0, 0, 0.07, SIDE), (SIDE - 0.07, 0, SIDE, SIDE)):
        canvas.box(*corner, INK)
    return canvas.image()


_LOW = np.array([0.0] * RAYS + [0.0, -1.0, -1.0, 0.0, -1.0], np.float32)
_HIGH = np.array([1.0] * RAYS + [1.5, 1.0, 1.0, 1.0, 1.0], np.float32)

OBSTACLES = Core(
    "AgentGym/Obstacles-v0",
    spaces.Box(_LOW, _HIGH),
    spaces.Box(-1.0, 1.0, (2,)),
    150,
    initial,
    step,
    observe,
    render,
    15,
    ("speed", "turn left"),
)
