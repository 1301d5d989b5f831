"""Why a run is slow: where its time goes, what bounds it, and what would help by how much."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from agent_gym.diagnosis.finding import as_flag

PARTS = ("environment", "acting", "learning", "evaluation", "logging", "checkpoints")
IDLE = 0.3  # share of the time without a processor, from where on that is what bounds
LITTLE = 0.05  # gain below which nothing is said
PYTHON = ("sync", "gymnasium")  # backends that step one environment after the other in this process


class Advice(NamedTuple):
    """A change of settings and how many times as fast it should make the run."""

    settings: dict[str, Any]
    times: float
    why: str

    def flags(self) -> str:
        return " ".join(as_flag(name, value) for name, value in self.settings.items())


@dataclass
class Profile:
    """Seconds by part, and what is known of the run."""

    seconds: dict[str, float]
    steps: int
    config: dict[str, Any]
    waited: dict[str, float] = field(default_factory=dict)
    """Seconds of each part in which the run's thread had no processor."""
    backend: str = ""
    cores: int = 1
    parameters: int = 0
    rate: float = 0.0
    """Floating-point operations a second that this machine's matrix product reaches on one core; 0: not measured."""
    gpu: bool = False
    """A GPU is there and not used."""
    faster: tuple[str, ...] = ()
    """Backends that run this environment as well."""
    measured: list[str] = field(default_factory=list)

    @property
    def total(self) -> float:
        return max(sum(self.seconds.values()), 1e-9)

    def share(self, part: str) -> float:
        return max(self.seconds.get(part, 0.0), 0.0) / self.total

    def flops(self) -> float:
        """Operations of all updates: 6 a weight and sample (forward 2, backward 4; Kaplan et al. 2020, section 2.1)."""
        config = self.config
        if "utd" in config:
            samples = config["utd"] * max(self.steps - config.get("learning_starts", 0), 0) * config["batch_size"]
        elif "num_epochs" in config:
            samples = float(self.steps * config["num_epochs"])
        elif "batch_size" in config:
            samples = float(self.steps * (config["batch_size"] or 1))
        else:
            return 0.0
        return 6.0 * self.parameters * samples

    def matrix_share(self) -> float | None:
        """The part of the machine's matrix product that learning reaches; None where it is not known."""
        learning = self.seconds.get("learning", 0.0)
        if not (self.rate and self.parameters and learning > 0 and self.flops()):
            return None
        return self.flops() / learning / self.rate

    def bound(self) -> str:
        """What the time is spent on, in words."""
        if self.crowded() > IDLE:
            return f"other programs: {self.crowded():.0%} of acting and learning is waiting for a core"
        largest = max(PARTS, key=self.share)
        if largest == "environment":
            where = "one core steps the environments in turn" if self.backend in PYTHON else f"backend {self.backend}"
            return f"the environment: {where}"
        if largest == "learning":
            reached = self.matrix_share()
            if reached is None:
                return "learning"
            if reached < 0.2:
                return f"small kernels: learning reaches {reached:.1%} of this machine's matrix product"
            return f"the matrix product: learning reaches {reached:.0%} of what this machine does"
        if largest == "acting":
            return "small kernels: the policy is asked for few environments at a time"
        return largest

    def crowded(self) -> float:
        """The share of acting and learning in which neither had a core; on a CPU nothing else lets them wait."""
        if self.config.get("device") == "cuda":
            return 0.0
        parts = ("acting", "learning")
        took = sum(self.seconds.get(part, 0.0) for part in parts)
        return sum(self.waited.get(part, 0.0) for part in parts) / took if took > 0.0 else 0.0

    def advice(self) -> list[Advice]:
        """What would help, the most first; estimated by what stays when a part shrinks (Amdahl 1967)."""
        found = [*self._environment(), *self._acting(), *self._learning(), *self._task(), *self._rest()]
        return sorted((a for a in found if a.times > 1.0 + LITTLE), key=lambda a: -a.times)

    def _times(self, **left: float) -> float:
        """How many times as fast, where of some parts these shares of their time are left."""
        return 1.0 / sum(self.share(part) * left.get(part, 1.0) for part in PARTS)

    def _environment(self) -> list[Advice]:
        found = []
        envs = self.config.get("num_envs", 1)
        if self.backend in PYTHON and "native" in self.faster:
            found.append(Advice({"backend": "native"}, self._times(environment=0.1), "tensors step all at once"))
        if self.backend in PYTHON and "envpool" in self.faster:
            found.append(Advice({"backend": "envpool"}, self._times(environment=0.2), "threads in C++ step them"))
        if self.backend in PYTHON and self.cores > 1:
            spread = max(envs, 2 * self.cores)
            settings = {"backend": "async"} | ({"num_envs": spread} if spread != envs else {})
            found.append(Advice(settings, self._times(environment=1.2 / self.cores), "each core steps some of them"))
        return found

    def _acting(self) -> list[Advice]:
        envs = self.config.get("num_envs")
        if not envs or envs >= 64 or "num_envs" not in self.config:
            return []
        more = 4 * envs
        left = {"acting": 0.3}
        if self.backend == "native":
            left["environment"] = 0.3
        settings: dict[str, Any] = {"num_envs": more}
        if "num_steps" in self.config and self.config["num_steps"] >= 64:
            settings["num_steps"] = self.config["num_steps"] // 4
        return [Advice(settings, self._times(**left), "the policy is asked for four times as many at once")]

    def _learning(self) -> list[Advice]:
        found, reached = [], self.matrix_share()
        if self.config.get("train_every") == 1 and "utd" in self.config and self.config["utd"] >= 1.0:
            why = "half as many updates: look at what it does to the score"
            found.append(Advice({"utd": self.config["utd"] / 2}, self._times(learning=0.5), why))
        threads = torch.get_num_threads()
        if reached is not None and reached > 0.3 and threads < self.cores:
            more = self.cores
            found.append(
                Advice({"num_threads": more}, self._times(learning=1.25 * threads / more), "large products share well")
            )
        if reached is not None and reached > 0.3 and self.gpu:
            found.append(Advice({"device": "cuda"}, self._times(learning=0.2), "a GPU is there and not used"))
        return found

    def _task(self) -> list[Advice]:
        """A task's minibatches are rows of a table, which more at once make cheaper by the row."""
        size, reached = self.config.get("batch_size"), self.matrix_share()
        if "epochs" not in self.config or not size or reached is None or reached >= 0.2:
            return []
        why = "a quarter as many updates of four times the rows: look at what it does to the score"
        return [Advice({"batch_size": 4 * size}, self._times(learning=0.4), why)]

    def _rest(self) -> list[Advice]:
        found = []
        if self.share("evaluation") > 0.15:
            found.append(Advice({"eval_every": 0}, self._times(evaluation=0.0), "no evaluations on the way"))
        if self.share("checkpoints") > 0.15:
            total = self.config.get("total_steps") or self.steps
            found.append(Advice({"checkpoint_every": int(total)}, self._times(checkpoints=0.1), "one checkpoint"))
        return found

    def lines(self) -> list[str]:
        """For the terminal."""
        told = [f"where {self.total:.1f} s went ({self.steps / self.total:,.0f} steps/s):"]
        for part in PARTS:
            idle = max(self.waited.get(part, 0.0), 0.0)
            note = f"   {idle:.2f} s of it waiting" if idle > LITTLE * self.total else ""
            told.append(f"  {part:<12} {self.share(part):6.1%}  {self.seconds.get(part, 0.0):8.2f} s{note}")
        told.append(f"bound by {self.bound()}")
        for advice in self.advice()[:3]:
            told.append(f"  {advice.flags():<36} about {advice.times:.2g} times as fast: {advice.why}")
        if not self.advice():
            told.append("  no flag is expected to gain more than a twentieth")
        return told + self.measured


def matrix_rate(size: int = 384, seconds: float = 0.1) -> float:
    """Floating-point operations a second of a float32 matrix product on as many threads as are set."""
    a = torch.rand(size, size)
    a @ a
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        a @ a
        count += 1
    return 2.0 * size**3 * count / (time.perf_counter() - began)
