"""PPO beside sb3-contrib's MaskablePPO on that package's masking example: python -m benchmarks.learning.maskable.

Say which of 80 numbers is shown while 60 others are forbidden, 100 times an episode; the example's setting (a discount
of 0.4, 5,000 steps in rollouts of 2,048, so 6,144) and the same optimizer and networks on both sides. Each is scored by
the most likely actions of 20 episodes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from sb3_contrib import MaskablePPO
from sb3_contrib.common.envs import InvalidActionEnvDiscrete
from sb3_contrib.common.maskable.evaluation import evaluate_policy

from agent_gym import PPO

STEPS = 6144
SETTING = {"num_envs": 1, "num_steps": 2048, "num_epochs": 10, "num_minibatches": 32, "learning_rate": 3e-4}
SETTING |= {"schedule": "constant", "gamma": 0.4, "gae_lambda": 0.95, "clip_coef": 0.2, "entropy_coef": 0.0}
SETTING |= {"value_coef": 0.5, "max_grad_norm": 0.5, "hidden_sizes": (64, 64), "activation": "tanh"}
SETTING |= {"normalize_obs": False, "normalize_returns": False, "quiet": True, "num_threads": 1, "eval_every": "never"}


def made() -> InvalidActionEnvDiscrete:
    return InvalidActionEnvDiscrete(dim=80, n_invalid_actions=60)


def ours(seed: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        agent = PPO(made(), seed=seed, **SETTING).learn(STEPS, run_dir=Path(folder) / "run")
        return agent.evaluate(episodes=20)["return_mean"]


def theirs(seed: int) -> float:
    model = MaskablePPO("MlpPolicy", made(), gamma=0.4, seed=seed, device="cpu").learn(STEPS)
    return float(evaluate_policy(model, made(), n_eval_episodes=20, warn=False)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    scores = []
    for seed in parser.parse_args().seeds:
        scores.append((ours(seed), theirs(seed)))
        print(f"seed {seed}: ours {scores[-1][0]:.1f}, MaskablePPO {scores[-1][1]:.1f}", flush=True)
    sides = list(zip(*scores, strict=True))
    means, medians = ([of(side) for side in sides] for of in (statistics.mean, statistics.median))
    print(f"mean: ours {means[0]:.1f}, MaskablePPO {means[1]:.1f}; median: {medians[0]:.1f}, {medians[1]:.1f}")


if __name__ == "__main__":
    main()
