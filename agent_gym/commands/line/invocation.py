"""Commands that work as printed, where the user stands."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

SCRIPTS = ("train", "evaluate")


def command(name: str) -> str:
    """How the user calls the command `name` (train or evaluate): as this process was called, if it was by a command."""
    called = Path(sys.argv[0])
    if called.stem in SCRIPTS and called.suffix == ".py":
        script = called.with_name(f"{name}.py")
        return f"python {quoted(script)}"
    if called.name == "agent-gym" or shutil.which("agent-gym"):
        return f"agent-gym {name}"
    return f"python -m agent_gym {name}"


def quoted(path: Path) -> str:
    """A path as a shell takes it, from the current folder on where it lies below that."""
    absolute, here = Path(os.path.abspath(path)), Path.cwd()
    return shlex.quote(str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute))


def logdir(run: Path) -> str:
    """The folder for TensorBoard: runs/ where the run lies in it, else the run itself."""
    first = run.parts[0] if run.parts else ""
    return "runs" if first == "runs" and not run.is_absolute() else quoted(run)


def resume(run: Path) -> str:
    """The command that goes on with a run."""
    return f"{command('train')} --resume {quoted(run)}"


WHOLE = " --schedule-over whole"  # without it schedules that have come to their end stay there


def after_agent(run: Path, steps: int, scheduled: bool) -> list[tuple[str, str]]:
    """What to type after an agent's run of `steps` steps, and what for; `scheduled`: something falls over the run."""
    score = "score it again; --watch opens a window, --video out.mp4 records"
    return [
        (f"{command('evaluate')} {quoted(run)}", score),
        (f"tensorboard --logdir {logdir(run)}", "curves"),
        (f"{resume(run)} --total-steps {2 * steps}{WHOLE * scheduled}", "train on"),
    ]


def after_task(run: Path, predicts: bool, longer: str, scheduled: bool) -> list[tuple[str, str]]:
    """What to type after a task's run, and what for; `longer`: the flag for a run twice as long."""
    score = "score it again; --data NEW.csv --predict OUT.csv predicts" if predicts else "the figures again"
    return [
        (f"{command('evaluate')} {quoted(run)}", score),
        (f"tensorboard --logdir {logdir(run)}", "curves and pictures"),
        (f"{resume(run)} {longer}{WHOLE * scheduled}", "train on"),
    ]
