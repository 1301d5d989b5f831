"""What a rule found: the cause, its evidence, and what to type."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from agent_gym.ground.settings import flag


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing."""

    cause: str
    """Its name, which never changes: learning_rate_high."""
    title: str
    """What is wrong, in one line."""
    evidence: tuple[str, ...]
    """Metric, step and value, against what healthy runs show; one line each."""
    why: str
    """Why it matters, in a sentence."""
    remedy: dict[str, Any] = field(default_factory=dict)
    """Settings that mend it, by name."""
    advice: str = ""
    """What else to do, where no flag does it."""
    weight: float = 1.0
    """How certain and how near to the root: findings are told from the largest to the smallest."""
    hint: bool = False
    """Worth knowing, but no fault."""
    tags: tuple[str, ...] = ()
    """Curves that show it."""
    step: int = 0
    """Where on them."""
    source: str = ""
    """Paper or textbook that the rule is taken from."""

    def flags(self) -> str:
        """The remedy as it is typed."""
        return " ".join(as_flag(name, value) for name, value in self.remedy.items())

    def at(self, step: int) -> Finding:
        return replace(self, step=step)

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return json.loads(json.dumps(asdict(self) | {"flags": self.flags()}))

    def lines(self) -> list[str]:
        """For the terminal."""
        told = [f"{'note' if self.hint else 'finding'}: {self.title}  [{self.cause}]"]
        told += [f"    {line}" for line in self.evidence]
        told.append(f"    why: {self.why}")
        if self.remedy:
            told.append(f"    type: {self.flags()}")
        if self.advice:
            told.append(f"    do: {self.advice}")
        return told


def as_flag(name: str, value: Any) -> str:
    """A setting as a flag on the command line."""
    if isinstance(value, bool):
        return flag(name) if value else "--no-" + flag(name)[2:]
    if isinstance(value, list | tuple):
        return " ".join([flag(name), *map(str, value)])
    return f"{flag(name)} {shlex.quote(f'{value:g}' if isinstance(value, float) else str(value))}"


def sort(findings: list[Finding]) -> list[Finding]:
    """Faults before hints, the heaviest first; one of each cause."""
    best: dict[str, Finding] = {}
    for finding in findings:
        if finding.cause not in best or finding.weight > best[finding.cause].weight:
            best[finding.cause] = finding
    return sorted(best.values(), key=lambda f: (f.hint, -f.weight, f.cause))
