"""Optuna's study: opened, checked, asked and told."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from agent_gym.ground.errors import UserError, one_line

NAME, PROBLEM = "agent-gym", "problem"
BUSY = 15  # seconds to wait for a storage that another process writes to
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def pruner_of(name: str, steps: int) -> optuna.pruners.BasePruner:
    """Hyperband (Li et al. 2018) or the median rule, on environment steps; a tenth of a run is its smallest stage."""
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=max(steps // 10, 1), max_resource=steps, reduction_factor=3)
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=steps // 5)
    return optuna.pruners.NopPruner()


def open_study(storage: str, problem: dict[str, Any], pruner: str, steps: int, seed: int) -> optuna.Study:
    """The study in a file or at an URL, made where there is none.

    Raises UserError where the storage cannot be used, or holds the study of another problem.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = storage if "://" in storage else f"sqlite:///{Path(storage).absolute()}"
    try:
        options = {"connect_args": {"timeout": BUSY}} if url.startswith("sqlite") else {}
        opened = optuna.storages.RDBStorage(url, engine_kwargs=options)
        study = optuna.create_study(storage=opened, study_name=NAME, direction="maximize", load_if_exists=True)
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), multivariate=True, constant_liar=True)
        study.pruner = pruner_of(pruner, steps)
        stored = study.user_attrs.get(PROBLEM)
        if stored is None:
            study.set_user_attr(PROBLEM, problem)
    except Exception as error:  # SQLAlchemy's and the drivers' own, many
        raise UserError(
            f"the storage {storage} cannot be used ({one_line(error, 160)}): wait for whoever holds it, take it from a "
            "whole copy, or give another with --storage"
        ) from error
    if stored is not None and (other := [name for name in problem if stored.get(name) != as_stored(problem[name])]):
        theirs, ours = (json.dumps(each.get(other[0]))[:80] for each in (stored, problem))
        raise UserError(
            f"the storage {storage} holds the study of another problem: its {other[0]} is {theirs}, not {ours}; give "
            "another with --storage or --run-dir"
        )
    return study


def as_stored(value: Any) -> Any:
    return json.loads(json.dumps(value))


@contextmanager
def holding(study: optuna.Study, values: dict[str, Any]) -> Iterator[None]:
    """Within it trials that are asked for have these values."""
    free = study.sampler
    if values:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # as all that is newer than 2.4
            study.sampler = optuna.samplers.PartialFixedSampler(values, free)
    try:
        yield
    finally:
        study.sampler = free


def unfinished(study: optuna.Study) -> list[Trial]:
    """Trials that were being trained when the process that asked for them ended."""
    return [
        Trial(study, each._trial_id) for each in study.get_trials(deepcopy=False) if each.state == TrialState.RUNNING
    ]


def stages(study: optuna.Study, trial: Trial) -> frozenset[int]:
    """What a trial has reported so far, as places."""
    return frozenset(study.get_trials(deepcopy=False)[trial.number].intermediate_values)


def ended(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=ENDED)


def scored(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def prune(study: optuna.Study, trial: Trial) -> None:
    study.tell(trial, state=TrialState.PRUNED)


def fail(study: optuna.Study, trial: Trial, why: str) -> None:
    trial.set_user_attr("problem", why)
    study.tell(trial, state=TrialState.FAIL)


def importances(study: optuna.Study) -> dict[str, float]:
    """How much of the scores' spread each setting explains; {} where there are too few trials, or all are alike."""
    values = {trial.value for trial in scored(study)}
    if len(values) < 2 or len(scored(study)) < 4:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
