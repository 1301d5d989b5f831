"""An environment looked at before anything is trained in it: what is wrong, what it is like, what to type."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from agent_gym.agents import agent_class, config_class, others_for
from agent_gym.composing.presets import preset
from agent_gym.composing.sources import GivenSource, NamedSource
from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.diagnose import findings_of
from agent_gym.diagnosis.environment.probe import probe
from agent_gym.diagnosis.finding import Finding, as_flag
from agent_gym.ground.chance import undisturbed
from agent_gym.ground.errors import UserError

OFTEN_SLOW = 2000.0  # steps a second: below, an agent that learns from a replay buffer makes more of each
HOUR = 3600
UNKNOWN = ("episodes_never_end", "no_reward_signal")  # chance may only not have got there


class Checked(NamedTuple):
    """What `check` gives; `print(checked)` shows it."""

    env: str
    facts: dict[str, Any]
    findings: list[Finding]
    proposal: str
    """A command to begin with; "" where the environment must be mended first."""

    def __str__(self) -> str:
        return "\n".join([*describe(self), *(line for f in self.findings for line in f.lines()), self.proposal_text()])

    def proposal_text(self) -> str:
        if not self.proposal:
            return "mend this first; then check it again"
        return f"begin with: {self.proposal}"

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        findings = [finding.plain() for finding in self.findings]
        return {"env": self.env, "facts": self.facts, "findings": findings, "proposal": self.proposal}


def check_env(env: Any, *, episodes: int = 20, settings: dict[str, Any] | None = None) -> Checked:
    """Play random and repeated actions in an environment (an id, a class, a function, a gymnasium.Env) and judge it.

    `settings`: env_kwargs (JSON), wrapper, frame_stack and others of the environment, as agents have them. Raises
    UserError for an environment that there is none of.
    """
    if episodes < 1:
        raise UserError(f"--episodes {episodes}: expected at least 1")
    base = config_class("ppo")
    if isinstance(env, str):
        source: Any = NamedSource(base(**{"env": env, **(settings or {})}))
    else:
        source = GivenSource(env, base(env=getattr(env, "__name__", type(env).__name__)))
    with undisturbed():
        if settings:
            require_flags_that_fit(source)
        facts = probe(source.single, episodes=episodes, limit=source.step_limit)
    case = Case("agent", "", {}, env=facts)
    findings = findings_of(case)
    fatal = any(f.weight >= 7.0 and not f.hint and f.cause not in UNKNOWN for f in findings)
    return Checked(source.id, facts, findings, "" if fatal else proposal(source.id, facts, findings, settings or {}))


def require_flags_that_fit(source: NamedSource) -> None:
    """Raises UserError for flags that the environment cannot be looked at with: that is no fault of its own."""
    try:
        source.single().close()
    except UserError:
        raise
    except Exception:  # its own, which `probe` puts into words
        return


def proposal(env_id: str, facts: dict[str, Any], findings: list[Finding], settings: dict[str, Any]) -> str:
    """A command with agent, flags and budget for what was seen."""
    speed = facts["steps_per_second"]
    name = "ppo"
    if facts["actions"]["kind"] == "Box" and speed < OFTEN_SLOW:
        name = "sac"
    elif facts["actions"]["kind"] == "Discrete" and speed < OFTEN_SLOW:
        name = "dqn"
    cls = config_class(name)
    label, values = "", {}
    try:
        label, values = preset(name, cls, {"env": env_id, **settings})
    except UserError:  # handed over, known by no id
        values = {}
    flags: dict[str, Any] = {k: v for k, v in settings.items() if v and v != "{}"}
    if not label.startswith("preset"):
        usual = asdict(cls()) | values
        for finding in findings:
            known = {k: v for k, v in finding.remedy.items() if k in usual and usual[k] != v}
            flags |= known
        length = max(facts["ends"]["length_mean"], 1.0)
        if length > 500:
            flags["gamma"] = 0.999 if length > 2000 else 0.995
        budget = max(100_000, min(2_000_000, int(2000 * length)))
        flags["total_steps"] = round(min(budget, max(speed * HOUR / 4, 20_000)), -4)
    given = " ".join(as_flag(k, v) for k, v in flags.items())
    return f"python train.py {name} --env {env_id} {given}".rstrip()


def describe(checked: Checked) -> list[str]:
    """What the environment is like, a line a subject."""
    facts = checked.facts
    if "obs" not in facts or "steps_per_second" not in facts:
        return [f"{checked.env}"]
    obs, reward, ends, actions = (facts[part] for part in ("obs", "reward", "ends", "actions"))
    lines = [f"{checked.env}"]
    unbounded = f", {obs['unbounded']:.0%} without bounds" if obs.get("unbounded") else ""
    lines.append(
        f"  observations  {obs['entries']} entries{unbounded}; largest {obs['largest']:.4g}; the widest varies "
        f"{obs.get('scale_ratio', 1.0):.3g} times as much as the narrowest"
    )
    count = actions.get("n") or actions.get("size") or ""
    lines.append(f"  actions       {actions['kind']} {count}; {', '.join(others_for_kind(actions))} can act in it")
    if "mean" in reward:
        lines.append(
            f"  rewards       {reward['min']:.4g} to {reward['max']:.4g}, mean {reward['mean']:.4g}; "
            f"{reward['other_share']:.1%} of steps have another than {reward['usual']:.4g}"
        )
    lines.append(
        f"  episodes      {ends['length_min']} to {ends['length_max']} steps (mean {ends['length_mean']:.4g}), "
        f"{ends['terminated']:.0%} end by the task, {ends['truncated']:.0%} by a time limit"
        + (f" of {ends['limit']}" if ends.get("limit") else "")
    )
    rules = {"random actions": facts.get("random_return")} | facts.get("baselines", {})
    told = ", ".join(f"{name} {score:.4g}" for name, score in rules.items() if score is not None)
    lines.append(f"  to beat       {told}")
    speed = facts["steps_per_second"]
    lines.append(
        f"  speed         {speed:,.0f} steps/s in one process: {speed * HOUR:,.0f} in an hour without learning"
    )
    return lines


def others_for_kind(actions: dict[str, Any]) -> list[str]:
    """Agents that can take such actions."""
    from gymnasium import spaces

    space = {"Discrete": spaces.Discrete(2), "Box": spaces.Box(-1.0, 1.0), "MultiDiscrete": spaces.MultiDiscrete([2])}
    example = space.get(actions["kind"], spaces.MultiBinary(2))
    return [name for name in others_for(example, "") if name != "sb3" and not agent_class(name).assesses]
