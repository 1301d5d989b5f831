"""What an algorithm of Stable-Baselines3 needs to go on, as tensors and plain data, and back again."""

from __future__ import annotations

import copy
import math
import random
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor

from agent_gym.ground.tensors import all_finite, require_like

COUNTERS = (
    "num_timesteps",
    "_n_updates",
    "_n_calls",
    "_episode_num",
    "_current_progress_remaining",
    "exploration_rate",
    "old_count",
)
BUFFER_FIELDS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def tensors(value):
    """Arrays become tensors that share their memory, in dicts, tuples and lists too; the rest stays."""
    if isinstance(value, dict):
        return {key: tensors(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [tensors(part) for part in value]
    return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def arrays(value):
    """The reverse of `tensors`."""
    if isinstance(value, dict):
        return {key: arrays(part) for key, part in value.items()}
    return value.cpu().numpy().copy() if isinstance(value, Tensor) else value


def algorithm_state(algo, normalizer, *, with_replay: bool) -> dict:
    """Everything but the environments: weights, optimizers, counters, buffers, normaliser and random generators."""
    _, variables = algo._get_torch_save_params()
    lstm_states = getattr(algo, "_last_lstm_states", None)
    state = {
        "parameters": algo.get_parameters(),
        "variables": {
            name: getattr(algo, name).detach() for name in variables if isinstance(getattr(algo, name), Tensor)
        },
        "counters": {name: getattr(algo, name) for name in COUNTERS if hasattr(algo, name)},
        "last_obs": tensors(algo._last_obs),
        "last_original_obs": tensors(algo._last_original_obs),
        "last_episode_starts": tensors(algo._last_episode_starts),
        "lstm_states": None if lstm_states is None else [list(part) for part in lstm_states],
        "normalizer": None if normalizer is None else normalizer_state(normalizer),
        "noise": [tensors(noise.noise_prev) for noise in _noises(algo)],
        "random": random_state(algo),
    }
    if hasattr(algo, "weights"):  # ARS moves a flat copy of its policy
        state["weights"] = algo.weights
    buffer = getattr(algo, "replay_buffer", None)
    if buffer is not None and with_replay:
        size = buffer.buffer_size if buffer.full else buffer.pos
        fields = {name: getattr(buffer, name) for name in BUFFER_FIELDS if hasattr(buffer, name)}
        state["replay"] = {"pos": buffer.pos, "full": buffer.full, "fields": tensors(_rows(fields, size))}
    return state


def optimizer_state(optimizer: torch.optim.Optimizer, stored: dict) -> dict:
    """`stored`, a state_dict that anybody may have written, as `optimizer.load_state_dict` can take it.

    All settings but the learning rate are those of `optimizer`. Raises TypeError and others where it does not fit.
    """
    groups = zip(optimizer.state_dict()["param_groups"], stored["param_groups"], strict=True)
    groups = [group | {"lr": float(there["lr"])} for group, there in groups]
    if stored["state"]:
        probe = copy.deepcopy(optimizer)  # after one step it has all that an optimizer of its kind keeps
        for parameter in (p for group in probe.param_groups for p in group["params"]):
            parameter.grad = torch.zeros_like(parameter)
        probe.step()
        kept = probe.state_dict()["state"]
        # A parameter that never had a gradient has none.
        require_like(stored["state"], {key: kept[key] for key in kept if key in stored["state"]}, "optimizer")
    if not all(map(math.isfinite, [g["lr"] for g in groups])) or not all_finite(stored["state"]):
        raise TypeError("the optimizer's state holds NaN or infinite numbers")
    return {"state": stored["state"], "param_groups": groups}


def load_algorithm_state(algo, normalizer, state: dict) -> None:
    """Bring an algorithm of the same configuration into a state of `algorithm_state`."""
    parameters = dict(state["parameters"])
    for name in parameters:
        part = attrgetter(name)(algo)
        if isinstance(part, torch.optim.Optimizer):
            parameters[name] = optimizer_state(part, parameters[name])
    algo.set_parameters(parameters, exact_match=True, device=algo.device)
    for name, value in state["variables"].items():
        getattr(algo, name).data = value.to(algo.device)  # optimizers hold on to the tensor itself
    for name, value in state["counters"].items():
        setattr(algo, name, value)
    algo._last_obs = arrays(state["last_obs"])
    algo._last_original_obs = arrays(state["last_original_obs"])
    algo._last_episode_starts = arrays(state["last_episode_starts"])
    if state["lstm_states"] is not None:
        kind = type(algo._last_lstm_states)
        algo._last_lstm_states = kind(*(tuple(x.to(algo.device) for x in part) for part in state["lstm_states"]))
    if normalizer is not None:
        load_normalizer_state(normalizer, state["normalizer"])
    for noise, previous in zip(_noises(algo), state["noise"], strict=True):
        noise.noise_prev = arrays(previous)
    if "weights" in state:
        algo.weights = state["weights"].to(algo.device)
    if "replay" in state:
        _fill(algo.replay_buffer, state["replay"])
    load_random_state(algo, state["random"])


def _noises(algo) -> list:
    """The action noises that remember, one for each environment."""
    noise = getattr(algo, "action_noise", None)
    return [part for part in getattr(noise, "noises", [noise]) if hasattr(part, "noise_prev")]


def _rows(value, size: int):
    if isinstance(value, dict):
        return {key: _rows(part, size) for key, part in value.items()}
    return value[:size]


def _fill(buffer, state: dict) -> None:
    buffer.pos, buffer.full = state["pos"], state["full"]

    def copy(target, source) -> None:
        if isinstance(target, dict):
            for key, part in target.items():
                copy(part, source[key])
        else:
            target[: len(source)] = source.cpu().numpy()

    copy({name: getattr(buffer, name) for name in state["fields"]}, state["fields"])


def normalizer_state(normalizer) -> dict:
    """VecNormalize's statistics of observations (by key for a Dict) and of the discounted return, and that return."""
    obs_rms = getattr(normalizer, "obs_rms", {})
    obs_rms = obs_rms if isinstance(obs_rms, dict) else {"": obs_rms}
    return {
        "obs": {key: _moments(rms) for key, rms in obs_rms.items()},
        "returns": _moments(normalizer.ret_rms),
        "running_return": tensors(normalizer.returns),
    }


def load_normalizer_state(normalizer, state: dict) -> None:
    obs_rms = getattr(normalizer, "obs_rms", {})
    obs_rms = obs_rms if isinstance(obs_rms, dict) else {"": obs_rms}
    for key, rms in [*obs_rms.items(), (None, normalizer.ret_rms)]:
        moments = state["returns"] if key is None else state["obs"][key]
        rms.mean, rms.var, rms.count = arrays(moments["mean"]), arrays(moments["var"]), moments["count"]
    if len(state["running_return"]) == normalizer.num_envs:
        normalizer.returns = arrays(state["running_return"])


def _moments(rms) -> dict:
    return {"mean": tensors(np.asarray(rms.mean)), "var": tensors(np.asarray(rms.var)), "count": float(rms.count)}


def random_state(algo) -> dict:
    """Stable-Baselines3 draws from the global generators and from the action space's."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if algo.device.type == "cuda" else [],
        "numpy": {"kind": kind, "keys": keys.tolist(), "position": position, "has_gauss": has_gauss, "cached": cached},
        "python": random.getstate(),
        "action_space": algo.action_space.np_random.bit_generator.state,
    }


def load_random_state(algo, state: dict) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and algo.device.type == "cuda":
        torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
    numpy = state["numpy"]
    keys = np.array(numpy["keys"], dtype=np.uint32)
    np.random.set_state((numpy["kind"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    algo.action_space.np_random.bit_generator.state = state["action_space"]
