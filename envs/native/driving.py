"""A car holds a winding circuit, as fast as its tyres allow, by range sensors alone."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core, constant
from agent_gym.envs.native.drawing import INK, RED, YELLOW, Canvas, turned

TAU, WHEELBASE, GRIP = 0.1, 2.7, 9.0  # s, m, m/s² of acceleration sideways
MAX_SPEED, ENGINE, BRAKE, MAX_STEER, STEER_RATE = 25.0, 5.0, 9.0, 0.5, 1.5  # m/s, m/s², m/s², rad, rad/s
RADIUS, HALF_WIDTH = 50.0, 5.0  # of the circuit and of its road, measured towards the middle [m]
WAVES = (2, 3, 4, 5, 6)  # bends of the circuit, see `centreline`
ANGLES = (-1.4, -0.8, -0.4, -0.15, 0.0, 0.15, 0.4, 0.8, 1.4)  # of the sensors, left is positive [rad]
SEE = 60.0  # m
CAR = 5  # rows of the state before the circuit: x, y, heading, speed, steering angle


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [5 + 10, B]: the car on the centreline of a new circuit at 8 m/s; the circuit's waves."""
    size, phase = torch.rand(2, len(WAVES), num_envs, generator=generator, device=device)
    waves = torch.polar((0.05 + 0.15 * size) / constant(WAVES, device).unsqueeze(1), phase * (2 * math.pi))
    angle = torch.rand(num_envs, generator=generator, device=device) * (2 * math.pi)
    spot = torch.polar(torch.ones_like(angle), angle)
    place = spot * centreline(waves, spot)
    car = torch.stack((place.real, place.imag, direction(waves, spot), torch.full_like(angle, 8.0), 0 * angle))
    return torch.cat((car, waves.real, waves.imag))


def centreline(waves: Tensor, spot: Tensor) -> Tensor:
    """The distance of the road's middle from the origin: RADIUS * (1 + the real part of the sum of wave_k * spot^k).

    spot [..., B], complex numbers of size 1, says in which direction; waves [5, B] complex.
    """
    total = waves[-1]
    for wave in waves[:-1].flip(0):
        total = torch.addcmul(wave, total, spot)
    return RADIUS * (1 + (total * spot * spot).real)


def direction(waves: Tensor, spot: Tensor) -> Tensor:
    """The road's direction [B] at `spot` [B], in radians, driven anticlockwise."""
    bend = centreline(waves * constant(WAVES, spot.device).unsqueeze(1) * 1j, spot) - RADIUS  # d(radius)/d(angle)
    return spot.angle() + math.pi / 2 - torch.atan2(bend, centreline(waves, spot))


