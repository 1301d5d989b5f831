"""Forbidden actions in many steps of a masked game: python -m benchmarks.learning.masks RUN [--steps 1000000].

RUN: a run on AgentGym/FollowSuit-v0, whose episodes end before their 32 steps by a forbidden action alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from agent_gym.composing.saved import open_saved
from agent_gym.envs.make import make_env

ENVS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--steps", type=int, default=1_000_000)
    arguments = parser.parse_args()
    policy = open_saved(Path(arguments.run)).policy
    env = make_env("AgentGym/FollowSuit-v0", ENVS)
    obs, state = env.reset(0), policy.initial_state(ENVS)
    reset = torch.ones(ENVS, dtype=torch.bool)
    generator, forbidden, total = torch.Generator().manual_seed(0), 0, 0.0
    steps = -(-arguments.steps // ENVS)
    for _ in range(steps):
        mask = env.mask
        action, state, _ = policy.act(obs, state, reset, mask, explore=True, generator=generator)
        forbidden += int((~mask.gather(1, action.unsqueeze(1))).sum())
        step = env.step(action)
        assert bool(step.terminated.any()) == bool(forbidden), "the game disagrees about what is forbidden"
        obs, reset, total = step.obs, step.truncated, total + float(step.reward.sum())
    episodes = steps * ENVS / 32
    print(
        f"{steps * ENVS:,} steps with drawn actions: {forbidden} forbidden; mean return {total / episodes:.3f} of 1.0"
    )


if __name__ == "__main__":
    main()
