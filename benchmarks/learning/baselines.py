"""Returns of a random and of a simple scripted policy on the native environments.

    python -m benchmarks.learning.baselines [ENV ...] [--episodes 1000]

A scripted policy is a function (obs [B, ...], memory or None at the first step, reset [B]) -> (action, memory).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agent_gym.envs.make import make_env
from agent_gym.envs.vector import VectorEnv

Policy = Callable[[Any, Any, Tensor], tuple[Tensor, Any]]


def random_policy(space: gymnasium.Space, seed: int = 0) -> Policy:
    """Actions drawn evenly from the space."""
    generator = torch.Generator().manual_seed(seed)

    def act(obs, memory, reset):
        if isinstance(space, gymnasium.spaces.Discrete):
            return torch.randint(0, int(space.n), reset.shape, generator=generator), None
        low, high = torch.as_tensor(space.low), torch.as_tensor(space.high)
        return low + (high - low) * torch.rand(len(reset), *space.shape, generator=generator), None

    return act


def cartpole(obs, memory, reset):
    """Push to the side to which the pole leans or falls."""
    return (obs @ torch.tensor([0.02, 0.05, 1.0, 0.3]) > 0).long(), None


def cartpole_no_vel(obs, memory, reset):
    """Push to the side to which the pole leans."""
    return (obs[:, 1] > 0).long(), None


def acrobot(obs, memory, reset):
    """Torque against the swing of the first joint: it pumps energy into the arm."""
    return (obs[:, 4] < 0).long() * 2, None


def acrobot_no_vel(obs, memory, reset):
    """The same with the velocity taken from two observations."""
    angle = torch.atan2(obs[:, 1], obs[:, 0])
    speed = torch.sin(angle - torch.where(reset, angle, angle if memory is None else memory))
    return (speed < 0).long() * 2, angle


def mountain_car(obs, memory, reset):
    """Push the way the car rolls."""
    return (obs[:, 1] > 0).long() * 2, None


def mountain_car_continuous(obs, memory, reset):
    """Push the way the car rolls."""
    return torch.where(obs[:, 1:] > 0, 1.0, -1.0), None


def pendulum(obs, memory, reset):
    """Pump energy while hanging (Astrom and Furuta 2000), hold by position and velocity near the top."""
    cos, sin, speed = obs.unbind(1)
    energy = speed.square() / 6 + 5 * (cos - 1)  # 0 at rest on top
    torque = torch.where(cos > 0.8, -10 * torch.atan2(sin, cos) - 2.5 * speed, -4 * energy * speed.sign())
    return torque.clamp(-2, 2).unsqueeze(1), None


def pendulum_no_vel(obs, memory, reset):
    """The same with the velocity taken from two observations."""
    angle = torch.atan2(obs[:, 1], obs[:, 0])
    before = torch.where(reset, angle, angle if memory is None else memory)
    speed = torch.remainder(angle - before + math.pi, 2 * math.pi) - math.pi
    return pendulum(torch.cat((obs, speed.unsqueeze(1) / 0.05), dim=1), None, reset)[0], angle


def snake(obs, memory, reset):
    """Towards the apple, but never into a wall or the body if another way is free."""
    body, size = obs[..., 1] > 0, obs.shape[1]
    (_, apple_row, apple_column), (_, row, column) = (obs[..., k].nonzero().unbind(1) for k in (0, 2))
    scores = []
    for down, right in ((-1, 0), (0, 1), (1, 0), (0, -1)):
        r, c = row + down, column + right
        inside = (r >= 0) & (r < size) & (c >= 0) & (c < size)
        free = inside & ~body[torch.arange(len(r)), r.clamp(0, size - 1), c.clamp(0, size - 1)]
        scores.append(free * 100 - (r - apple_row).abs() - (c - apple_column).abs())
    return torch.stack(scores).argmax(0), None


def obstacles(obs, memory, reset):
    """Turn to the goal, or away from the nearer side where something is close ahead."""
    ranges, bearing = obs[:, :16] * 4, torch.atan2(obs[:, 18], obs[:, 17])
    ahead = ranges[:, [15, 0, 1]].amin(1)
    left, right = ranges[:, 1:5].mean(1), ranges[:, 12:16].mean(1)
    turn = torch.where(ahead < 1.0, torch.where(left > right, 1.0, -1.0), bearing.clamp(-1, 1))
    return torch.stack((torch.where(ahead < 0.6, -0.6, 0.4), turn), dim=1), None


def driving(obs, memory, reset):
    """Steer to where the road is open, at a speed that the way ahead allows."""
    ranges, speed = obs[:, :9] * 60, obs[:, 9] * 25
    angles = torch.tensor((-1.4, -0.8, -0.4, -0.15, 0.0, 0.15, 0.4, 0.8, 1.4))
    steer = (ranges * angles).sum(1) / ranges.sum(1)
    wanted = (0.45 * ranges[:, 3:6].amax(1)).clamp(5, 14)
    return torch.stack((3 * steer, wanted - speed), dim=1).clamp(-1, 1), None


def recommender(obs, memory, reset):
    """Stay with a topic as long as the user engages, else go on to the next."""
    last, success = obs[:, 16:24].argmax(1), obs[:, 24] > 0
    return torch.where(success, last, (last + 1) % 8), None


def tanks(obs, memory, reset):
    """Two PI controllers with the gains of Johansson's paper for this operating point."""
    error = obs[:, 4:6] * 10
    total = torch.where(reset.unsqueeze(1), 0.0, torch.zeros_like(error) if memory is None else memory) + 5 * error
    gains, times = torch.tensor((1.5, -0.12)), torch.tensor((110.0, 220.0))
    return (3.0 + gains * (error + total / times)).clamp(0, 10), total


