"""All rules on one case."""

from __future__ import annotations

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding, sort
from agent_gym.diagnosis.rules import (  # noqa: F401  they list themselves
    batches,
    environment,
    exploration,
    networks,
    returns,
    settings,
    tasks,
    values,
)
from agent_gym.diagnosis.rules.base import RULES

HEALTHY = "no fault found: curves, settings and networks look like those of healthy runs"


def findings_of(case: Case, *, live: bool = False) -> list[Finding]:
    """What the rules find, the most certain causes first. `live`: only those for a run that is under way."""
    found = []
    for rule in RULES:
        if rule.kind not in (case.kind, "both") or (live and not rule.live):
            continue
        finding = rule.check(case)
        if finding is not None:
            found.append(finding.at(case.step) if not finding.step else finding)
    return sort(found)


def text(findings: list[Finding]) -> str:
    """For the terminal."""
    lines = [] if any(not f.hint for f in findings) else [HEALTHY]
    for finding in findings:
        lines += finding.lines()
    return "\n".join(lines)
