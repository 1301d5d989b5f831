"""Does the diagnosis name seeded faults? python -m benchmarks.faults [train|cure|report] --out DIR.

`train` trains faulty and healthy runs and keeps what is known of each as DIR/<id>.json; `cure` trains again with the
flags that the diagnosis prints; `report` asks the rules of all that is kept and prints the tables. What is there
already is not trained again, so that all three may be stopped and started.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agent_gym.agents import AGENTS, config_class
from agent_gym.composing.looking import diagnosing
from agent_gym.composing.presets import preset
from agent_gym.diagnosis.diagnose import divided, findings_of
from agent_gym.diagnosis.environment import probe as probing
from agent_gym.diagnosis.stored import from_plain, to_plain
from agent_gym.tasks import config_class as task_config
from benchmarks.faults import envs as fault_envs  # noqa: F401  registers its environments
from benchmarks.faults.cases import FAULTS, HEALTHY_MORE, PROBLEMS, VARIED, Fault, base_settings

SEEDS = (0, 1)
FIRST = 2  # findings among which the fault should be
QUIET = {"quiet": True, "num_threads": 1, "device": "cpu"}


class Job(NamedTuple):
    """One run."""

    id: str
    who: str
    settings: dict[str, Any]
    fault: Fault | None = None
    half: str = ""
    problem: str = ""


def slug(text: str) -> str:
    return text.replace(" ", "-").replace("/", "-")


def healthy_jobs(folder: Path) -> list[Job]:
    """Every problem as it is and with its settings varied, and presets and defaults at short budgets."""
    jobs = []
    for problem in PROBLEMS.values():
        settings = base_settings(problem, folder)
        for number, change in enumerate(VARIED):
            made = _varied(problem.who, settings, change)
            for seed in SEEDS if number else (0, 1, 2):
                if made is not None:
                    name = f"healthy-{problem.name}-{number}-s{seed}"
                    jobs.append(Job(name, problem.who, made | {"seed": seed}, None, problem.half, problem.name))
    for number, (who, settings) in enumerate(HEALTHY_MORE):
        for seed in SEEDS:
            half = "AB"[number % 2]
            jobs.append(Job(f"healthy-more-{number}-{who}-s{seed}", who, {**settings, "seed": seed}, None, half))
    return jobs


def _varied(who: str, settings: dict[str, Any], change: dict[str, Any]) -> dict[str, Any] | None:
    """The settings with a learning rate so many times as large, or another discount where there is one."""
    config = full_config(who, settings)
    if "learning_rate" in change:
        return settings | {"learning_rate": config.learning_rate * change["learning_rate"]}
    if change and not hasattr(config, "gamma"):
        return None
    return settings | change


def faulty_jobs(folder: Path) -> list[Job]:
    """Every fault on each of its problems with each seed, the first seed of all first."""
    jobs = []
    for seed in SEEDS:
        for fault in FAULTS:
            for name in fault.problems:
                problem = PROBLEMS[name]
                settings = base_settings(problem, folder) | fault.change(problem, folder) | {"seed": seed}
                job_id = f"{slug(fault.name)}-{name}-s{seed}"
                jobs.append(Job(job_id, problem.who, settings, fault, problem.half, name))
    return jobs


def full_config(who: str, settings: dict[str, Any]) -> Any:
    """The configuration that the command would use."""
    if who in AGENTS:
        cls = config_class(who)
        values = preset(who, cls, {"env": settings["env"]})[1]
    else:
        cls, values = task_config(who), {}
    known = {field.name for field in fields(cls)}
    return cls(**{k: v for k, v in {**values, **QUIET, **settings}.items() if k in known})


PROBED: dict[tuple, dict] = {}


def remember_probes() -> None:
    """The same environment is looked at once for all runs in it."""
    plain = probing.probe

    def probe(make: Any, **options: Any) -> dict:
        key = (getattr(getattr(make, "__self__", None), "id", id(make)), options.get("limit"))
        if key not in PROBED:
            PROBED[key] = plain(make, **options)
        return PROBED[key]

    diagnosing.probe = probe


def train(job: Job, out: Path) -> dict[str, Any]:
    """Train and keep the case. A run that fails is kept as what it said."""
    from agent_gym.composing.agent_run import train_agent
    from agent_gym.composing.sources import NamedSource
    from agent_gym.composing.task_run import train_task
    from agent_gym.ground.errors import UserError

    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        kept: dict[str, Any] = {"id": job.id}
        try:
            config = full_config(job.who, job.settings | {"run_dir": str(run)})
            if job.who in AGENTS:
                ending, _ = train_agent(job.who, config, NamedSource(config))
            else:
                ending, _ = train_task(job.who, config)
            if ending.code:  # a signal: nothing to keep
                raise SystemExit(ending.code)
            case, missing = diagnosing.case_of(run)
            kept |= {"case": to_plain(case), "missing": missing}
        except UserError as error:
            kept["failed"] = str(error)
            if (run / "checkpoints").is_dir():
                try:
                    kept["case"] = to_plain(diagnosing.case_of(run)[0])
                except UserError as other:
                    kept["failed"] += f"; {other}"
    kept["seconds"] = time.process_time() - began
    path = out / f"{job.id}.json"
    path.with_suffix(".tmp").write_text(json.dumps(kept, default=_number))
    path.with_suffix(".tmp").rename(path)
    return kept


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else list(value) if isinstance(value, tuple) else str(value)


def run_all(jobs: list[Job], out: Path, limit: float) -> None:
    began = time.monotonic()
    for count, job in enumerate(jobs):
        if (out / f"{job.id}.json").exists():
            continue
        if limit and time.monotonic() - began > limit:
            return
        random.seed(0)
        torch.set_num_threads(1)
        try:
            kept = train(job, out)
            said = kept.get("failed", "") or f"{kept['seconds']:.1f} s"
        except Exception:  # told, and the others go on
            said = traceback.format_exc().splitlines()[-1]
        print(f"{count + 1}/{len(jobs)} {job.id}: {said[:200]}", flush=True)


def load(out: Path, job: Job) -> dict[str, Any] | None:
    path = out / f"{job.id}.json"
    return json.loads(path.read_text()) if path.exists() else None


def causes_of(kept: dict[str, Any]) -> list[str]:
    """What the rules call it now, faults before hints."""
    return [f.cause for f in findings_of(from_plain(kept["case"]))] if "case" in kept else []


def score_of(kept: dict[str, Any]) -> float | None:
    """The final score, larger is better."""
    result = kept.get("case", {}).get("result", {})
    if "return_mean" in result:
        return float(result["return_mean"])
    skill = kept.get("case", {}).get("data", {}).get("skill", {})
    return skill.get("test")


def cures(out: Path, folder: Path) -> list[Job]:
    """The faulty runs again, with the flags of the first two findings that have any."""
    jobs = []
    for job in faulty_jobs(folder):
        kept = load(out, job)
        if kept is None or "case" not in kept:
            continue
        remedy: dict[str, Any] = {}
        for finding in divided(findings_of(from_plain(kept["case"])))[0][:FIRST]:
            if not finding.hint or not remedy:
                remedy = finding.remedy | remedy
        if remedy:
            known = {field.name for field in fields(type(full_config(job.who, job.settings)))}
            plain = {k: tuple(v) if isinstance(v, list) else v for k, v in remedy.items() if k in known}
            jobs.append(job._replace(id=f"cured-{job.id}", settings=job.settings | plain))
    return jobs


def report(out: Path, folder: Path, verbose: bool) -> None:
    faulty, healthy = faulty_jobs(folder), healthy_jobs(folder)
    rows = [(job, kept) for job in faulty if (kept := load(out, job)) is not None]
    named: dict[str, list[bool]] = {}
    by_fault: dict[str, list[str]] = {}
    for job, kept in rows:
        found = causes_of(kept)
        hit = bool(set(found[:FIRST]) & set(job.fault.causes))
        named.setdefault(job.half, []).append(hit)
        by_fault.setdefault(job.fault.name, []).append("named" if hit else f"{job.problem}: {found[:3]}")
        if verbose and not hit:
            print(f"  missed {job.id}: wanted {job.fault.causes}, found {found[:4]} score {score_of(kept)}")
    alarms: dict[str, list[bool]] = {}
    for job in healthy:
        kept = load(out, job)
        if kept is None or "case" not in kept:
            continue
        faults = [f for f in findings_of(from_plain(kept["case"])) if not f.hint]
        alarms.setdefault(job.half, []).append(bool(faults))
        if verbose and faults:
            print(f"  alarm {job.id}: {[f.cause for f in faults]} {faults[0].evidence} score {score_of(kept)}")
    print("| half | faulty runs | named among the first two | healthy runs | false alarms |\n|---|---|---|---|---|")
    for half in ("A", "B"):
        hits, false = named.get(half, []), alarms.get(half, [])
        print(f"| {half} | {len(hits)} | {share(hits)} | {len(false)} | {sum(false)} ({share(false)}) |")
    total, wrong = sum(named.values(), []), sum(alarms.values(), [])
    print(f"| both | {len(total)} | {share(total)} | {len(wrong)} | {sum(wrong)} ({share(wrong)}) |")
    print("\n| fault | named |\n|---|---|")
    for name, told in by_fault.items():
        print(f"| {name} | {told.count('named')} of {len(told)} |")
    report_cures(out, folder, {job.id: job for job in healthy})


def report_cures(out: Path, folder: Path, healthy: dict[str, Job]) -> None:
    """How many cured runs reach what healthy runs of the problem reach, less a fifth of what those gained."""
    reached, floors = {}, {}
    for name in PROBLEMS:
        scores = [
            s
            for seed in (0, 1, 2)
            if (kept := load(out, healthy[f"healthy-{name}-0-s{seed}"])) and (s := score_of(kept)) is not None
        ]
        if scores:
            reached[name] = min(scores)
            floors[name] = kept["case"]["env"].get("random_return", 0.0) if kept else 0.0
    told: list[tuple[str, bool]] = []
    for job in cures(out, folder):
        kept, before = load(out, job), load(out, job._replace(id=job.id.removeprefix("cured-")))
        if kept is None or job.problem not in reached:
            continue
        score, was = score_of(kept), score_of(before)
        goal = reached[job.problem] - 0.2 * abs(reached[job.problem] - floors[job.problem])
        if "reward" in job.fault.name and job.who in AGENTS:
            continue  # other units of reward: the scores cannot be compared
        if was is not None and was >= goal:
            continue  # was good enough with its fault
        told.append((job.fault.name, score is not None and score >= goal))
    print(f"\ncured: {sum(ok for _, ok in told)} of {len(told)} ({share([ok for _, ok in told])})")
    for name in dict.fromkeys(name for name, _ in told):
        mine = [ok for n, ok in told if n == name]
        print(f"| {name} | {sum(mine)} of {len(mine)} |")


def share(flags: list[bool]) -> str:
    return f"{100 * sum(flags) / len(flags):.1f} %" if flags else "–"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("train", "cure", "report"), default="report")
    parser.add_argument("--out", type=Path, default=Path("faults"))
    parser.add_argument("--only", default="", help="ids that hold this")
    parser.add_argument("--seconds", type=float, default=0.0, help="start no run after so many")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args(argv)
    folder = args.out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    if args.what == "report":
        report(args.out, folder, args.verbose)
        return 0
    remember_probes()
    jobs = cures(args.out, folder) if args.what == "cure" else interleaved(faulty_jobs(folder), healthy_jobs(folder))
    run_all([job for job in jobs if args.only in job.id], args.out, args.seconds)
    shutil.rmtree(args.out / "runs", ignore_errors=True)
    return 0


def interleaved(faulty: list[Job], healthy: list[Job]) -> list[Job]:
    """Two faulty runs, a healthy one, and so on, so that what is there early tells something of all."""
    random.Random(0).shuffle(healthy)
    jobs: list[Job] = []
    while faulty or healthy:
        jobs += faulty[:2] + healthy[:1]
        faulty, healthy = faulty[2:], healthy[1:]
    return jobs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
