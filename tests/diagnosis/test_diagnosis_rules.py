"""Each rule on curves and facts made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent_gym.diagnosis.case import Case, Curve
from agent_gym.diagnosis.diagnose import HEALTHY, findings_of, text
from agent_gym.diagnosis.rules.base import RULES
from agent_gym.diagnosis.stored import from_plain, to_plain
from agent_gym.diagnosis.thresholds import T

PPO = {
    **{"num_steps": 128, "num_envs": 8, "num_minibatches": 4, "num_epochs": 10, "total_steps": 100_000, "gamma": 0.99},
    **{"learning_rate": 3e-4, "clip_coef": 0.2, "value_coef": 0.5, "entropy_coef": 0.0, "max_grad_norm": 0.5},
    **{"normalize_obs": False, "normalize_returns": False, "encoder": "auto", "hidden_sizes": (64, 64), "seed": 0},
    **{"activation": "tanh", "schedule": "constant"},
}
OFF = {
    **{"num_envs": 1, "total_steps": 20_000, "gamma": 0.99, "learning_rate": 1e-3, "buffer_size": 100_000, "utd": 1.0},
    **{"batch_size": 64, "learning_starts": 1000, "target_every": 500, "tau": 1.0, "exploration_fraction": 0.2},
    **{"exploration_initial": 1.0, "exploration_final": 0.05, "normalize_returns": "auto", "double": True},
}
SAC = {k: v for k, v in OFF.items() if not k.startswith(("exploration", "target"))} | {"tau": 0.005, "alpha": 0.0}
TD3 = SAC | {"exploration_noise": 0.1, "critics": 2}
TASK = {
    **{
        "epochs": 100,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "hidden_sizes": (16,),
        "encoder": "auto",
        "dropout": 0.0,
    },
    **{"weight_decay": 0.0, "scaler": "standard", "val_split": 0.15, "activation": "relu", "steps_per_epoch": 10},
}
DISCRETE = {"actions": {"kind": "Discrete", "n": 4}}


def line(start: float, end: float, points: int = 50, total: int = 100_000) -> Curve:
    return Curve(np.linspace(total / points, total, points).astype(int), np.linspace(start, end, points))


def curve(values, total: int = 100_000) -> Curve:
    values = np.asarray(values, dtype=float)
    return Curve(np.linspace(total / len(values), total, len(values)).astype(int), values)


def agent(base=PPO, *, score=10.0, reference=100.0, env=None, curves=None, play=None, layers=None, **changes) -> Case:
    """A run that scored 10 where random actions score 0 and healthy runs 100."""
    facts = {"random_return": 0.0, "random_std": 5.0, **DISCRETE, **(env or {})}
    return Case(
        "agent",
        "ppo",
        base | changes,
        dict(base),
        {"rollout/episode_return": line(0, 10), "rollout/episode_length": line(50, 60)} | (curves or {}),
        {"return_mean": score},
        facts,
        play or {},
        layers or {},
        reference=reference,
        step=100_000,
        total=100_000,
    )


def task(*, curves=None, data=None, **changes) -> Case:
    facts = {"skill": {"train": 0.9, "val": 0.88, "test": 0.87}, "forest_skill": 0.9, "rows": {"val": 60, "test": 60}}
    return Case(
        "task", "table", TASK | changes, dict(TASK), curves or {}, data=facts | (data or {}), step=1000, total=1000
    )


def causes(case: Case) -> list[str]:
    return [finding.cause for finding in findings_of(case)]


FAULTS = {
    "learning_rate_high": agent(learning_rate=0.1, curves={"train/approx_kl": line(0.5, 0.4)}),
    "learning_rate_low": agent(learning_rate=1e-7, curves={"train/approx_kl": line(1e-8, 1e-8)}),
    "discount_short": agent(gamma=0.5),
    "discount_long": agent(OFF, gamma=1.0, curves={"train/q_mean": line(1, 1000)}),
    "clip_small": agent(clip_coef=1e-3, curves={"train/approx_kl": line(1e-6, 1e-6)}),
    "clip_large": agent(clip_coef=5.0, curves={"train/approx_kl": line(0.5, 0.5)}),
    "max_grad_norm_small": agent(max_grad_norm=1e-6, curves={"train/grad_norm": line(1, 1)}),
    "entropy_bonus_large": agent(entropy_coef=1.0, curves={"train/entropy": line(1.38, 1.38)}),
    "value_not_learned": agent(value_coef=0.0, curves={"train/explained_variance": line(0, 0)}),
    "few_updates": agent(num_steps=4096),
    "rollout_short": agent(num_steps=2),
    "minibatch_small": agent(num_minibatches=512),
    "num_epochs_many": agent(num_epochs=100, curves={"train/approx_kl": line(0.2, 0.2)}),
    "batch_small": agent(OFF, batch_size=1),
    "updates_few": agent(OFF, utd=0.01),
    "updates_many": agent(OFF, utd=20.0),
    "nothing_new": agent(OFF, env={"obs": {"different": 0.8}}, play={"sampled": {"different": 0.02}}),
    "settings_changed": agent(OFF | {"weight_decay": 0.0}, weight_decay=1.0),
    "buffer_small": agent(OFF, buffer_size=200),
    "learning_late": agent(OFF, learning_starts=19_000),
    "target_slow": agent(SAC, tau=1e-6),
    "target_fast": agent(SAC, tau=1.0),
    "exploration_short": agent(OFF, exploration_initial=0.0, exploration_final=0.0),
    "exploration_endless": agent(TD3, exploration_noise=5.0),
    "policy_collapsed": agent(curves={"train/entropy": curve([1.3, 0.5, 0.1, *[0.001] * 40])}),
    "never_commits": agent(curves={"train/entropy": line(1.386, 1.386)}),
    "one_action": agent(play={"greedy": {"commonest_action": 1.0, "actions": 4}}),
    "actions_saturated": agent(SAC, play={"greedy": {"at_bound": 1.0, "at_one_bound": 1.0}}),
    "q_overestimated": agent(OFF, play={"greedy": {"value": 500.0, "achieved": 9.0, "achieved_max": 12.0}}),
    "values_explode": agent(OFF, curves={"train/q_loss": curve(np.logspace(0, 9, 40))}),
    "value_explains_nothing": agent(curves={"train/explained_variance": line(0.0, 0.01)}),
    "vanishing_gradients": agent(
        layers={"gradient": {"a": 1e-9, "b": 1e-6, "c": 1e-4, "d": 1e-2, "e": 1.0}},
        hidden_sizes=(32,) * 8,
        activation="sigmoid",
    ),
    "network_small": agent(hidden_sizes=(2, 2)),
    "dead_units": agent(layers={"still": {"actor.encoder.mlp.0": 0.1, "critic.heads.hidden.1": 0.99}}),
    "evaluation_elsewhere": agent(
        score=0.0,
        curves={"rollout/episode_return": line(0, 90), "eval/episode_return": line(0, 1, 6)},
        play={name: {"return_mean": 0.0, "return_std": 1.0, "episodes": 20} for name in ("greedy", "sampled")},
    ),
    "effects_late": agent(env={"effect": {"obs": True, "reward": True, "after": 4}}),
    "obs_rarely_change": agent(env={"obs": {"unchanged": 0.97, "entries": 4}}),
    "reset_incomplete": agent(env={"repeats": False, "goes_on": True}),
    "ends_by_chance": agent(env={"ends": {"told": 0.52, "length_max": 90, "length_min": 3, "ended": 1.0}}),
    "limit_short": agent(env={"ends": {"truncated": 1.0, "length_max": 4, "length_min": 4, "ended": 1.0}}),
    "exploding_gradients": agent(max_grad_norm=0.0, curves={"train/grad_norm": curve(np.logspace(0, 6, 40))}),
    "run_short": agent(total_steps=1500, curves={"rollout/episode_length": line(400, 400)}).__class__(
        **{**vars(agent(total_steps=1500)), "step": 1500, "total": 1500}
    ),
    "peaked_and_fell": agent(curves={"rollout/episode_return": curve([*range(0, 90, 4), *[5] * 40])}),
    "flat_from_the_start": agent(score=0.0, curves={"rollout/episode_return": line(0, 0.1)}),
    "interface": agent(env={"problems": ["reset() returned ndarray alone"]}),
    "obs_constant": agent(env={"obs": {"constant_share": 1.0, "entries": 4}}),
    "obs_nonfinite": agent(env={"obs": {"nonfinite": 0.1}}),
    "actions_without_effect": agent(env={"effect": {"obs": False, "reward": False}}),
    "episodes_end_at_once": agent(env={"ends": {"length_max": 1, "length_min": 1, "ended": 1.0}}),
    "hidden_randomness": agent(env={"repeats": False}),
    "no_reward_signal": agent(
        env={"reward": {"std": 0.0, "max": 0.0, "usual": 0.0}, "ends": {"length_max": 9, "length_min": 9}},
        curves={"rollout/episode_return": line(0, 0)},
    ),
    "reward_scale": agent(env={"reward": {"size": 1e6}}),
    "reward_outlier": agent(env={"reward": {"outlier": 1e4, "min": -1e4, "max": 1.0, "usual": 1.0}}),
    "obs_outlier": agent(env={"obs": {"jump": 1e6, "jump_entry": 2, "largest": 1e6}}),
    "obs_unscaled": agent(env={"obs": {"scale_ratio": 1e4, "widest_rms": 1e3, "widest": 0}}),
    "obs_noise": agent(env={"memory": {"entry": 0, "one": 1.0, "two": 1.0, "all_two": 0.99, "persistence": 0.01}}),
    "obs_wraps": agent(env={"obs": {"wraps": [2]}}),
    "hidden_context": agent(env={"context": {"moves": {"all": 0.1, "own": 0.1}, "pays": {"all": 0.5, "own": 0.1}}}),
    "memory_missing": agent(env={"memory": {"entry": 1, "one": 0.9, "two": 0.05}}),
    "time_limit_as_end": agent(
        env={
            "ends": {
                **{"terminated_at_longest": 1.0, "terminated_longest": 50, "terminated": 1.0},
                **{"length_max": 50, "length_min": 50, "limit": None},
            }
        }
    ),
    "epochs_few": task(epochs=5, curves={"val/loss": line(2.0, 1.0, 5)}),
    "jagged": task(batch_size=1, curves={"val/loss": curve([1.0, 0.2] * 20)}),
    "overfitting": task(
        curves={"val/loss": curve([2, 1.5, 1, *np.linspace(1, 3, 40)]), "train/loss": line(2.0, 0.01)},
        data={"skill": {"train": 1.0, "val": 0.5}},
    ),
    "underfitting": task(encoder="linear", data={"skill": {"train": 0.4, "val": 0.4}}),
    "features_unscaled": task(scaler="none", data={"scale_ratio": 1e5, "skill": {"val": 0.1}}),
    "marker_value": task(
        data={"marker": {"column": "age", "end": "lowest", "share": 0.1, "gap": 900.0}, "skill": {"val": 0.3}}
    ),
    "leakage": task(data={"best_column_skill": 0.999, "second_column_skill": 0.4, "best_column": "paid at"}),
    "nothing_to_learn": task(data={"skill": {"train": 1.0, "val": -0.1}, "forest_skill": 0.02}),
    "rows_repeated": task(data={"repeated": 0.9}),
    "validation_small": task(data={"rows": {"train": 150, "val": 3, "test": 30}}),
    "imbalance": task(
        data={"majority": 0.95, "skill": {"val": 0.1}, "accuracy": {"val": 0.95}, "classes": 2, "forest_skill": 0.1}
    ),
    "target_outliers": task(data={"target_outlier": 1000.0}),
    "class_missing": task(data={"missing": {"val": [2]}}),
    "test_far_from_validation": task(data={"skill": {"train": 0.9, "val": 0.9, "test": 0.3}}),
}


@pytest.mark.parametrize("cause", FAULTS)
def test_a_fault_is_among_the_first_two_findings(cause):
    found = findings_of(FAULTS[cause])
    assert cause in [f.cause for f in found[:2]], [f.cause for f in found]
    finding = next(f for f in found if f.cause == cause)
    assert finding.evidence and finding.why and finding.source and (finding.remedy or finding.advice)


HEALTHY_RUNS = {
    "ppo that has learned": agent(score=99.0, curves={"rollout/episode_return": line(0, 99)}),
    "ppo under way": agent(score=60.0, curves={"rollout/episode_return": line(0, 60)}),
    "dqn": agent(OFF, score=95.0, curves={"train/q_mean": line(0, 20), "train/q_loss": line(1, 0.2)}),
    "half the learning rate": agent(learning_rate=1.5e-4, score=80.0),
    "task": task(curves={"val/loss": curve(np.exp(-np.arange(40) / 4) + 0.1), "train/loss": line(1.0, 0.1)}),
}


@pytest.mark.parametrize("name", HEALTHY_RUNS)
def test_healthy_runs_get_one_line_that_says_so(name):
    found = findings_of(HEALTHY_RUNS[name])
    assert not [f for f in found if not f.hint]
    assert text(found).startswith(HEALTHY)


def test_every_rule_is_silent_where_nothing_is_known():
    for kind in ("agent", "task"):
        assert findings_of(Case(kind, "x", {})) == []
    assert len(RULES) > 50


@pytest.mark.parametrize("values", [[math.nan] * 20, [math.inf] * 20, [1.0], []])
def test_curves_of_nothing_finite_are_as_none(values):
    tags = ("train/approx_kl", "train/entropy", "rollout/episode_return", "train/q_loss", "val/loss", "train/grad_norm")
    case = agent(
        learning_rate=3e-4,
        score=90.0,
        curves={tag: curve(values) if values else Curve(*[np.zeros(0)] * 2) for tag in tags},
    )
    assert [c for c in findings_of(case) if not c.hint] == []


def test_layers_of_actor_and_critic_are_judged_each_by_itself():
    deep = {"hidden_sizes": (32,) * 8, "activation": "sigmoid"}
    fine = {f"actor.{n}": 0.1 for n in range(6)} | {f"critic.{n}": 1e-4 for n in range(6)}
    assert "vanishing_gradients" not in causes(agent(SAC, layers={"gradient": fine}, **deep))
    gone = fine | {"critic.0": 1e-9}
    assert "vanishing_gradients" in causes(agent(SAC, layers={"gradient": gone}, **deep))
    flat = {"still": {"actor.0": 0.0}, "near": {"actor.0": 0.99}}
    assert "dead_units" in causes(agent(SAC, layers=flat, activation="tanh"))
    assert "dead_units" not in causes(agent(SAC, layers=flat, activation="relu"))  # where half of all is flat


def test_rounds_without_new_experience_are_few_updates():
    assert "few_updates" in causes(agent(OFF | {"train_every": 1}, train_every=5000))


def test_a_short_run_need_not_have_learned_anything():
    flat = {"rollout/episode_return": line(0, 0.1)}
    for total, fault in ((100_000, True), (20_000, False)):
        case = agent(score=0.0, curves=flat)
        case.config["total_steps"] = total
        (found,) = [f for f in findings_of(case) if f.cause == "flat_from_the_start"]
        assert found.hint != fault


def test_a_mean_over_shared_episodes_that_wanders_has_not_fallen():
    """Independent returns about a mean that never changes; two of a hundred episodes are new at each point."""
    returns = np.random.default_rng(0).normal(-49.0, 2.0, 2000)
    wandering = curve([returns[max(n - 100, 0) : n].mean() for n in range(2, 2002, 2)])
    flat = {"rollout/episode_return": wandering, "rollout/episode_length": line(50, 50, 1000)}
    fallen = curve([*np.linspace(-49, -10, 500), *np.linspace(-10, -45, 500)])
    facts = {"random_return": -49.0, "random_std": 0.0}
    assert "peaked_and_fell" not in causes(agent(score=-49.0, reference=-2.0, env=facts, curves=flat))
    gone = flat | {"rollout/episode_return": fallen}
    assert "peaked_and_fell" in causes(agent(score=-45.0, reference=-2.0, env=facts, curves=gone))


def test_a_setting_far_off_is_a_hint_where_the_run_has_learned():
    found = findings_of(agent(learning_rate=3e-3, score=99.0))
    assert [f.cause for f in found if f.hint] == ["learning_rate_high"]


def test_the_remedy_is_typed_as_flags():
    (found,) = [f for f in findings_of(FAULTS["learning_rate_high"]) if f.cause == "learning_rate_high"]
    assert found.flags() == "--learning-rate 0.0003"
    (found,) = [f for f in findings_of(FAULTS["obs_unscaled"]) if f.cause == "obs_unscaled"]
    assert found.flags() == "--normalize-obs"


@pytest.mark.parametrize(
    "rate, kl, told", [(3e-6, 1e-8, 3e-3), (3e-5, 1e-4, 3e-4), (3e-5, 2e-5, 7e-4), (3e-7, 0.0, 3e-4)]
)
def test_a_low_learning_rate_is_raised_until_the_policy_moves(rate, kl, told):
    """By hand: 3e-5 · √(0.01 / 2e-5) = 6.7e-4; never below the usual 3e-4 nor above ten times that."""
    case = agent(learning_rate=rate, score=0.0, curves={"train/approx_kl": line(kl, kl)})
    (found,) = [f for f in findings_of(case) if f.cause == "learning_rate_low"]
    assert found.remedy == {"learning_rate": pytest.approx(told)}


def test_a_case_survives_being_written_down():
    case = FAULTS["learning_rate_high"]
    assert causes(from_plain(to_plain(case))) == causes(case)


def test_thresholds_are_used():
    assert all(isinstance(value, float) for value in map(float, T.values()))


def test_a_run_that_learned_to_count_with_its_memory_has_no_fault_in_ends_at_one_step():
    told = FAULTS["time_limit_as_end"]
    learned = {"score": 99.0, "reference": None, "env": told.env, "curves": {"rollout/episode_return": line(0, 99)}}
    assert {f.cause: f.hint for f in findings_of(agent(**learned))}["time_limit_as_end"] is False
    assert {f.cause: f.hint for f in findings_of(agent(**learned, encoder="gru"))}["time_limit_as_end"] is True
