"""A task's run put together: data, network and scores around the loop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from agent_gym.commands.line.invocation import after_task, resume
from agent_gym.composing.agent_run import threads
from agent_gym.composing.cost import task_cost
from agent_gym.composing.restore import starting_weights
from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.watch import Watcher
from agent_gym.ground.errors import UserError
from agent_gym.nets.ranks import RANKS
from agent_gym.storage.charts import TASK_CHARTS
from agent_gym.storage.run import Run
from agent_gym.tasks import load_task, task_class
from agent_gym.tasks.task import Task
from agent_gym.training.callbacks import Callbacks
from agent_gym.training.device import choose_device
from agent_gym.training.loop import Moment
from agent_gym.training.running import run_session
from agent_gym.training.session import Conclusion, Ending, Session


def make_task(name: str, config: Any, run: Run | None, device: torch.device) -> Any:
    """The task with its data, and with the weights of `run` if there is one. Raises UserError."""
    torch.set_num_threads(config.num_threads or config.usual_threads)
    torch.manual_seed(config.seed)
    with starting_weights(getattr(config, "encoder_from", "")):
        if run is None:
            task = task_class(name)(config, device)
        else:
            task = load_task(name, config, run.state["agent"].get("model"), device)
    if config.log_layers:
        task.watch_layers()
    return task


def measured(name: str, config: Any, device: torch.device) -> float:
    """Seconds of an optimizer step; lessons and studies, which are more than one network, are small: the CPU's."""
    task = make_task(name, config, None, torch.device("cpu"))
    if not isinstance(task, Task):
        return float(device.type != "cpu")
    return task_cost(task, device)


def train_task(
    name: str, config: Any, run: Run | None = None, notes: Iterable[str] = (), callbacks: Iterable[Any] = ()
) -> tuple[Ending, Any]:
    """Load the data, build the network and train; the ending and the task with its best weights."""
    former = "" if run is None else str(run.state.get("made_with", {}).get("device", ""))
    device = choose_device(config.device, lambda device: measured(name, config, device), former=former).device
    task = make_task(name, config, run, device)
    return run_task(task, name, config, device, run, notes, callbacks), task


def run_task(
    task: Any,
    name: str,
    config: Any,
    device: torch.device,
    run: Run | None = None,
    notes: Iterable[str] = (),
    callbacks: Iterable[Any] = (),
) -> Ending:
    """Train a task that is made already."""
    layers = task.layers()

    def conclude(moment: Moment) -> Conclusion:
        metrics = task.test()
        score = metrics[task.headline]
        fields = {"task": name, "metrics": metrics}
        return Conclusion(fields, f"test/{task.headline}", score, task.report(metrics), task.images())

    if config.profile == "try" and not isinstance(task, Task):
        raise UserError(f"--profile try measures agents and tasks of labelled rows: for {name} expected --profile yes")
    usual = asdict(type(config)())
    case = Case("task", name, asdict(config) | {"epochs": getattr(task, "epochs", 0)}, usual, live=True)
    if RANKS.size > 1 and not isinstance(task, Task):
        raise UserError(f"{name} has no rows to share out: start it without torchrun")
    session = Session(
        name=name,
        subject=task.subject,
        group=name if task.subject == "bundled" else task.subject,
        charts=TASK_CHARTS,
        config={"task": name} | asdict(config),
        trainee=task,
        evaluate=lambda moment: task.evaluate(),
        conclude=conclude,
        commands=lambda run: after_task(run, task.predicts, task.longer, config.scheduled),
        resume=resume,
        headline="train/loss",
        samples=task.samples,
        eval_every=task.eval_every,
        checkpoint_every=task.checkpoint_every,
        notes=(*notes, *task.about, f"device {device}, {threads()}", layers),
        layers=lambda: layers,
        callbacks=Callbacks((Watcher(case), *callbacks)),
    )
    ending = run_session(session, run, device)
    if config.profile != "no" and ending.code == 0:
        from agent_gym.composing.looking.profiling import measure_task, profile_of, tell

        count = sum(parameter.numel() for parameter in task.model.parameters())
        profile = profile_of(config, session.stopwatch, task.steps, count)
        tell(profile, config, partial(measure_task, profile, name, config, getattr(task, "epochs", 0)))
    return ending
