"""What a run's rounding depends on beside its configuration."""

from __future__ import annotations

import torch

from agent_gym.ground.libraries import PACKAGES, rounding_depends_on, versions

ALWAYS = ("torch", "numpy", "gymnasium")
for name in ALWAYS:
    rounding_depends_on(name)

GENERATORS = {"generator", "dropout_cuda", "cuda"}  # parts of a trainee's state that fit no other kind of device


def provenance(device: torch.device) -> dict[str, str]:
    """Device, instruction set, threads and the versions of the libraries in use."""
    found = {
        "device": device.type,
        "CPU": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }
    return found | versions()


def differences(was: object, now: dict[str, str]) -> str:
    """What has changed between two `provenance`, in words; "" if nothing."""
    was = was if isinstance(was, dict) else {}
    packages = sorted(PACKAGES.values(), key=lambda name: (name not in ALWAYS, name))
    known = [name for name in ("device", "CPU", "threads", *packages) if isinstance(was.get(name), str)]
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
