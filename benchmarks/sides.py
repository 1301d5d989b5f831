"""One side of a comparison, run in a process of its own: python -m benchmarks.sides JOB.json."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch


class Curve:
    """Evaluations over steps and training seconds. Truthy once the run may stop: the threshold is reached.

    What has to reach it is an evaluation, or the mean of the latest 100 training episodes.
    """

    def __init__(self, job: dict) -> None:
        self.by_training = job["criterion"] == "training"
        self.threshold, self.may_stop = job["threshold"], job["until_threshold"]
        self.points: list[tuple[int, float, float]] = []
        self.reached: tuple[int, float] | None = None

    def add(self, steps: int, seconds: float, score: float) -> None:
        self.points.append((steps, seconds, score))
        if not self.by_training:
            self._mark(steps, seconds, score)

    def train(self, steps: int, seconds: float, returns: Sequence[float]) -> None:
        """Take in the returns of the latest training episodes, at most 100."""
        if self.by_training and len(returns) == 100:
            self._mark(steps, seconds, float(np.mean(returns)))

    def _mark(self, steps: int, seconds: float, score: float) -> None:
        if self.reached is None and self.threshold is not None and score >= self.threshold:
            self.reached = (steps, seconds)

    def __bool__(self) -> bool:
        return self.may_stop and self.reached is not None


def native(job: dict, curve: Curve) -> dict:
    """Train an agent of ours as its users do."""
    from agent_gym.algorithms import class_of
    from agent_gym.composing.scores.playing import score
    from agent_gym.composing.sources import NamedSource

    class Watch:
        """Marks the curve, and stops once the threshold is reached."""

        def on_rollout(self, run) -> None:
            self.seconds, self.env = run.seconds, run.agent.env
            curve.train(run.steps, run.seconds, run.agent.window[0].tolist())
            if curve:
                run.stop()

        def on_evaluation(self, run) -> None:
            curve.add(run.steps, run.seconds, run.scalars["eval/episode_return"])
            if curve:
                run.stop()

    settings = {**job["settings"], "seed": job["seed"], "env_kwargs": job["env_kwargs"], "quiet": True, "device": "cpu"}
    settings |= {"num_threads": job["threads"], "checkpoint_every": 10**9, "eval_episodes": 1}
    if job["eval_episodes"]:
        settings |= {"eval_every": job["eval_every"], "periodic_eval_episodes": job["eval_episodes"]}
    else:
        settings["eval_every"] = "never"
    agent, watch = class_of(job["name"])(job["env"], **settings), Watch()
    agent.learn(callbacks=[watch], run_dir=job["dir"])
    policy, final = agent._saved.policy, np.empty(0)
    if job["final_episodes"]:
        final = score(policy, NamedSource(agent.config), job["final_episodes"]).returns
    return {
        "steps": agent.steps,
        "seconds": agent.result["wall_time"],
        "final_returns": final.tolist(),
        "parameters": sum(p.numel() for p in policy.parameters()),
        "environments": f"{agent.config.num_envs} × {watch.env.backend}",
    }


def sb3(job: dict, curve: Curve) -> dict:
    """Train with Stable-Baselines3 alone, as its users do: make_vec_env, VecNormalize, learn."""
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize, sync_envs_normalization

    import agent_gym.envs  # noqa: F401 (registers AgentGym/ ids)
    from agent_gym.agents.sb3.algorithms import make_algorithm, normalized
    from agent_gym.agents.sb3.kwargs import train_scalars
    from agent_gym.ground.settings import EVAL_SEED
    from agent_gym.storage.run import Run
    from agent_gym.training.loop import Every

    settings = dict(job["settings"])
    total = settings["n_timesteps"]
    vec_env = {"dummy": DummyVecEnv, "subproc": SubprocVecEnv}[job["sb3_vec_env"]]
    make = {"env_kwargs": job["env_kwargs"]}
    venv = make_vec_env(job["env"], settings.get("n_envs", 1), seed=job["seed"], vec_env_cls=vec_env, **make)
    model = make_algorithm(job["name"], venv, settings, job["seed"], "cpu")
    run = Run.create(Path(job["dir"]), {"agent": job["name"], "side": "sb3", **job["settings"]})

    def score(episodes: int, seed: int) -> np.ndarray:
        if episodes == 0:
            return np.empty(0)
        eval_env = normalized(make_vec_env(job["env"], min(episodes, 25), seed=seed, **make), settings)
        if isinstance(eval_env, VecNormalize):
            eval_env.training = eval_env.norm_reward = False
            sync_envs_normalization(model.env, eval_env)
        try:
            return np.array(evaluate_policy(model, eval_env, episodes, return_episode_rewards=True)[0])
        finally:
            eval_env.close()

    class Watch(BaseCallback):
        """Evaluates and logs between a rollout's update and the next rollout, off the clock."""

        def _on_training_start(self) -> None:
            self.eval_due, self.log_due = Every(job["eval_every"]), Every(job["log_every"])
            self.seconds, self.started = 0.0, time.perf_counter()

        def _on_rollout_start(self) -> None:
            self.seconds += time.perf_counter() - self.started
            curve.train(model.num_timesteps, self.seconds, [episode["r"] for episode in model.ep_info_buffer])
            if self.log_due(model.num_timesteps):
                self.log()
            if self.eval_due(model.num_timesteps):
                self.evaluate()
            self.started = time.perf_counter()

        def _on_step(self) -> bool:
            return not curve

        def _on_training_end(self) -> None:
            self.seconds += time.perf_counter() - self.started
            if not curve:
                self.evaluate()

        def log(self) -> None:
            scalars = {f"train/{name}": value for name, value in train_scalars(model).items()}
            if model.ep_info_buffer:
                scalars["rollout/episode_return"] = np.mean([episode["r"] for episode in model.ep_info_buffer])
                scalars["rollout/episode_length"] = np.mean([episode["l"] for episode in model.ep_info_buffer])
            scalars["time/steps_per_second"] = model.num_timesteps / max(self.seconds, 1e-9)
            run.log(scalars, model.num_timesteps)

        def evaluate(self) -> None:
            if not job["eval_episodes"]:
                return
            mean = float(score(job["eval_episodes"], job["seed"]).mean())
            curve.add(model.num_timesteps, self.seconds, mean)
            run.log({"eval/episode_return": mean}, model.num_timesteps)

    watch = Watch()
    model.learn(total, callback=watch)
    final = score(job["final_episodes"], EVAL_SEED)
    run.close()
    return {
        "steps": model.num_timesteps,
        "seconds": watch.seconds,
        "final_returns": final.tolist(),
        "parameters": sum(p.numel() for name, p in model.policy.named_parameters() if "target" not in name),
        "environments": f"{model.n_envs} × {vec_env.__name__}",
    }


SIDES: dict[str, Callable[[dict, Curve], dict]] = {"native": native, "sb3": sb3}


def peak_megabytes() -> float:
    """Largest resident size of this process. Linux' ru_maxrss would count the parent that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def main(path: Path) -> None:
    job = json.loads(path.read_text())
    torch.set_num_threads(job["threads"])
    curve = Curve(job)
    result = SIDES[job["side"]](job, curve)
    result |= {"points": curve.points, "reached": curve.reached}
    result["peak_megabytes"] = peak_megabytes()
    path.with_name("result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
