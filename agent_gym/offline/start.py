"""What an agent is given before it begins: data sets, a teacher, first weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_gym.composing.saved import open_saved
from agent_gym.ground.errors import UserError
from agent_gym.offline.experience import take_sets
from agent_gym.offline.teachers import make_teacher


def start_from(agent: Any, run: str) -> None:
    """Bring the weights of a run into an agent that has not begun, as far as parts have the same names.

    Raises UserError where nothing fits or a part has another shape.
    """
    saved = open_saved(Path(run), device=agent.device)
    own, theirs = agent.policy.state_dict(), saved.policy.state_dict()
    common = [name for name in theirs if name in own]
    for name in common:
        if own[name].shape != theirs[name].shape:
            raise UserError(
                f"--start-from {run}: {name} has the shape {tuple(theirs[name].shape)} there and "
                f"{tuple(own[name].shape)} here: give the environment, encoder and sizes of that run"
            )
    learned = {name for name, _ in agent.policy.named_parameters()}
    if not learned & set(common):
        raise UserError(f"--start-from {run}: a policy of {saved.name} has no part of this one's network")
    agent.policy.load_state_dict(own | {name: theirs[name] for name in common})
    agent.start_from_weights()
    new = sorted({_part(name) for name in learned if name not in theirs})
    taken = sorted({_part(name) for name in learned & set(common)})
    agent.notes.append(f"from {run}: {', '.join(taken)}" + (f"; new: {', '.join(new)}" if new else ""))


def _part(name: str) -> str:
    return ".".join(name.split(".")[:2]).removeprefix("network.")


def equip(agent: Any, config: Any, *, fresh: bool) -> None:
    """Give an agent the data sets and the teacher that its settings name, and first weights if its run is `fresh`."""
    take_sets(agent, config, agent.env)
    if getattr(config, "teacher", ""):
        agent.teacher = make_teacher(config.teacher, agent.env, Path(config.run_dir or "runs/new"))
    if fresh and getattr(config, "start_from", ""):
        start_from(agent, config.start_from)
