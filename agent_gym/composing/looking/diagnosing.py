"""A run as a case for the diagnosis: its files, its environment, its policy or its rows."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agent_gym.agents.presets import table
from agent_gym.composing.presets import usual_settings
from agent_gym.composing.registry import check_modules
from agent_gym.composing.restore import restore_config
from agent_gym.composing.saved import open_saved
from agent_gym.composing.scores.playing import error_log, require_fit
from agent_gym.composing.sources import NamedSource
from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.curves import read_curves
from agent_gym.diagnosis.diagnose import findings_of, text
from agent_gym.diagnosis.environment.probe import probe
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.layers import policy_layers, rows_layers
from agent_gym.diagnosis.playing import play_facts
from agent_gym.diagnosis.rows import row_facts
from agent_gym.diagnosis.watch import FILE
from agent_gym.ground.chance import undisturbed
from agent_gym.ground.errors import UserError, one_line
from agent_gym.storage.checkpoint import require_run


class Diagnosis(NamedTuple):
    """What `diagnosis` gives; `print(found)` shows it."""

    run: Path
    case: Case
    findings: list[Finding]
    missing: list[str]
    """What could not be looked at."""

    @property
    def healthy(self) -> bool:
        """Whether there is no fault among the findings."""
        return all(finding.hint for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join([f"{self.run}: {self.case.name}", text(self.findings), *self.missing])

    def write(self, path: Path) -> None:
        """Write it as one page of HTML. Raises UserError."""
        from agent_gym.diagnosis.report import page

        if path.is_dir():
            raise UserError(f"--report {path} is a folder: give the name of a file, such as {path / 'report.html'}")
        temporary = path.with_name(path.name + ".tmp")
        try:
            temporary.write_text(page(str(self.run), self.case, self.findings, self.missing), "utf-8")
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise UserError(f"--report {path} cannot be written ({error.strerror}): choose another path") from error

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        findings = [finding.plain() for finding in self.findings]
        return {"run": str(self.run), "healthy": self.healthy, "findings": findings, "missing": self.missing}


def diagnosis(run: Path, source: Any = None, *, play: bool = True) -> Diagnosis:
    """Why a run does not learn. `source`: its environments, where no id names them. Raises UserError."""
    case, missing = case_of(run, source, play=play)
    told = read_json(run / FILE)
    known = [f for f in told if isinstance(f, dict)] if isinstance(told, list) else []
    steps = {str(f.get("cause")): s for f in known if isinstance(s := f.get("step"), int)}
    found = [f.at(steps.get(f.cause, f.step)) for f in findings_of(case)]
    return Diagnosis(run, case, found, missing)


PLAYERS = 8  # environments that play for a diagnosis
NO_SETTINGS = ("seed", "run_dir", "quiet", "verbose", "summary", "device", "num_threads", "track")


def case_of(run: Path, source: Any = None, *, play: bool = True) -> tuple[Case, list[str]]:
    """What is known of a run, and a line for each thing that could not be looked at.

    `source`: its environments, where no id names them. Raises UserError for what is no run.
    """
    require_run(run)
    config = read_json(run / "config.json")
    if not isinstance(config, dict) or not {"agent", "task"} & config.keys():
        raise UserError(f"{run} is no run: its config.json is missing or of another program")
    curves = read_curves(run)
    check_modules(config, run)
    kind = "task" if "task" in config else "agent"
    stored = dict(config)
    name = stored.pop(kind)
    settings = restore_config(kind, name, stored)
    result = read_json(run / "result.json")
    case = Case(kind, name, asdict(settings), curves=curves, result=result if isinstance(result, dict) else {})
    case.step = case.logged
    case.siblings = siblings(run, config)
    missing: list[str] = []
    if kind == "task":
        fill_task(case, settings, run, missing)
    else:
        case.total = settings.total_steps
        fill_agent(case, settings, run, source, missing, play)
    require_whole(case, run)
    return case, missing


def fill_agent(case: Case, settings: Any, run: Path, source: Any, missing: list[str], play: bool) -> None:
    """What the environment and the policy show."""
    presets, env_id = table(case.name), settings.env.rpartition(":")[2]
    case.reference = presets.get("score", {}).get(env_id)
    if env_id in presets.get("env", {}):
        case.usual = asdict(type(settings)()) | presets["env"][env_id]
    try:
        saved = open_saved(run, "last")
        case.usual = usual_settings(case.name, settings, saved.spaces)
        case.step = max(case.step, saved.steps)
        if not play:
            return
        source = NamedSource(settings) if source is None else source
        with undisturbed():
            case.env = probe(source.single, episodes=60, limit=source.step_limit, seconds=10.0, max_steps=5000)
        if case.env["problems"] and "obs" not in case.env:
            missing.append(f"environment not looked at: {case.env['problems'][0]}")
        drawn = torch.get_rng_state()
        with undisturbed(), closing(source.scoring(PLAYERS, "cpu", error_log(None), final=False)) as env:
            require_fit(saved.policy, env)
            gamma = float(case.config.get("gamma") or 0.99)
            case.play, batch = play_facts(saved.policy, env, gamma=gamma, chance=case.env.get("obs"))
        torch.set_rng_state(drawn)
        if hasattr(settings, "normalize_obs"):
            case.layers = policy_layers(saved.policy, batch)
    except UserError as error:
        missing.append(f"not all could be looked at: {one_line(error, 200)}")


def require_whole(case: Case, run: Path) -> None:
    """Raise UserError unless the curves reach the step of the checkpoint, which is written after them."""
    gaps = [int(np.diff(curve.steps).max()) for curve in case.curves.values() if len(curve.steps) > 2]
    if case.step - case.logged > max(2 * min(gaps, default=0), case.step // 20):
        raise UserError(
            f"the TensorBoard events of {run} end at step {case.logged:,} and the run at step {case.step:,}: the file "
            "was cut or is damaged, take it from a whole copy"
        )


def fill_task(case: Case, settings: Any, run: Path, missing: list[str]) -> None:
    """What the rows and the network show."""
    from agent_gym.storage.checkpoint import open_checkpoint
    from agent_gym.tasks import config_class, load_task

    case.usual = asdict(config_class(case.name)())
    try:
        with undisturbed():
            state = open_checkpoint(run, "last")
            case.step = max(case.step, int(state["agent"].get("steps") or 0))
            task = load_task(case.name, settings, state["agent"].get("model"), torch.device("cpu"))
            case.total = getattr(task, "total_steps", case.step)
            case.config = case.config | {"steps_per_epoch": getattr(task, "steps_per_epoch", 1)}
            case.config |= {"epochs": getattr(task, "epochs", case.config.get("epochs"))}
            case.data = row_facts(task)
            if case.data:
                case.layers = rows_layers(task.model, task.data.train.x[:512])
    except UserError as error:
        missing.append(f"not all could be looked at: {one_line(error, 200)}")


def siblings(run: Path, config: dict) -> list[float]:
    """Scores of the runs beside this one that differ in nothing but the seed."""
    scores = []
    mine = {k: v for k, v in config.items() if k not in NO_SETTINGS}
    for other in sorted(run.resolve().parent.glob("*/config.json"))[:200]:
        if other.parent == run.resolve():
            continue
        theirs = read_json(other)
        if not isinstance(theirs, dict) or {k: v for k, v in theirs.items() if k not in NO_SETTINGS} != mine:
            continue
        result = read_json(other.parent / "result.json")
        score = result.get("return_mean") if isinstance(result, dict) else None
        if isinstance(score, int | float) and theirs.get("seed") != config.get("seed"):
            scores.append(float(score))
    return scores


def read_json(path: Path) -> Any:
    """The content of a JSON file; None where it cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        return json.loads(path.read_text("utf-8"))
    return None
