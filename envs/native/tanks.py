"""The quadruple-tank process (Johansson 2000): hold the levels of two tanks with two pumps that feed all four."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.native.core import Core, constant
from agent_gym.envs.native.drawing import BLUE, GREY, INK, LIGHT, ORANGE, RED, Canvas, turned

# Parameters of the paper's table at the operating point P+ (nonminimum phase): the valves send most of the water
# through the upper tanks, so that a level first has to wait for the tank above it.
AREA = (28.0, 32.0, 28.0, 32.0)  # cm²
OUTLET = (0.071, 0.057, 0.071, 0.057)  # cm²
GRAVITY = 981.0  # cm/s²
PUMP = (3.14, 3.29)  # cm³/(V s)
VALVE = (0.43, 0.34)  # share of each pump's water that goes to the lower tank
HEIGHT, MAX_VOLTS, SECONDS = 20.0, 10.0, 5  # cm, V, seconds a step, integrated one by one
STEADY = (2.3, 3.7)  # V: the targets are the levels at which the process rests under such voltages


def levels_at_rest(volts: Tensor) -> Tensor:
    """The four levels [4, B] at which the process rests under `volts` [2, B] (the paper's equation 1 set to zero)."""
    pumped = volts * _column(PUMP, volts)
    direct = pumped * _column(VALVE, volts)
    upper = pumped - direct
    flow = torch.stack((direct[0] + upper[1], direct[1] + upper[0], upper[1], upper[0]))
    return (flow / _column(OUTLET, volts)).square() / (2 * GRAVITY)


def _column(numbers: tuple[float, ...], like: Tensor) -> Tensor:
    return constant(numbers, like.device).unsqueeze(1)


def initial(num_envs: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """State [8, B]: four levels at rest, targets for tanks 1 and 2, the two voltages."""
    volts = torch.empty(2, 2, num_envs, device=device).uniform_(*STEADY, generator=generator)
    now, wanted = levels_at_rest(volts[0]), levels_at_rest(volts[1])
    return torch.cat((now, wanted[:2], volts[0]))


def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Five seconds at the voltages of action [B, 2], 0 to 10 V. The reward is -(|error 1| + |error 2|) / 20 cm."""
    volts = action.t().clamp(0.0, MAX_VOLTS)
    pumped = volts * _column(PUMP, volts)
    direct = pumped * _column(VALVE, volts)
    inflow = torch.cat((direct, (pumped - direct).flip(0)))  # pump 1 feeds tanks 1 and 4, pump 2 feeds 2 and 3
    outlet, area = _column(OUTLET, volts), _column(AREA, volts)
    levels = state[:4]
    for _ in range(SECONDS):
        outflow = outlet * (2 * GRAVITY * levels).sqrt()
        flow = inflow - outflow
        flow = torch.cat((flow[:2] + outflow[2:], flow[2:]))
        levels = (levels + flow / area).clamp(0.0, HEIGHT)
    reward = -(levels[:2] - state[4:6]).abs().sum(0) / HEIGHT
    state = torch.cat((levels, state[4:6], volts))
    return state, reward, torch.zeros_like(reward, dtype=torch.bool)


def observe(state: Tensor) -> Tensor:
    """[B, 8]: four levels / 20 cm, errors of the lower two (target - level) / 10 cm, voltages / 10 V."""
    parts = (state[:4] / HEIGHT, (state[4:6] - state[:2]) * (2 / HEIGHT), state[6:] / MAX_VOLTS)
    return torch.cat(parts).t()


def render(state: np.ndarray) -> np.ndarray:
    """The plant: tanks 3 and 4 above, 1 and 2 below with their targets, the pumps at the bottom."""
    canvas = Canvas((480, 480), (0.0, 0.0, 48.0, 48.0))
    levels, targets, volts = state[:4], state[4:6], state[6:]
    pipe = (186, 204, 222)
    # From each pump up the side to the tank above across, with a branch to the lower tank on its own side.
    for pump_x, side, own_x, other_x, top in ((8.0, 2.0, 13.0, 33.0, 46.5), (40.0, 46.0, 35.0, 15.0, 45.0)):
        canvas.line(((pump_x, 5.0), (side, 5.0), (side, top), (other_x, top), (other_x, 43.0)), pipe, 0.8)
        canvas.line(((side, 24.5), (own_x, 24.5), (own_x, 22.0)), pipe, 0.8)
    for number, (x, y) in enumerate(((10.0, 9.0), (28.0, 9.0), (10.0, 29.0), (28.0, 29.0))):
        height = 12.0 * float(levels[number]) / HEIGHT
        canvas.box(x - 0.4, y - 0.4, x + 10.4, y + 12.0, INK, 0.4)
        canvas.box(x, y, x + 10.0, y + 12.0, (243, 245, 247))
        canvas.box(x, y, x + 10.0, y + height, BLUE)
        canvas.text(f"{levels[number]:.1f}", (x + 5.0, y + 1.4), 1.9, (255, 255, 255) if height > 2.4 else INK)
        if number < 2:
            target = y + 12.0 * float(targets[number]) / HEIGHT
            canvas.line(((x - 1.2, target), (x + 11.2, target)), RED, 0.35)
            canvas.text(f"{targets[number]:.1f}", (x + (-2.6 if number == 0 else 12.6), target), 1.8, RED)
        else:
            canvas.line(((x + 5.0, y - 0.4), (x + 5.0, y - 4.0)), pipe, 1.0)
    for number, x in enumerate((8.0, 40.0)):
        canvas.circle((x, 5.0), 2.4, GREY)
        canvas.circle((x, 5.0), 2.0, LIGHT)
        share = float(volts[number]) / MAX_VOLTS
        canvas.polygon(_needle(x, share), ORANGE)
        canvas.text(f"{volts[number]:.1f} V", (x, 1.4), 1.9, INK)
    return canvas.image()


def _needle(x: float, share: float) -> list[tuple[float, float]]:
    """Points at the pump's share of its full voltage."""
    return turned([(1.8, 0.0), (-0.4, 0.35), (-0.4, -0.35)], np.pi * (1.0 - share), (x, 5.0))


_LOW = np.array([0, 0, 0, 0, -2, -2, 0, 0], np.float32)
_HIGH = np.array([1, 1, 1, 1, 2, 2, 1, 1], np.float32)

TANKS = Core(
    "AgentGym/Tanks-v0",
    spaces.Box(_LOW, _HIGH),
    spaces.Box(0.0, MAX_VOLTS, (2,)),
    200,
    initial,
    step,
    observe,
    render,
    15,
    ("pump 1", "pump 2"),
)
