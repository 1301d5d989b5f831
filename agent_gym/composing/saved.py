"""Policies from run directories and saved files: they act without an environment or an optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import torch

from agent_gym.composing.registry import check_modules
from agent_gym.composing.restore import restore_config, restore_policy
from agent_gym.composing.sources import NamedSource
from agent_gym.envs.adapters.boundary.space_data import make_space, space_data
from agent_gym.envs.adapters.boundary.spaces import ObsLayout, canonical_action
from agent_gym.ground.errors import UserError
from agent_gym.storage.checkpoint import load_checkpoint, open_checkpoint, save_checkpoint

Spaces = tuple[gymnasium.Space, gymnasium.Space]


class Saved(NamedTuple):
    """A policy and what it is for."""

    name: str
    """The agent, as on the command line."""
    config: Any
    policy: Any
    spaces: Spaces
    """Of observations and actions, as the environment itself has them."""
    steps: int
    """Environment steps that it has learned from."""
    longest: float = 0.0
    """Steps of the longest episode in training, where that is known."""


def open_saved(path: Path, checkpoint: str = "best", device: torch.device | str = "cpu") -> Saved:
    """The policy in a run directory or in a file that `save` wrote. Raises UserError."""
    is_file = path.is_file() or path.suffix in (".pt", ".pth")
    state = load_checkpoint(path, device) if is_file else open_checkpoint(path, checkpoint, device)
    stored = dict(state["config"])
    if "task" in stored:
        raise UserError(f"{path} is of the task {stored['task']}, which does not act: agent_gym.Model and fit predict")
    check_modules(stored, path)
    name = stored.pop("agent", None)
    config = restore_config("agent", name, stored)
    spaces = stored_spaces(state, config)
    obs_space, action_space = ObsLayout(spaces[0]).space, canonical_action(spaces[1])
    policy = restore_policy(name, config, obs_space, action_space, state["agent"].get("model"), device)
    steps, longest = (state["agent"].get(key) for key in ("steps", "longest_episode"))
    steps = steps if isinstance(steps, int) else 0
    return Saved(name, config, policy, spaces, steps, min(longest, 1e9) if isinstance(longest, float) else 0.0)


def stored_spaces(state: dict, config: Any) -> Spaces:
    """The spaces of a checkpoint; of one from before they were stored, those of its environment."""
    spaces = state.get("spaces")
    if isinstance(spaces, dict):
        return make_space(spaces.get("obs")), make_space(spaces.get("action"))
    single = NamedSource(config).single()
    single.close()
    return single.observation_space, single.action_space


def save(path: Path, saved: Saved, config: dict) -> None:
    """Write a policy with all that acting needs to one file; `config` is its plain data. Raises UserError."""
    spaces = {"obs": space_data(saved.spaces[0]), "action": space_data(saved.spaces[1])}
    state = {"model": saved.policy.state_dict(), "steps": saved.steps, "longest_episode": saved.longest}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another path") from error
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file, such as {path / 'policy.pt'}")
    save_checkpoint(path, {"config": config, "spaces": spaces, "agent": state})
