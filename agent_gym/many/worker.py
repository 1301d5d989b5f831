"""Seeds in a process of their own, several as one program: python -m agent_gym.many.worker GROUP 0,1 [GROUP 0,1 ...].

What it prints goes to the log that its standard error is; standard output carries a JSON object a line to the process
that started it, with which it ends: once its standard input closes, it leaves at once, as if it had been killed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from agent_gym.commands.line.messages import reported
from agent_gym.ground.stdout import STDERR, STDIN, STDOUT
from agent_gym.many.group import Group

FORSAKEN = 3  # exit code without a parent


class Reporter:
    """A callback that tells the parent how far the run is."""

    def __init__(self, pipe: TextIO, seed: int, part: int = 0) -> None:
        """`part`: which of the worker's groups the seed belongs to."""
        self.pipe, self.whose = pipe, {"seed": seed, "part": part}

    def tell(self, what: dict[str, Any]) -> None:
        try:
            self.pipe.write(json.dumps(what | self.whose) + "\n")
            self.pipe.flush()
        except BrokenPipeError:
            os._exit(FORSAKEN)

    def on_evaluation(self, view: Any) -> None:
        score = view.scalars.get("eval/episode_return", view.scalars.get("val/loss"))
        self.tell({"step": view.steps, "score": score})

    def on_update(self, view: Any) -> None:
        self.tell({"step": view.steps})


def end_with_parent() -> None:
    """Leave when standard input closes, which the parent holds open until it ends, however that comes."""

    def listen() -> None:
        while os.read(STDIN, 4096):
            pass
        os._exit(FORSAKEN)

    threading.Thread(target=listen, name="parent", daemon=True).start()


def run_seed(group: Group, seed: int, source_of: Any = None, callbacks: tuple = ()) -> int:
    """Train one seed to the end, on from where it stands; returns the exit code. Raises UserError.

    `source_of`: makes the source of environments from the settings, where a program has handed them over.
    """
    from agent_gym.composing.agent_run import train_agent
    from agent_gym.composing.registry import check_modules
    from agent_gym.composing.restore import restore_config
    from agent_gym.composing.resume import reopen
    from agent_gym.composing.sources import NamedSource
    from agent_gym.composing.task_run import train_task

    stored, source_of = group.stored, source_of or NamedSource

    def train(name: str, config: Any, run: Any = None) -> int:
        if stored.kind == "task":
            return train_task(name, config, run, callbacks=callbacks)[0].code
        return train_agent(name, config, source_of(config), run, callbacks=callbacks)[0].code

    if group.begun(seed):
        resumed = reopen(group.folder(seed), dict(stored.changes), given_env=source_of is not NamedSource)
        with closing(resumed.run):
            return train(resumed.name, resumed.config, resumed.run)
    if source_of is NamedSource:
        check_modules({stored.kind: stored.name} | stored.config, group.path)
    config = restore_config(stored.kind, stored.name, stored.config | stored.changes)
    at_first = {"encoder_from": stored.config["encoder_from"]} if stored.config.get("encoder_from") else {}
    return train(stored.name, replace(config, **group.own(seed), **at_first))


@reported
def main(argv: list[str]) -> int:
    groups = [Group.open(Path(path)) for path in argv[::2]]
    parts = [(group, [int(seed) for seed in text.split(",")]) for group, text in zip(groups, argv[1::2], strict=True)]
    places = [(group, seed) for group, seeds in parts for seed in seeds]
    pipe = os.fdopen(os.dup(STDOUT), "w")
    os.dup2(STDERR, STDOUT)
    end_with_parent()
    if len(places) == 1:
        return run_seed(*places[0], callbacks=(Reporter(pipe, places[0][1]),))
    from agent_gym.many.stacked import NotTogether, train_stacked

    try:
        return train_stacked(places, lambda group, seed: (Reporter(pipe, seed, groups.index(group)),))
    except NotTogether as reason:
        print(f"trained run by run: {reason}")
        Reporter(pipe, places[0][1]).tell({"step": 0, "alone": str(reason)})
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
