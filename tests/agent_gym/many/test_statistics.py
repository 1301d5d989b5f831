"""Statistics of groups of runs against the package of the paper, and against numbers derived by hand."""

import sys
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest

from agent_gym.many.statistics import along, improvement, improvement_interval, interval, iqm, profile, profile_band

if found := "arch" not in sys.modules and find_spec("arch"):
    # rliable takes its bootstrap alone, and the rest cannot be imported beside pandas 3.
    sys.modules["arch"] = ModuleType("arch")
    sys.modules["arch"].__path__ = list(found.submodule_search_locations)
rly = pytest.importorskip("rliable.library")
from rliable import metrics  # noqa: E402

RNG = np.random.default_rng(3)
A = {"x": RNG.normal(1.0, 1.0, 10), "y": RNG.normal(3.0, 2.0, 10), "z": RNG.gamma(2.0, 1.0, 10)}
B = {"x": RNG.normal(0.5, 1.0, 10), "y": RNG.normal(2.0, 2.0, 10), "z": RNG.gamma(2.0, 1.0, 10)}


def matrix(scores):
    """As rliable has it, [runs, environments]."""
    return np.stack(list(scores.values()), axis=1)


def test_the_iqm_is_that_of_the_package():
    assert iqm(A) == pytest.approx(metrics.aggregate_iqm(matrix(A)), abs=1e-12)
    assert iqm({"x": np.array([1.0, 2.0, 3.0, 100.0])}) == 2.5  # the middle two


def test_improvement_is_that_of_the_package_with_ties_too():
    rounded_a, rounded_b = ({env: values.round() for env, values in scores.items()} for scores in (A, B))
    for a, b in ((A, B), (rounded_a, rounded_b)):
        assert improvement(a, b) == pytest.approx(metrics.probability_of_improvement(matrix(a), matrix(b)), abs=1e-12)
    assert improvement({"x": np.array([1.0, 2.0])}, {"x": np.array([1.0, 0.0, 3.0])}) == pytest.approx(3.5 / 6)


def test_intervals_are_those_of_the_package():
    """Both draw: 2,000 samples each agree to a few hundredths of the interval."""
    np.random.seed(0)
    _, bounds = rly.get_interval_estimates(
        {"a": matrix(A)}, lambda scores: np.array([metrics.aggregate_iqm(scores)]), reps=2000
    )
    own = interval(A)
    assert own == pytest.approx(bounds["a"][:, 0], abs=0.08 * (own[1] - own[0]))
    _, bounds = rly.get_interval_estimates(
        {"a,b": (matrix(A), matrix(B))},
        lambda a, b: np.array([metrics.probability_of_improvement(a, b)]),
        reps=300,
    )
    own = improvement_interval(A, B)
    assert own == pytest.approx(bounds["a,b"][:, 0], abs=0.2 * (own[1] - own[0]))


def test_profiles_are_those_of_the_package():
    thresholds = np.linspace(-2.0, 6.0, 9)
    shares, bounds = rly.create_performance_profile({"a": matrix(A)}, thresholds, reps=500)
    assert profile(A, thresholds) == pytest.approx(shares["a"], abs=1e-12)
    low, high = profile_band(A, thresholds, resamples=500)
    assert np.stack([low, high]) == pytest.approx(bounds["a"], abs=0.07)


def test_strata_are_kept():
    """Environments whose runs are all alike leave nothing to chance, however far apart they are."""
    apart = {"x": np.zeros(4), "y": np.full(4, 100.0)}
    assert interval(apart) == (50.0, 50.0)


def test_groups_of_other_sizes_and_of_one_run():
    a, b = {"x": np.array([5.0])}, {"x": np.array([1.0, 2.0, 9.0])}
    assert improvement(a, b) == pytest.approx(2 / 3) and interval(a) == (5.0, 5.0)
    low, high = improvement_interval(a, b)
    assert 0.0 <= low <= 2 / 3 <= high <= 1.0


def test_sample_efficiency_is_the_iqm_at_each_point():
    curves = {env: np.stack([values, 2 * values], axis=1) for env, values in A.items()}
    middle, low, high = along(curves, resamples=500)
    assert middle == pytest.approx([iqm(A), 2 * iqm(A)])
    assert (low < middle).all() and (middle < high).all()
    assert low[1] == pytest.approx(2 * low[0])