def tmaze(obs, memory, reset):
    """Walk to the junction and turn up, whatever the sign said."""
    return torch.where(obs[:, 3] > 0, 0, 1), None


def repeat_previous(obs, memory, reset):
    """Room for one card: keep it until it is asked for, give it in between too, then take the next."""
    card, age = memory if memory is not None else (obs, torch.zeros_like(obs))
    fresh = reset | (age > 4)
    card, age = torch.where(fresh, obs, card), torch.where(fresh, 0, age)
    return card, (card, age + 1)


SCRIPTED: dict[str, Policy] = {
    "CartPole-v1": cartpole,
    "Acrobot-v1": acrobot,
    "MountainCar-v0": mountain_car,
    "MountainCarContinuous-v0": mountain_car_continuous,
    "Pendulum-v1": pendulum,
    "AgentGym/CartPoleNoVel-v1": cartpole_no_vel,
    "AgentGym/PendulumNoVel-v1": pendulum_no_vel,
    "AgentGym/AcrobotNoVel-v1": acrobot_no_vel,
    "AgentGym/Snake-v0": snake,
    "AgentGym/Obstacles-v0": obstacles,
    "AgentGym/Driving-v0": driving,
    "AgentGym/Recommender-v0": recommender,
    "AgentGym/Tanks-v0": tanks,
    "AgentGym/TMaze-v0": tmaze,
    "AgentGym/RepeatPrevious-v0": repeat_previous,
}


def returns(env: VectorEnv, policy: Policy, episodes: int, seed: int = 0) -> np.ndarray:
    """Returns of `episodes` episodes, an equal number from each environment; num_envs must divide it."""
    totals, scores = torch.zeros(env.num_envs, dtype=torch.float64), [[] for _ in range(env.num_envs)]
    obs, memory, reset = env.reset(seed), None, torch.ones(env.num_envs, dtype=torch.bool)
    quota = episodes // env.num_envs
    while min(len(score) for score in scores) < quota:
        action, memory = policy(obs, memory, reset)
        step = env.step(action)
        totals += step.reward
        obs, reset = step.obs, step.terminated | step.truncated
        for index in reset.nonzero().flatten().tolist():
            scores[index].append(float(totals[index]))
        totals[reset] = 0.0
    return np.array([score[:quota] for score in scores]).flatten()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env", nargs="*", default=list(SCRIPTED))
    parser.add_argument("--episodes", type=int, default=1000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for env_id in args.env:
        env = make_env(env_id, min(args.episodes, 250))
        random = returns(env, random_policy(env.action_space), args.episodes)
        scripted = returns(env, SCRIPTED[env_id], args.episodes)
        print(f"{env_id:28} random {random.mean():9.2f} ± {random.std():6.2f}   ", end="")
        print(f"scripted {scripted.mean():9.2f} ± {scripted.std():6.2f}", flush=True)


if __name__ == "__main__":
    main()
