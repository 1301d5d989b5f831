"""Configurations and policies from the plain data and tensors of checkpoints, which anybody may have written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from agent_gym import agents, tasks
from agent_gym.ground.budget import parameter_budget
from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import from_plain, reason, short
from agent_gym.ground.tensors import all_finite
from agent_gym.nets.encoders.transfer import encoder_weights
from agent_gym.storage.encoder_file import read_encoder


def restore_config(kind: str, name: Any, stored: Any) -> Any:
    """The configuration of an "agent" or a "task" from its plain-data form, every value checked. Raises UserError."""
    home = {"agent": agents, "task": tasks}[kind]
    known = agents.AGENTS if kind == "agent" else tasks.TASKS
    if not isinstance(name, str) or (name not in known and ":" not in name):
        raise UserError(f"the run was made by {short(name)}, which is no {kind} here: expected {', '.join(known)}")
    try:
        config = from_plain(home.config_class(name), stored)
    except TypeError as error:
        raise UserError(f"the stored configuration does not fit {name} ({error}): it is of another version") from None
    # The weights of --encoder-from, and what became of them, are in the checkpoint.
    return replace(config, encoder_from="") if hasattr(config, "encoder_from") else config


def restore_policy(name: str, config: Any, obs_space: Any, action_space: Any, weights: Any, device: Any) -> Any:
    """The policy of a checkpoint, for the canonical spaces of its environment. Raises UserError if it does not fit."""
    try:
        with parameter_budget(weights):
            policy = agents.agent_class(name).policy_class(obs_space, action_space, config).to(device)
        policy.load_state_dict(weights)
    except UserError:
        raise
    except Exception as error:  # whatever a foreign file leads to
        raise UserError(f"the weights do not fit {name} in {config.env} as it is now: {reason(error)}") from error
    if not all_finite(list(policy.parameters())) or any(part.isnan().any() for part in policy.buffers()):
        raise UserError("the weights hold NaN or infinite numbers: use another checkpoint")
    return policy


def check_num_envs(config: Any, state: dict) -> None:
    """Refuse a configuration of other environments than the saved state `state` has. Raises UserError."""
    algorithm = state.get("algorithm")  # of Stable-Baselines3
    starts = algorithm.get("last_episode_starts") if isinstance(algorithm, dict) else state.get("reset")
    known = isinstance(starts, torch.Tensor) and starts.dim() == 1 and len(starts) > 0
    ranks = state.get("ranks")  # of training.distributed
    rows = len(starts) * (1 + len(ranks) if isinstance(ranks, list) else 1) if known else 0
    if not known or rows % config.num_envs:  # several rows of each where many agents play
        raise UserError(f"the checkpoint is not one of {config.num_envs:,} environments, as its configuration says")


@contextmanager
def starting_weights(run: str) -> Iterator[None]:
    """In this context encoders may start from the one of `run` ("": of none), as --encoder-from says."""
    if not run:
        yield
        return
    with encoder_weights(run, read_encoder(run)):
        yield
