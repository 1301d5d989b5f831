"""Why a run does not learn: agent-gym diagnose RUN [--json] [--report out.html]."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from agent_gym.commands.line.flags import read_flags
from agent_gym.commands.line.messages import reported
from agent_gym.ground.stdout import reserved_stdout


@dataclass(frozen=True)
class DiagnoseConfig:
    """Read a run's curves, settings and networks, play a little, and say what is wrong and what to type."""

    run: tyro.conf.Positional[Path]
    """The run directory that train.py made."""
    json: bool = False
    """Print one JSON object and nothing else."""
    play: bool = True
    """Play in the environment; without it, only what is written down is looked at."""
    report: Annotated[str, tyro.conf.arg(metavar="OUT.html")] = ""
    """Write a page with the curves, marked where findings lie."""


@reported
def main(argv: list[str]) -> int:
    args = read_flags(DiagnoseConfig, argv, prog="agent-gym diagnose")[0]
    return diagnose(args.run, args.json, args.report, args.play)


def diagnose(run: Path, as_json: bool, report: str = "", play: bool = True) -> int:
    """Diagnose a run and print it. Returns the exit code. Raises UserError."""
    with reserved_stdout() if as_json else nullcontext():
        from agent_gym.composing.looking.diagnosing import diagnosis  # with what plays

        found = diagnosis(run, play=play)
        if report:
            found.write(Path(report))
    print(json.dumps(found.plain()) if as_json else found)
    return 0
