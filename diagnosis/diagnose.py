"""All rules on one case."""

from __future__ import annotations

from dataclasses import replace

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding, sort
from agent_gym.diagnosis.rules import (  # noqa: F401  they list themselves
    batches,
    changed,
    environment,
    episodes,
    exploration,
    networks,
    observations,
    replay,
    returns,
    settings,
    speed,
    table,
    tasks,
    values,
)
from agent_gym.diagnosis.rules.base import RULES

ROOT, FOLLOWS = 5.0, 4.0  # weights of causes at the root, and of what may be their consequence
HEALTHY = "no fault found: curves, settings and networks look like those of healthy runs"


def findings_of(case: Case, *, live: bool = False) -> list[Finding]:
    """What the rules find, the most certain causes first. `live`: only those for a run that is under way."""
    found = []
    for rule in RULES:
        if rule.kind not in (case.kind, "both") or (live and not rule.live):
            continue
        finding = rule.check(case)
        if finding is not None:
            told = tuple(filter(None, finding.evidence))  # what is not known says nothing
            found.append(replace(finding, evidence=told, step=finding.step or case.step))
    return sort(found)


def divided(findings: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """What is told in full, and, where a cause at the root is among it, what may be its consequence or is a suspicion
    alone."""
    root = max((f.weight for f in findings if not f.hint), default=0.0) >= ROOT
    follows = [f for f in findings if root and f.weight < FOLLOWS and not f.hint]
    return [f for f in findings if f not in follows], follows


def text(findings: list[Finding]) -> str:
    """For the terminal."""
    lines = [] if any(not f.hint for f in findings) else [HEALTHY]
    told, follows = divided(findings)
    for finding in told:
        lines += finding.lines()
    if follows:
        lines.append(
            "also seen, and perhaps what follows from it: " + "; ".join(f"{f.title} [{f.cause}]" for f in follows)
        )
    return "\n".join(lines)
