"""Digests of what short runs end with, for before and after code has moved: python -m benchmarks.same_bits OUT.json.

Every kind of run is trained to its end, alone and on one thread. OUT.json gets three digests of each: of the weights of
last.pt, of those of best.pt, and of all numbers that the run leaves (also optimizers, buffers, generators, curves,
scores). With --before OTHER.json they are compared, and the program fails where any differ. Digests depend on the
machine and on the versions of its libraries: take both on one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import tyro

from benchmarks.contents import contents
from benchmarks.killing import left_alone
from benchmarks.torture import AGENT, KINDS, OFF_POLICY, ON_POLICY, SEQUENCES

MORE = {
    "A2C, LSTM, native": f"a2c --env AgentGym/CartPoleNoVel-v1 {ON_POLICY} --recurrent-size 8 --encoder lstm {AGENT}",
    "A2C, CNN, native": f"a2c --env AgentGym/Snake-v0 {ON_POLICY} --encoder cnn {AGENT}",
    "QR-DQN, LSTM, native": f"qrdqn --env AgentGym/CartPoleNoVel-v1 {OFF_POLICY} {SEQUENCES} --encoder lstm {AGENT}",
    "SAC, discrete, native": f"sac --env CartPole-v1 {OFF_POLICY} {AGENT}",
    "TD3, LSTM, native": f"td3 --env AgentGym/PendulumNoVel-v1 {OFF_POLICY} {SEQUENCES} --encoder lstm {AGENT}",
    "DDPG, native": f"ddpg --env Pendulum-v1 {OFF_POLICY} {AGENT}",
    "Stable-Baselines3's PPO": f"sb3 --env CartPole-v1 --total-steps 1024 --num-envs 4 {AGENT}",
    "xor": "xor --seed 7",
    "diabetes": "diabetes --epochs 20 --seed 7",
}


@dataclass(frozen=True)
class Options:
    """Train short runs, note digests of what they end with, and compare them with earlier ones."""

    out: tyro.conf.Positional[Path]
    """File of the digests, JSON."""
    before: Path | None = None
    """Earlier digests."""
    kinds: tuple[str, ...] = ()
    """Kinds of runs, by a part of their name; empty: all."""


def runs() -> dict[str, list[str]]:
    """Flags by kind, without those whose package is not installed."""
    flags = {kind: f"{line} {AGENT if '--env' in line else '--seed 7'}" for kind, line in KINDS.items()} | MORE
    needed = {"EnvPool": "envpool", "pettingzoo": "pettingzoo", "mpe2": "mpe2", "ALE/": "ale_py", "MuJoCo": "mujoco"}
    missing = [word for word, package in needed.items() if not find_spec(package)]
    return {
        kind: f"{line} --num-threads 1".split()
        for kind, line in flags.items()
        if not any(word in f"{kind} {line}" for word in missing)
    }


def digests(found: dict[str, Any]) -> dict[str, str]:
    """Of a run's contents, by name."""
    weights = {
        name: [leaf for leaf in found if leaf.startswith(f"/{name}/") and "/model/" in leaf]
        for name in ("last.pt", "best.pt")
    }
    return {name: _digest(found, leaves) for name, leaves in (weights | {"all": [*found]}).items()}


def _digest(found: dict[str, Any], names: Iterable[str]) -> str:
    total = hashlib.sha256()
    for name in sorted(names):
        value = found[name]
        if isinstance(value, torch.Tensor):
            total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            total.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
        else:
            total.update(f"{name} {value!r}\n".encode())
    return total.hexdigest()


def main(options: Options) -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    before = json.loads(options.before.read_text()) if options.before else {}
    noted: dict[str, dict[str, str]] = {}
    changed = failed = 0
    base = Path(tempfile.mkdtemp())
    for number, (kind, flags) in enumerate(runs().items()):
        if options.kinds and not any(part in kind for part in options.kinds):
            continue
        folder = base / f"{number:02d}"
        folder.mkdir()
        try:
            left_alone(flags, folder / "alone")
        except RuntimeError as error:
            failed += 1
            print(f"{kind}: FAILED {str(error)[-300:]}", flush=True)
            continue
        noted[kind] = digests(contents(folder / "alone"))
        shutil.rmtree(folder)
        differing = [name for name, digest in noted[kind].items() if before.get(kind, {}).get(name, digest) != digest]
        changed += bool(differing)
        told = f"differs in {', '.join(differing)}" if differing else "the same" if kind in before else "noted"
        print(f"{kind}: {told}", flush=True)
        options.out.write_text(json.dumps(noted, indent=1) + "\n")
    shutil.rmtree(base)
    compared = len(noted.keys() & before.keys())
    print(f"{len(noted)} runs, {compared} compared, {changed} changed, {failed} failed")
    return int(changed > 0 or failed > 0)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
