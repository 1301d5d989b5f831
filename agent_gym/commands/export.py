"""Export a run as one file for other programs: agent-gym export RUN policy.onnx."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from agent_gym.commands.line.invocation import command
from agent_gym.commands.line.messages import reported
from agent_gym.composing.restore import restore_config
from agent_gym.composing.saved import Saved, open_saved
from agent_gym.composing.sources import NamedSource
from agent_gym.export.acting import Acting
from agent_gym.export.files import require_format, write_graph
from agent_gym.export.predicting import Predicting
from agent_gym.ground.errors import UserError
from agent_gym.ground.spaces import KEY, METHOD, choices_of
from agent_gym.storage.checkpoint import open_checkpoint
from agent_gym.storage.commit import commit
from agent_gym.storage.files import read_object
from agent_gym.tasks.predictor import Predictor
from agent_gym.tasks.tables.columns import Columns


@dataclass(frozen=True)
class ExportConfig:
    """Write the policy of a run, or the model of a task, to one file."""

    run: tyro.conf.Positional[Path]
    """The run directory."""
    file: tyro.conf.Positional[Path]
    """What to write: .onnx, or .pt2 for torch.export."""
    sampled: bool = False
    """Draw actions as in training, from noise that is an input; else the most likely one."""
    checkpoint: Literal["best", "last"] = "best"
    """The best by evaluation during training, or the latest."""


@reported
def main(argv: list[str]) -> int:
    args = tyro.cli(ExportConfig, args=argv, prog=command("export"))
    export_run(args.run, args.file, sampled=args.sampled, checkpoint=args.checkpoint)
    print(f"exported {args.file}")
    return 0


def export_run(run: Path, file: Path, *, sampled: bool = False, checkpoint: str = "best") -> None:
    """Export what a run directory has learned. Raises UserError."""
    require_format(file)
    about = {"run": run.resolve().name, "commit": commit(), "score": read_object(run / "result.json")}
    if not is_task(run):
        saved = open_saved(run, checkpoint)
        export_policy(saved, NamedSource(saved.config), file, sampled, about)
        return
    if sampled:
        raise UserError(f"--sampled is for policies, and {run} is the run of a task")
    state = open_checkpoint(run, checkpoint)
    stored = dict(state["config"])
    name = stored.pop("task", None)
    write_graph(predictor_graph(name, stored, state["agent"].get("model")), file, about | {"task": name})


def export_policy(saved: Saved, source: Any, file: Path, sampled: bool, about: dict) -> None:
    """Export a policy for the environments of `source`. Raises UserError where that cannot be."""
    require_format(file)
    policy, (obs_space, action_space) = saved.policy, saved.spaces
    if not policy.exportable:
        raise UserError(
            f"a policy of {saved.name} for {source.id} cannot be exported: expected an agent of our own whose network "
            "alone says what to do, the same one for all who act"
        )
    masked = policy.decides_by_mask and saved.config.action_mask != "no" and has_masks(source)
    graph = Acting(policy, obs_space, action_space, sampled=sampled, masked=masked)
    env_kwargs = getattr(source, "kwargs", {})
    write_graph(graph, file, {"agent": saved.name, "env": source.id, "env_kwargs": env_kwargs} | about)


def has_masks(source: Any) -> bool:
    """Whether the environments say which actions are allowed, as `envs.conventions.masks` has it."""
    env = source.single()
    try:
        if not choices_of(env.action_space):
            return False
        return env.has_wrapper_attr(METHOD) or KEY in env.reset(seed=0)[1]
    finally:
        env.close()


def is_task(run: Path) -> bool:
    return "task" in read_object(run / "config.json")


def predictor_graph(name: str, stored: dict, weights: Any) -> Predicting:
    """The model of a task as a graph. Raises UserError."""
    config = restore_config("task", name, stored)
    model = Predictor.restored(weights, config)
    spec = model.spec
    columns = Columns.restored(spec.columns, math.prod(spec.shape)) if spec.columns else None
    return Predicting(model, columns, config.threshold, getattr(config, "window", 0))
