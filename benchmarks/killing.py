"""Training processes that are killed outright at random moments and go on."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from agent_gym.storage import tensor_file

MODULES = (  # imported before the fork, with what torch imports when it is first used
    *(
        "train",
        "evaluate",
        "agent_gym.commands.playing.evaluating",
        "agent_gym.composing.agent_run",
        "agent_gym.composing.resume",
        "agent_gym.composing.task_run",
        "agent_gym.envs.adapters.workers",
        "agent_gym.agents.ppo",
        "agent_gym.agents.dqn",
        "agent_gym.agents.sac",
        "agent_gym.agents.td3",
        "agent_gym.tasks.plots",
        "agent_gym.tasks.tables.table",
        "agent_gym.tasks.senses.digits",
    ),
)
AT_THE_START, IN_A_SAVE = 0.15, 0.5  # shares of the kills: while a process still gets going, and while it saves


class Spot(NamedTuple):
    """A place in a program where it dies: within the `time`-th call of a function, after `calls` calls in there."""

    function: str
    """module:name, as its caller finds it."""
    time: int = 1
    calls: int = 300

    def lay(self) -> None:
        """Have this process killed there, by SIGKILL."""
        module, name = self.function.split(":")
        owner, times, left = import_module(module), 0, self.calls
        real = getattr(owner, name)

        def tread(*_: object) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def mined(*args: Any, **options: Any) -> Any:
            nonlocal times
            times += 1
            if times == self.time:
                sys.setprofile(tread)
            try:
                return real(*args, **options)
            finally:
                sys.setprofile(None)

        setattr(owner, name, mined)


class Narrow(NamedTuple):
    """A program that finds so much address space and no more."""

    size: int
    """Bytes."""

    def lay(self) -> None:
        """Give this process no more from here on."""
        resource.setrlimit(resource.RLIMIT_AS, (self.size, self.size))


def _run(script: str, argv: list[str], folder: str, output: str, errors: str, lay: Spot | Narrow | None) -> None:
    """The body of a process: a script with these arguments, in `folder`."""
    os.chdir(folder)
    write_to(output, errors)
    main = import_module(script).main
    if lay is not None:
        lay.lay()
    sys.exit(main(argv))


def write_to(output: str, errors: str) -> None:
    """Have what this process prints added to two files."""
    for path, descriptor in ((output, 1), (errors, 2)):
        with open(path, "a") as file:
            os.dup2(file.fileno(), descriptor)


def fork(
    script: str, argv: list[str], folder: Path, output: Path, errors: Path, lay: Spot | Narrow | None = None
) -> BaseProcess:
    """A script's `main` in a process of its own, forked from one that has imported the libraries and done nothing yet.

    What it prints is added to the files `output` and `errors`.
    """
    return forked(_run, script, argv, str(folder), str(output), str(errors), lay)


def forked(target: Callable[..., None], *args: Any) -> BaseProcess:
    """A function of a module, in a process that is forked so."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(MODULES))
    process = context.Process(target=target, args=args)
    process.start()
    return process


def start(argv: list[str], folder: Path, output: Path, spot: Spot | None = None) -> BaseProcess:
    """`train.py` by `fork`; it dies at `spot`, if it comes by."""
    return fork("train", [*argv, "--quiet"], folder, output, output, spot)


def left_alone(flags: list[str], run: Path) -> None:
    """Train to the end. Raises RuntimeError with the output if that fails."""
    output = run.with_suffix(".txt")
    _finish(start([*flags, "--run-dir", run.name], run.parent, output), output)


def killed_at(spot: Spot, flags: list[str], run: Path) -> dict[str, Any]:
    """Train until the process dies at `spot`, and then to the end; what its last checkpoint held in between.

    Raises RuntimeError where it ends otherwise than by that, or cannot go on.
    """
    output = run.with_suffix(".txt")
    process = start([*flags, "--run-dir", run.name], run.parent, output, spot)
    process.join()
    if process.exitcode != -signal.SIGKILL:
        raise RuntimeError(f"{spot} was not come by, exit code {process.exitcode}: {output.read_text()[-2000:]}")
    saved = tensor_file.read(run / "checkpoints" / "last.pt")
    _finish(start(["--resume", run.name], run.parent, output), output)
    return saved


