"""What a run's rounding depends on beside its configuration."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import torch

LIBRARIES = {  # package by module; environments' libraries count once they are imported
    "torch": "torch",
    "numpy": "numpy",
    "gymnasium": "gymnasium",
    "stable_baselines3": "stable-baselines3",
    "sb3_contrib": "sb3-contrib",
    "envpool": "envpool",
    "ale_py": "ale-py",
    "mujoco": "mujoco",
    "Box2D": "box2d",
}
GENERATORS = {"generator", "dropout_cuda", "cuda"}  # parts of a trainee's state that fit no other kind of device


def provenance(device: torch.device) -> dict[str, str]:
    """Device, instruction set, threads and the versions of the libraries in use."""
    found = {
        "device": device.type,
        "CPU": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }
    for module, package in LIBRARIES.items():
        if module in sys.modules:
            try:
                found[package] = version(package)
            except PackageNotFoundError:  # under another name: its version cannot be told
                continue
    return found


def differences(was: object, now: dict[str, str]) -> str:
    """What has changed between two `provenance`, in words; "" if nothing."""
    was = was if isinstance(was, dict) else {}
    known = [name for name in ("device", "CPU", "threads", *LIBRARIES.values()) if isinstance(was.get(name), str)]
    return ", ".join(
        f"{name} was {was[name][:40]}, now {now.get(name, 'not in use')}"
        for name in known
        if was[name] != now.get(name)
    )


def replace_generators(state: dict, fresh: dict) -> None:
    """Give a trainee's `state` from another kind of device the random generators of the `fresh` one, in place."""
    for key in GENERATORS & (state.keys() | fresh.keys()):
        if key in fresh:
            state[key] = fresh[key]
        else:
            del state[key]
    for key in state.keys() & fresh.keys():
        if isinstance(state[key], dict) and isinstance(fresh[key], dict):
            replace_generators(state[key], fresh[key])
