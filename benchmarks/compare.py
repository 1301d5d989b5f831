"""A native agent against Stable-Baselines3, side by side: python -m benchmarks.compare ppo --env CartPole-v1."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from agent_gym.agents import AGENTS, config_class
from agent_gym.agents.sb3.presets import zoo_preset
from agent_gym.agents.settings.base import parse_kwargs
from agent_gym.composing.presets import preset
from agent_gym.envs.make import make_single
from agent_gym.ground.errors import UserError
from benchmarks.matching import algo_for, defaults, matched

SHARED = (  # what both sides take from the command line as it is
    "threshold",
    "criterion",
    "until_threshold",
    "eval_episodes",
    "final_episodes",
    "threads",
    "sb3_vec_env",
)
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Compare:
    """Train a native agent and Stable-Baselines3's counterpart in turn, each in a process of its own, and compare."""

    agent: Annotated[str, tyro.conf.Positional] = "ppo"
    """The native agent; with a recurrent --encoder, ppo is compared with sb3-contrib's RecurrentPPO."""
    env: str = "CartPole-v1"
    """Gymnasium id of the environment."""
    env_kwargs: str = "{}"
    """Arguments of the environment, as JSON."""
    encoder: Literal["", "mlp", "cnn", "lstm", "gru", "rnn"] = ""
    """The native agent's encoder; empty: its default."""
    settings: Literal["matched", "defaults", "own"] = "matched"
    """matched: RL Baselines3 Zoo's for both; own: our preset against the Zoo's; defaults: Stable-Baselines3's for both,
    with one update for each step where there is a replay buffer."""
    speed: bool = False
    """Time training alone, without evaluation."""
    seeds: int = 3
    """Runs of each side, with seeds 0, 1, …; the side that goes first alternates."""
    total_steps: int = 0
    """Environment steps of both sides; 0: what the settings say."""
    threshold: float | None = None
    """Mean return to be reached; the time to it leaves evaluation out."""
    criterion: Literal["evaluation", "training"] = "evaluation"
    """What has to reach it: an evaluation, or the latest 100 training episodes."""
    until_threshold: bool = False
    """End a run once the threshold is reached."""
    eval_every: int = 0
    """Environment steps between evaluations; 0: fifty times in the run."""
    eval_episodes: int = 20
    """Episodes of each, deterministic, on Gymnasium's own environment."""
    final_episodes: int = 100
    """Episodes of the evaluation at the end."""
    threads: int = 1
    """Threads of torch, for both sides."""
    sb3_vec_env: Literal["dummy", "subproc"] = "dummy"
    """How Stable-Baselines3 steps its environments."""
    native_flags: str = "{}"
    """Fields of the native configuration that win over the settings, as JSON."""
    sb3_kwargs: str = "{}"
    """Settings that win over the Zoo's, in its names, as JSON; matched settings follow them on both sides."""
    out: str = ""
    """Directory of curves and results; empty: runs/compare-<agent>-<env>-<time>."""


