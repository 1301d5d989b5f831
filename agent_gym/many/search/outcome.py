"""What a search has found: the best settings trained with fresh seeds, a preset, importances, pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from agent_gym.commands.line.invocation import command, quoted
from agent_gym.ground.errors import UserError, unwritable
from agent_gym.many.engines import Engine
from agent_gym.many.group import Group, is_group
from agent_gym.many.search import study as studies
from agent_gym.many.search.problem import FRESH, Problem, preset_text
from agent_gym.many.search.space import read
from agent_gym.many.train_group import new_group, summary, train_group
from agent_gym.storage.band import write_pictures
from agent_gym.storage.files import write_text

PRESET, RESULT, REPORT = "best.yaml", "sweep.json", "report.html"


def conclude(
    folder: Path, problem: Problem, study: Any, fresh: int, quiet: bool, engine: Engine
) -> tuple[int, dict[str, Any]]:
    """Train the best settings with `fresh` new seeds and write what was found. The exit code, and what was found.

    Raises UserError where no trial has come to its end.
    """
    if not studies.scored(study):
        raise UserError(
            f"no trial of {folder} has come to its end: search on with more --trials or --time, or another --pruner"
        )
    best = study.best_trial
    params = {name: read(value) for name, value in best.params.items()}
    found: dict[str, Any] = {"trial": best.number, "score": best.value, "settings": params}
    found |= {"trials": len(studies.ended(study)), "importances": studies.importances(study)}
    text = f"{problem.name} on {problem.subject()}: trial {best.number} of {found['trials']}"
    if fresh:
        group = fresh_group(folder, problem, best.number, params, fresh)
        if not quiet:
            print(f"the best, trial {best.number} with {best.value:.4g}, with {fresh} fresh seeds", flush=True)
        if code := train_group(group, quiet=quiet, engine=engine):
            return code, found
        found |= {"fresh": summary(group), "fresh_path": str(group.path)}
        if "iqm" in found["fresh"]:
            low, high = found["fresh"]["iqm_ci95"]
            text += f"; IQM of {fresh} fresh seeds {found['fresh']['iqm']:.4g} ({low:.4g} to {high:.4g})"
    drawn = {} if len(studies.scored(study)) < 2 else drawings(study)
    try:
        write_text(folder / PRESET, preset_text(problem, params, text))
        write_text(folder / RESULT, json.dumps(found, indent=2) + "\n")
        write_pictures(folder, drawn, len(studies.ended(study)))
        write_text(folder / REPORT, page(text, found, drawn))
    except OSError as error:
        raise unwritable("what the search found", folder, error, "run the same command again") from error
    if not quiet:
        told(folder, problem, found, text)
    return 0, found


def fresh_group(folder: Path, problem: Problem, number: int, params: dict[str, Any], fresh: int) -> Group:
    """The best settings with seeds that the search has not seen; what is there already goes on."""
    path = folder / f"best-{number:04d}-{fresh}-seeds"
    if is_group(path):
        return Group.open(path)
    first = problem.config.seed + FRESH
    config = problem.settings(params, trial=False)
    return new_group(
        problem.kind, problem.name, config, tuple(range(first, first + fresh)), path, of=folder.resolve().name
    )


def drawings(study: Any) -> dict[str, np.ndarray]:
    from agent_gym.many.search.drawings import draw

    return draw(study)


def page(text: str, found: dict[str, Any], drawn: dict[str, np.ndarray]) -> str:
    from agent_gym.many.report import document, paragraph, shown, table

    settings = [("setting", "best", "importance")]
    for name, value in found["settings"].items():
        share = found["importances"].get(name)
        settings.append((name, str(value), "" if share is None else f"{share:.2f}"))
    return document("search", [f"<h1>{paragraph(text)}</h1>", table(settings), *shown(drawn)])


def told(folder: Path, problem: Problem, found: dict[str, Any], text: str) -> None:
    """Print what was found."""
    print(text)
    for name, value in found["settings"].items():
        share = found["importances"].get(name)
        print(f"{name:>22}  {value!s:<24}{'' if share is None else f'importance {share:.2f}'}")
    print(f"{command('train')} {problem.name} --preset {quoted(folder / PRESET)}   train with them")
    print(f"{quoted(folder / REPORT)}   pictures; tensorboard --logdir {quoted(folder)} shows them too")
