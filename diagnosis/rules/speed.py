"""Runs whose time goes where it need not."""

from __future__ import annotations

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import rule
from agent_gym.diagnosis.thresholds import T

ADVICE = {
    "environment": "run it with --profile try: --backend async, EnvPool or a native version may step it faster",
    "acting": "more --num-envs ask the policy for more at once",
    "evaluation": "fewer --periodic-eval-episodes, or --eval-every STEPS",
    "checkpoints": "a larger --checkpoint-every",
    "logging": "a slow disk: put --run-dir on a local one",
}


@rule("both")
def time_goes_elsewhere(case: Case) -> Finding | None:
    """Most of the time is not spent on learning (Stooke and Abbeel 2019, section 2)."""
    shares = {}
    for part in ADVICE:
        curve = case.curve(f"time/{part}", points=4)
        if curve is not None:
            shares[part] = float(curve.values.mean())
    worst = max(shares, key=shares.get, default=None)
    if worst is None or shares[worst] < T["time_share"]:
        return None
    speed = case.curve("time/steps_per_second", points=1)
    told = f", at {speed.late():,.0f} steps/s" if speed else ""
    return Finding(
        "time_goes_elsewhere",
        f"most of the time goes to the part {worst!r}",
        (f"time/{worst} {shares[worst]:.0%} of the wall time{told} (usual: below {T['time_share']:.0%})",),
        "the rest of the machine waits for it",
        advice=ADVICE[worst],
        weight=0.4,
        hint=True,
        tags=(f"time/{worst}",),
        source="Stooke and Abbeel 2019",
    )
