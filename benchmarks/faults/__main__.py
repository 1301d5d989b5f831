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
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent_gym.agents import AGENTS
from agent_gym.composing.looking import diagnosing
from agent_gym.diagnosis.environment import probe as probing
from agent_gym.diagnosis.stored import to_plain
from benchmarks.faults import envs as fault_envs  # noqa: F401  registers its environments
from benchmarks.faults.jobs import Job, cures, faulty_jobs, full_config, healthy_jobs, interleaved
from benchmarks.faults.report import report

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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