def _waves(state: Tensor) -> Tensor:
    return torch.complex(*state[CAR:].view(2, len(WAVES), -1))


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Action [B, 2]: steering from -1 (right) to 1 (left); throttle from -1 (full brake) to 1.

    A bicycle model whose turn rate is limited by the grip, so that a car too fast for a bend runs wide. The reward
    is the way made along the road in units of 10 m, and -5 for leaving it.
    """
    x, y, heading, speed, steer = state[:CAR]
    action = action.clamp(-1.0, 1.0)
    steer = steer + (MAX_STEER * action[:, 0] - steer).clamp(-STEER_RATE * TAU, STEER_RATE * TAU)
    throttle = action[:, 1]
    speed = (speed + TAU * torch.where(throttle > 0, ENGINE * throttle, BRAKE * throttle)).clamp(0.0, MAX_SPEED)
    limit = GRIP / speed.clamp(min=1.0)
    heading = heading + TAU * torch.minimum(speed * steer.tan() / WHEELBASE, limit).maximum(-limit)
    x, y = x + TAU * speed * heading.cos(), y + TAU * speed * heading.sin()
    waves, distance = _waves(state), torch.hypot(x, y)
    spot = torch.complex(x, y) / distance
    left = (distance - centreline(waves, spot)).abs() > HALF_WIDTH
    along = heading - direction(waves, spot)
    state = torch.cat((torch.stack((x, y, heading, speed, steer)), state[CAR:]))
    return state, TAU / 10 * speed * along.cos() - 5.0 * left, left


def ranges(state: Tensor) -> Tensor:
    """[9, B]: the distance to the road's edge along each ray, at most 60 m.

    Each ray is tested at 16 points, denser near the car; the edge is interpolated between the last point on the
    road and the first one off it.
    """
    device = state.device
    x, y, heading = state[:3]
    reach = SEE * torch.linspace(0.0, 1.0, 16, device=device).pow(1.5).view(-1, 1, 1)
    ray = heading + constant(ANGLES, device).unsqueeze(1)  # [9, B]
    point_x, point_y = x + reach * ray.cos(), y + reach * ray.sin()  # [16, 9, B]
    distance = torch.hypot(point_x, point_y)
    radius = centreline(_waves(state), torch.complex(point_x, point_y) / distance)
    margin = HALF_WIDTH - (distance - radius).abs()
    near, far = margin[:-1], margin[1:]
    edge = torch.lerp(reach[:-1], reach[1:], near / (near - far))
    return torch.where((near > 0) & (far <= 0), edge, SEE).amin(0)


def observe(state: Tensor) -> Tensor:
    """[B, 11]: nine ranges / 60 m, speed / 25 m/s, steering angle / 0.5 rad."""
    return torch.cat((ranges(state) / SEE, state[3:4] / MAX_SPEED, state[4:5] / MAX_STEER)).t()


def render(state: np.ndarray) -> np.ndarray:
    """The circuit from above, the car and its rays."""
    canvas = Canvas((480, 480), (-72.0, -72.0, 72.0, 72.0), (116, 158, 105))
    column = torch.from_numpy(np.ascontiguousarray(state)).unsqueeze(1)
    spots = torch.polar(torch.ones(241, 1), torch.linspace(0.0, 2 * math.pi, 241).unsqueeze(1))
    radius = centreline(_waves(column), spots)

    def ring(offset: float) -> list[list[float]]:
        return torch.view_as_real((radius + offset) * spots)[:, 0].tolist()

    for offset, colour in ((6.0, (236, 234, 226)), (HALF_WIDTH, (92, 97, 107)), (-HALF_WIDTH, (236, 234, 226))):
        canvas.polygon(ring(offset), colour)
    canvas.polygon(ring(-6.0), (116, 158, 105))
    centre = ring(0.0)
    for start in range(0, 240, 6):
        canvas.line(centre[start : start + 4], (190, 193, 198), 0.5)
    x, y, heading, speed, steer = (float(part) for part in state[:CAR])
    for angle, length in zip(ANGLES, ranges(column)[:, 0].tolist(), strict=True):
        canvas.line(((x, y), turned([(length, 0.0)], heading + angle, (x, y))[0]), YELLOW, 0.3)
    for wheel_x, wheel_y, turn in ((2.2, 1.6, steer), (2.2, -1.6, steer), (-2.2, 1.6, 0.0), (-2.2, -1.6, 0.0)):
        wheel = turned([(-1.1, -0.5), (1.1, -0.5), (1.1, 0.5), (-1.1, 0.5)], turn, (wheel_x, wheel_y))
        canvas.polygon(turned(wheel, heading, (x, y)), INK)
    canvas.polygon(turned([(-3.8, -1.6), (3.2, -1.6), (4.2, 0.0), (3.2, 1.6), (-3.8, 1.6)], heading, (x, y)), RED)
    canvas.polygon(turned([(-0.8, -1.1), (1.2, -1.1), (1.2, 1.1), (-0.8, 1.1)], heading, (x, y)), INK)
    canvas.text(f"{3.6 * speed:.0f} km/h", (0.0, 0.0), 14.0, (255, 255, 255))
    return canvas.image()


_LOW = np.array([0.0] * len(ANGLES) + [0.0, -1.0], np.float32)

DRIVING = Core(
    "AgentGym/Driving-v0",
    spaces.Box(_LOW, np.ones_like(_LOW)),
    spaces.Box(-1.0, 1.0, (2,)),
    400,
    initial,
    step,
    observe,
    render,
    20,
    ("steer left", "throttle"),
)
