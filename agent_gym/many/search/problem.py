"""What a sweep searches, and how: plain data beside the study."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent_gym.ground.errors import UserError
from agent_gym.many.search.space import Space, fitted, plain

ROUNDS = 10  # evaluations of a trial, which are its stages for pruning
EPISODES = 10  # of each
MOST_STAGES = 100  # of a task's evaluations
APART = ("run_dir", "quiet", "verbose", "device", "num_threads")  # what may change while a search goes on
FRESH = 1000  # how far the seeds of the last training are from those of the search


@dataclass(frozen=True)
class Problem:
    """An agent or a task, its settings, and what of them is searched."""

    kind: str
    name: str
    config: Any
    space: Space
    given: dict[str, Any]
    """Settings of the user's, which the preset at the end holds too."""

    def plain(self) -> dict[str, Any]:
        """What a study has to have in common with this one to go on."""
        settings = {k: v for k, v in asdict(self.trial_config()).items() if k not in APART}
        return {self.kind: self.name, "space": plain(self.space), "settings": json.loads(json.dumps(settings))}

    def trial_config(self) -> Any:
        """The settings of trials: evaluated at even stages, and at the end no more than that."""
        config = self.config
        if self.kind == "task":
            return config
        every = config.eval_every if config.eval_every != "auto" else max(config.total_steps // ROUNDS, 1)
        if every in (0, "never"):
            raise UserError("--eval-every never: a sweep goes by evaluations; leave it out")
        episodes = config.periodic_eval_episodes or EPISODES
        return replace(config, eval_every=every, periodic_eval_episodes=episodes, eval_episodes=episodes)

    def settings(self, params: dict[str, Any], trial: bool = True) -> Any:
        """The settings with searched values. Raises UserError where they do not go together."""
        config = self.trial_config() if trial else self.config
        values: dict[str, Any] = {}
        for name, value in params.items():
            values |= fitted(config, name, value)
        return replace(config, **values)

    def steps(self) -> int:
        """The last stage: environment steps, of tasks evaluations."""
        if self.kind == "agent":
            return self.config.total_steps
        return min(getattr(self.config, "epochs", 0) or MOST_STAGES, MOST_STAGES)

    def subject(self) -> str:
        return getattr(self.config, "env", "") or getattr(self.config, "data", "") or self.name


def preset_text(problem: Problem, params: dict[str, Any], about: str) -> str:
    """A YAML file that --preset takes."""
    import yaml

    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in problem.given.items()}
    held = {problem.kind: problem.name, "settings": settings | params}
    if problem.kind == "agent":
        held["env"] = problem.config.env
    return f"# {about}\n" + yaml.safe_dump(held, sort_keys=False)


def read_preset(path: Path, name: str, settings_class: type) -> dict[str, Any]:
    """The settings in a preset file for agent or task `name`. Raises UserError."""
    from agent_gym.ground.plain import fitted_fields
    from agent_gym.many.search.space import read_yaml

    found = read_yaml(path, "--preset")
    whose = found.get("agent") or found.get("task")
    if whose != name:
        raise UserError(f"--preset {path} is for {whose}, not {name}: expected one that holds agent: {name}")
    settings = found.get("settings")
    if not isinstance(settings, dict):
        raise UserError(f"--preset {path} lacks settings: expected a mapping under settings:")
    if isinstance(env := found.get("env"), str):
        settings = {"env": env} | settings
    try:
        return fitted_fields(settings_class, settings)
    except TypeError as error:
        raise UserError(f"--preset {path}: setting {error}") from None