def main(argv: list[str]) -> int:
    config = tyro.cli(Compare, args=argv, prog="benchmarks.compare")
    try:
        jobs, notes, out = prepare(config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    console = Console(highlight=False)
    for note in notes:
        console.print(note, style="dim")
    results: dict[str, list[dict]] = {"native": [], "sb3": []}
    for job in jobs:
        started = time.perf_counter()
        try:
            result = run_side(job, Path(job["dir"]))
        except subprocess.CalledProcessError:
            print(f"error: the {job['side']} side failed with seed {job['seed']}, see above", file=sys.stderr)
            return 1
        results[job["side"]].append(result)
        score = f"final return {np.mean(result['final_returns']):.1f} " if result["final_returns"] else ""
        console.print(
            f"{job['side']:>6} seed {job['seed']}: {result['steps']:,} steps, {result['seconds']:.1f} s of training, "
            f"{score}({time.perf_counter() - started:.0f} s in all)"
        )
    report = summarize(results, config.threshold)
    (out / "compare.json").write_text(json.dumps({"config": vars(config), "notes": notes, **report}, indent=2) + "\n")
    console.print(table(report, f"{config.agent} on {config.env}, {config.settings} settings"))
    console.print(f"curves of both: tensorboard --logdir {out}    figures: {out / 'compare.json'}")
    return 0


def prepare(config: Compare) -> tuple[list[dict], list[str], Path]:
    """The jobs in order, sides in turn, and what to tell about them. Raises UserError and UserError."""
    if config.agent not in AGENTS or config.agent == "sb3":
        raise UserError(f"{config.agent!r} is no native agent: expected one of {', '.join(AGENTS)}")
    for name in ("seeds", "eval_episodes", "final_episodes", "threads"):
        if getattr(config, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(config, name)}: expected 1 or more")
    if config.speed:
        if config.threshold is not None and config.criterion == "evaluation":
            raise UserError("--speed leaves evaluation out, and --threshold needs it: add --criterion training")
        config = replace(config, eval_episodes=0, final_episodes=0)
    env_kwargs = parse_kwargs(config.env_kwargs)
    single = make_single(config.env, env_kwargs)
    action_space = single.action_space
    single.close()
    algo = algo_for(config.agent, config.encoder)
    label, zoo = zoo_preset(algo, config.env)
    if config.settings == "defaults":
        label, zoo = "its own defaults", defaults(algo, zoo["n_timesteps"])
    zoo = zoo | parse_object("--sb3-kwargs", config.sb3_kwargs)
    notes = [f"Stable-Baselines3 {algo}: {label}"]
    if config.settings != "own":
        native, sb3, differences = matched(config.agent, config.encoder, zoo, action_space)
        notes += differences
    else:
        given = {"env": config.env, "env_kwargs": config.env_kwargs}
        native_label, native = preset(config.agent, config_class(config.agent), given)
        native, sb3 = dict(native), dict(zoo)
        if config.encoder:
            native["encoder"] = config.encoder
        notes.append(f"native {config.agent}: {native_label}")
    native |= parse_object("--native-flags", config.native_flags)
    if config.total_steps:
        native["total_steps"] = sb3["n_timesteps"] = config.total_steps
    native.setdefault("total_steps", config_class(config.agent)().total_steps)
    unknown = native.keys() - {field.name for field in fields(config_class(config.agent))}
    if unknown:
        raise UserError(f"--native-flags: {config.agent} has no {', '.join(sorted(unknown))}")
    name = config.env.replace("/", "-").replace(":", "-")
    out = Path(config.out or f"runs/compare-{config.agent}-{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    jobs = []
    sides = [("native", config.agent, native), ("sb3", algo, sb3)]
    for seed in range(config.seeds):
        for side, name, settings in sides if seed % 2 == 0 else reversed(sides):
            total = settings["total_steps" if side == "native" else "n_timesteps"]
            job = {"side": side, "name": name, "settings": settings, "seed": seed, "env": config.env}
            job |= {"env_kwargs": env_kwargs, "dir": str(out / f"{side}-{seed}"), "log_every": max(total // 200, 1)}
            job |= {"eval_every": config.eval_every or max(total // 50, 1)}
            jobs.append(job | {name: getattr(config, name) for name in SHARED})
    return jobs, notes, out


def parse_object(flag: str, text: str) -> dict:
    """A JSON object from the command line. Raises UserError."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{flag} {text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{flag} {text!r}: expected a JSON object")
    return value


def run_side(job: dict, run_dir: Path) -> dict:
    """Run one job in a fresh process; its files stand beside the run directory."""
    folder = run_dir.parent / "jobs" / run_dir.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps(job, indent=2))
    command = [sys.executable, "-m", "benchmarks.sides", str(folder / "job.json")]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": str(job["threads"]), "PYTHONPATH": paths}
    subprocess.run(command, check=True, env=environment)
    return json.loads((folder / "result.json").read_text())


def summarize(results: dict[str, list[dict]], threshold: float | None) -> dict:
    """For each figure and side: the median over seeds, and its range; the final return with an interval."""
    report: dict[str, dict] = {}
    for side, runs in results.items():
        reached = [run["reached"] for run in runs if run["reached"]]
        everyone = len(reached) == len(runs)
        report[side] = {
            "steps_per_second": spread([run["steps"] / run["seconds"] for run in runs]),
            "seconds": spread([run["seconds"] for run in runs]),
            "reached": f"{len(reached)} of {len(runs)}",
            "seconds_to_threshold": spread([seconds for _, seconds in reached]) if everyone else None,
            "steps_to_threshold": spread([steps for steps, _ in reached]) if everyone else None,
            "final_return": hierarchical_interval([np.array(run["final_returns"]) for run in runs])
            if runs[0]["final_returns"]
            else None,
            "peak_megabytes": spread([run["peak_megabytes"] for run in runs]),
            "parameters": runs[0]["parameters"],
            "environments": runs[0]["environments"],
        }
    pairs = zip(results["native"], results["sb3"], strict=True)
    times = [theirs["seconds"] / theirs["steps"] / (ours["seconds"] / ours["steps"]) for ours, theirs in pairs]
    return {"threshold": threshold, "times_faster": spread(times), "sides": report, "runs": results}


def spread(values: list[float]) -> dict:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def hierarchical_interval(returns: list[np.ndarray], resamples: int = 2000) -> dict:
    """Mean over seeds and its 95 % bootstrap interval; seeds are resampled, then the episodes [K] of each."""
    rng = np.random.default_rng(0)
    means = np.array([[rng.choice(r, len(r)).mean() for r in returns] for _ in range(resamples)])  # [R, seeds]
    picked = rng.integers(len(returns), size=means.shape)
    lo, hi = np.percentile(np.take_along_axis(means, picked, axis=1).mean(axis=1), (2.5, 97.5))
    return {"mean": float(np.mean([r.mean() for r in returns])), "ci95": [float(lo), float(hi)]}


def table(report: dict, title: str) -> Table:
    """The comparison as a table; the last column says how many times better the native side is."""
    native, sb3 = report["sides"]["native"], report["sides"]["sb3"]
    shown = Table(title=title)
    shown.add_column("median (range)")
    for column in ("native", "Stable-Baselines3", "native better by"):
        shown.add_column(column, justify="right")

    def row(label: str, key: str, form: str, better: str) -> None:
        cells, medians = [], []
        for side in (native, sb3):
            values = side[key]
            medians.append(values["median"] if values else None)
            if values is None:
                cells.append(f"reached by {side['reached']}")
                continue
            low_high = f"\n({values['min']:{form}} – {values['max']:{form}})" if values["min"] < values["max"] else ""
            cells.append(f"{values['median']:{form}}{low_high}")
        ratio = ""
        if all(medians):
            ratio = f"{medians[0] / medians[1] if better == 'more' else medians[1] / medians[0]:.1f} ×"
        shown.add_row(label, *cells, ratio)

    row("steps per second", "steps_per_second", ",.0f", "more")
    faster = report["times_faster"]
    shown.add_row("steps per second, by pair", "", "", "{median:.1f} ×\n({min:.1f} – {max:.1f})".format(**faster))
    row("training seconds", "seconds", ".2f", "less")
    if report["threshold"] is not None:
        row(f"seconds to {report['threshold']:g}", "seconds_to_threshold", ".2f", "less")
        row(f"steps to {report['threshold']:g}", "steps_to_threshold", ",.0f", "less")
    if native["final_return"]:
        returns = [side["final_return"] for side in (native, sb3)]
        cells = [f"{r['mean']:.1f}\n[{r['ci95'][0]:.1f}, {r['ci95'][1]:.1f}]" for r in returns]
        shown.add_row("final return, mean\n[95 % interval]", *cells, "")
    row("peak memory, MB", "peak_megabytes", ",.0f", "less")
    shown.add_row("parameters", f"{native['parameters']:,}", f"{sb3['parameters']:,}", "")
    shown.add_row("environments", native["environments"], sb3["environments"], "")
    return shown


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
