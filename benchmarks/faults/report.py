"""The tables of benchmarks.faults: what was named, false alarms, and what cures reach."""

from __future__ import annotations

from pathlib import Path

from agent_gym.agents import AGENTS
from agent_gym.diagnosis.diagnose import findings_of
from agent_gym.diagnosis.stored import from_plain
from benchmarks.faults import envs as fault_envs  # noqa: F401  registers its environments
from benchmarks.faults.jobs import FIRST, Job, causes_of, cures, faulty_jobs, healthy_jobs, load, score_of
from benchmarks.faults.problems import PROBLEMS


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
