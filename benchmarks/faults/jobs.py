"""The runs of benchmarks.faults: healthy, faulty and cured, and what is kept of each."""

from __future__ import annotations

import json
import random
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from agent_gym.agents import AGENTS, config_class
from agent_gym.composing.presets import preset
from agent_gym.diagnosis.diagnose import divided, findings_of
from agent_gym.diagnosis.stored import from_plain
from agent_gym.tasks import config_class as task_config
from benchmarks.faults import envs as fault_envs  # noqa: F401  registers its environments
from benchmarks.faults.cases import FAULTS, HEALTHY_MORE, VARIED, Fault
from benchmarks.faults.problems import PROBLEMS, base_settings

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


def interleaved(faulty: list[Job], healthy: list[Job]) -> list[Job]:
    """Two faulty runs, a healthy one, and so on, so that what is there early tells something of all."""
    random.Random(0).shuffle(healthy)
    jobs: list[Job] = []
    while faulty or healthy:
        jobs += faulty[:2] + healthy[:1]
        faulty, healthy = faulty[2:], healthy[1:]
    return jobs
