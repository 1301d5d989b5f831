"""Train all seeds of a group, a process a core, and say what they have come to."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from agent_gym.agents.stacked import AGENTS
from agent_gym.commands.line.invocation import command, logdir, quoted, resume
from agent_gym.commands.runs import measure
from agent_gym.ground.errors import UserError, unwritable
from agent_gym.ground.threads import usable_cores
from agent_gym.many.engines import Engine
from agent_gym.many.group import Group
from agent_gym.many.reading import curves_of
from agent_gym.many.statistics import interval
from agent_gym.storage.band import write_band
from agent_gym.storage.files import write_text
from agent_gym.storage.lock import RunLock
from agent_gym.training.score import interquartile_mean
from agent_gym.training.signals import StopSignal

LOOK = 0.5  # seconds between looks at whether to stop


def train_group(group: Group, *, cores: int = 0, quiet: bool = False, engine: Engine | None = None) -> int:
    """Train what is left to train. Returns the exit code; raises UserError where a seed cannot be trained.

    `cores`: runs side by side; 0: as many as there are usable cores, or as the engine's cluster holds.
    """
    lock = RunLock(group.path)
    try:
        if engine is not None and engine.engine != "auto":
            group.set_together(())
        failed, code = run_all(group, cores, quiet, (engine or Engine()).checked())
        if code and not failed:
            print(f"stopped: all seeds are saved; go on with: {resume(group.path)}")
            return code
        if failed:
            raise UserError(f"{failed}; the other seeds are saved: mend it, then go on with {resume(group.path)}")
        finish(group, quiet)
    finally:
        lock.release()
    return 0


def run_all(group: Group, cores: int, quiet: bool, engine: Engine) -> tuple[str, int]:
    """Train every seed that has no result. What went wrong ("": nothing), and the exit code of a signal (0: none)."""
    left = [seed for seed in group.seeds if group.result(seed) is None]
    waiting = batches(group, left)
    done, left, failed, told = len(group.seeds) - len(left), len(left), "", False
    started, say = time.monotonic(), (lambda text: None) if quiet else teller
    with engine.pool() as pool, StopSignal() as stop:  # in this order: Ray takes the signals for itself
        while pool.workers or (waiting and not failed and not stop):
            while waiting and len(pool.workers) < (cores or pool.capacity()) and not failed and not stop:
                pool.start((group, waiting.pop(0)))
            if (stop or failed) and not told:
                pool.stop()
                told = True
            for worker, event in pool.events(LOOK):
                if not isinstance(event, int) or told:
                    continue
                if event:
                    failed = f"{called(worker.seeds)}: {worker.problem()} (log: {worker.log})"
                    continue
                if worker.alone:
                    say(f"{called(worker.seeds)}: run by run, since {worker.alone}")
                    group.set_together(tuple(batch for batch in group.stored.together if worker.seed not in batch))
                    waiting += [(seed,) for seed in worker.seeds]
                    continue
                done += len(worker.seeds)
                rest = (time.monotonic() - started) / (done - len(group.seeds) + left) * (len(group.seeds) - done)
                for seed in worker.seeds:
                    value = measure(group.result(seed) or {})[1]
                    score = "no score" if value is None else f"{value:.4g}"
                    say(f"seed {seed}: {score}   {done} of {len(group.seeds)}, {rest:.0f} s left")
        return failed, stop.exit_code


def called(seeds: tuple[int, ...]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def batches(group: Group, left: list[int]) -> list[tuple[int, ...]]:
    """The seeds that are left, as processes are to take them."""
    together = [tuple(seed for seed in batch if seed in left) for batch in group.stored.together]
    known = {seed for batch in together for seed in batch}
    return [batch for batch in together if batch] + [(seed,) for seed in left if seed not in known]


def shared_out(name: str, seeds: tuple[int, ...], cores: int, engine: str) -> tuple[tuple[int, ...], ...]:
    """Seeds that processes train together, as many processes as there are cores; whether they can, those will say."""
    if engine != "auto" or name not in AGENTS:
        return ()
    count = min(cores, len(seeds))
    edges = [len(seeds) * k // count for k in range(count + 1)]
    return tuple(seeds[low:high] for low, high in pairwise(edges) if high - low > 1)


def teller(text: str) -> None:
    print(text, flush=True)


def finish(group: Group, quiet: bool) -> dict[str, Any]:
    """Write result.json and the curves of all seeds together, and print what they say."""
    found = summary(group)
    curves = None
    if group.stored.kind == "agent":
        curves = curves_of([group.folder(seed) for seed in group.seeds])
    try:
        write_text(group.path / "result.json", json.dumps(found, indent=2) + "\n")
        if curves is not None:
            from agent_gym.many.pictures import seed_curves

            steps, values = curves
            picture = seed_curves(steps, values, f"{group.stored.name} on {group.stored.config.get('env', '')}")
            quartiles = dict(zip(("lower quartile", "median", "upper quartile"), _quartiles(values), strict=True))
            write_band(group.path, "seeds/episode_return", steps, quartiles, picture)
    except OSError as error:
        raise unwritable("what the seeds say together", group.path, error, f"{resume(group.path)}") from error
    print_summary(group, found)
    if not quiet:
        print(f"{command('evaluate')} {quoted(group.path)}   score all seeds again")
        what = "every seed" if curves is None else f"every seed; the median and its quartiles in {group.path.name}"
        print(f"tensorboard --logdir {logdir(group.path)}   {what}")
    return found


def _quartiles(values: np.ndarray) -> np.ndarray:
    return np.percentile(values, (25, 50, 75), axis=0)


def summary(group: Group) -> dict[str, Any]:
    """What result.json of a group holds. Raises UserError where a seed has no result."""
    results = group.results()
    if missing := [seed for seed in group.seeds if seed not in results]:
        raise UserError(f"seed {missing[0]} of {group.path} has no result: go on with {resume(group.path)}")
    names = [measure(results[seed]) for seed in group.seeds]
    scores = np.array([np.nan if value is None else value for _, value in names])
    told = {} if not np.isfinite(scores).all() else together(scores)
    return {
        "measure": names[0][0],
        "seeds": list(group.seeds),
        "scores": [value for _, value in names],
        **told,
        "wall_time": sum(result.get("wall_time", 0.0) for result in results.values()),
        "total_steps": sum(result.get("total_steps", 0) for result in results.values()),
    }


def together(scores: np.ndarray) -> dict[str, Any]:
    """What finite scores [N], one a seed, say together."""
    return {
        "mean": float(scores.mean()),
        "median": float(np.median(scores)),
        "iqm": interquartile_mean(scores),
        "iqm_ci95": list(interval({"": scores})),
    }


def print_summary(group: Group, found: dict[str, Any]) -> None:
    """A line a seed, and one for all."""
    print(f"{'seed':>6}  {found['measure']:>10}")
    for seed, score in zip(found["seeds"], found["scores"], strict=True):
        print(f"{seed:>6}  {'–' if score is None else format(score, '10.4g')}")
    if "iqm" in found:
        print(said(found, group.stored.name))


def said(found: dict[str, Any], name: str) -> str:
    """IQM and interval in a line."""
    low, high = found["iqm_ci95"]
    count = len(found["scores"])
    seeds, median = "one seed" if count == 1 else f"{count} seeds", found["median"]
    return f"{name}: IQM {found['iqm']:.4g} (95 % interval {low:.4g} to {high:.4g}) of {seeds}, median {median:.4g}"


def new_group(
    kind: str,
    name: str,
    config: Any,
    seeds: tuple[int, ...],
    path: Path | None = None,
    *,
    engine: str = "auto",
    processes: int = 0,
    of: str = "",
) -> Group:
    """A group for settings as `train` has them, with one thread a run where they leave it open. Raises UserError.

    `engine`: "auto" trains seeds together in so many `processes` (0: as there are cores), others each in its own.
    `of`: what it is a part of; a tracker nests the runs under that, else under the group.
    """
    from agent_gym.storage.run import default_run_dir
    from agent_gym.training.running import AUTOLOG

    if getattr(config, "record", ""):
        raise UserError("--record writes one data set of one run, and this is a group of them: leave it out")
    subject = getattr(config, "env", "") or getattr(config, "data", "") or name
    path = path or Path(config.run_dir or default_run_dir(subject, f"{name}-{len(seeds)}-seeds", seeds[0]))
    settings = json.loads(json.dumps(asdict(config))) | {"num_threads": config.num_threads or 1}
    if settings["track"] == "none":
        settings |= AUTOLOG
    if settings["track"] != "none":
        settings["parent_run"] = settings["parent_run"] or of or path.resolve().name
        settings["run_name"] = settings["run_name"] or (path.name if of else "")
    together = shared_out(name, seeds, processes or usable_cores(), engine)
    return Group.create(path, kind, name, settings, seeds, together)
