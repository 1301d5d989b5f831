"""Two groups of runs side by side: agent-gym compare RUNS_A RUNS_B [--json] [--report out.html]."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from agent_gym.commands.line.flags import read_flags
from agent_gym.commands.line.messages import reported
from agent_gym.ground.errors import UserError
from agent_gym.ground.stdout import reserved_stdout


@dataclass(frozen=True)
class CompareConfig:
    """Interquartile means with stratified bootstrap intervals, and the chance that a run of A beats one of B."""

    runs_a: tyro.conf.Positional[Path] = Path()
    """A folder with one run a seed."""
    runs_b: tyro.conf.Positional[Path] = Path()
    """The other one."""
    json: bool = False
    """Print one JSON object and nothing else."""
    report: Annotated[str, tyro.conf.arg(metavar="OUT.html")] = ""
    """Write a page with performance profiles and sample-efficiency curves."""


@reported
def main(argv: list[str]) -> int:
    args = read_flags(CompareConfig, argv, prog="agent-gym compare")[0]
    if Path() in (args.runs_a, args.runs_b):
        raise UserError("compare takes two folders with runs: agent-gym compare RUNS_A RUNS_B")
    with reserved_stdout() if args.json else nullcontext():
        from agent_gym.many.comparison import compare
        from agent_gym.many.report import print_comparison, require_place, write_report

        if args.report:
            require_place(Path(args.report))
        found = compare(args.runs_a, args.runs_b)
        if args.report:
            write_report(found, Path(args.report))
    if args.json:
        print(json.dumps(found.plain()))
        return 0
    print_comparison(found)
    if args.report:
        print(f"wrote {args.report}")
    return 0