def _finish(process: BaseProcess, output: Path) -> None:
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"exit code {process.exitcode}: {output.read_text()[-2000:]}")


@dataclass
class Kills:
    """How often a run was killed, and how often while it wrote a checkpoint."""

    count: int = 0
    inside_a_save: int = 0


def killed(flags: list[str], run: Path, kills: int, log_bytes: int, rng: random.Random) -> Kills:
    """Train to the end, killed about `kills` times on the way and continued each time.

    The moments are drawn in bytes of TensorBoard events, so that they do not depend on the machine's speed; `log_bytes`
    are those of a run left alone. Raises RuntimeError where a process ends otherwise than by being killed.
    """
    done, output = Kills(), run.with_suffix(".txt")
    for _ in range(kills):
        before, lying_about = _events(run), _half_saved(run)
        process = start(_go_on(flags, run), run.parent, output)
        _wait(process, run, before, rng.uniform(0.0, log_bytes / (kills + 1)), rng)
        process.kill()
        process.join()
        if process.exitcode == 0:  # done before it was caught
            return done
        if process.exitcode > 0:
            raise RuntimeError(f"exit code {process.exitcode}: {output.read_text()[-2000:]}")
        done.count += 1
        done.inside_a_save += bool(_half_saved(run) - lying_about)
    _finish(start(_go_on(flags, run), run.parent, output), output)
    return done


def _go_on(flags: list[str], run: Path) -> list[str]:
    if any((run / "checkpoints" / f"{name}.pt").exists() for name in ("last", "previous")):
        return ["--resume", run.name]
    shutil.rmtree(run, ignore_errors=True)
    return [*flags, "--run-dir", run.name]


def _wait(process: BaseProcess, run: Path, before: set[Path], size: float, rng: random.Random) -> None:
    """Until the process has written `size` bytes of events, and then into its next checkpoint or for a moment."""
    kind = rng.random()
    if kind < AT_THE_START:
        time.sleep(rng.uniform(0.0, 0.5))
        return
    while process.exitcode is None and sum(path.stat().st_size for path in _events(run) - before) <= size:
        time.sleep(0.001)
    if kind < AT_THE_START + IN_A_SAVE:
        there = _files(run)
        while process.exitcode is None and not _files(run) - there:
            time.sleep(0.0002)
        time.sleep(rng.uniform(0.0, 0.004))
    else:
        time.sleep(rng.uniform(0.0, 0.02))


def event_bytes(run: Path) -> int:
    """Size of the TensorBoard events of a run that is done, without those of its end."""
    return sum(tensor_file.read(run / "checkpoints" / "last.pt")["events"].values())


def _events(run: Path) -> set[Path]:
    return set(run.glob("events.out.tfevents.*"))


def _files(run: Path) -> set[Path]:
    """What appears when a save begins: a temporary file or a segment of the replay buffer."""
    return {*run.glob("checkpoints/*.tmp"), *run.glob("checkpoints/replay/*")}


def _half_saved(run: Path) -> set[tuple[str, int]]:
    """Names and times of files that lie about as only a save in progress leaves them."""
    last, previous = (run / "checkpoints" / f"{name}.pt" for name in ("last", "previous"))
    listed = {entry["name"] for entry in (*_segments(last), *_segments(previous))}
    found = [*run.glob("checkpoints/*.tmp"), *(p for p in run.glob("checkpoints/replay/*") if p.name not in listed)]
    if previous.exists() and not last.exists():
        found.append(previous)
    return {(path.name, path.stat().st_mtime_ns) for path in found}


def _segments(checkpoint: Path) -> list[dict]:
    return tensor_file.read(checkpoint).get("segments", []) if checkpoint.exists() else []
