"""Optuna's own pictures of a study."""

from __future__ import annotations

import warnings
from typing import Any

import matplotlib
import numpy as np
import optuna

from agent_gym.many.search.study import importances
from agent_gym.tasks.plots import pixels

IMPORTANCES = "importances"


def draw(study: Any) -> dict[str, np.ndarray]:
    """By title, uint8 [H, W, 3]. Needs two trials that have come to their end."""
    matplotlib.use("agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as pictures

    kinds = {
        "optimization history": pictures.plot_optimization_history,
        "intermediate values": pictures.plot_intermediate_values,
        "slices": pictures.plot_slice,
    }
    if importances(study):
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        kinds[IMPORTANCES] = lambda study: pictures.plot_param_importances(study, evaluator=evaluator)
    drawn = {}
    for title, kind in kinds.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that these pictures are experimental
            axes = kind(study)
        figure = np.ravel(axes)[0].figure
        if title == IMPORTANCES:  # whose long names lie outside
            figure.set_layout_engine("tight")
        drawn[title] = pixels(figure)
        pyplot.close(figure)
    return drawn
