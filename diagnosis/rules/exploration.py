"""Too little chance, too much of it, and policies that no longer choose."""

from __future__ import annotations

import math

import numpy as np

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import early, rule, scored, seen, state
from agent_gym.diagnosis.thresholds import T

SUTTON = "Sutton and Barto 2018, section 2.2"


@rule(live=True)
def exploration_short(case: Case) -> Finding | None:
    """Exploration that ended before it found anything (Sutton and Barto 2018, section 2.2)."""
    config, usual = case.config, case.usual
    evidence, remedy = [], {}
    if "exploration_fraction" in config:
        area = config["exploration_fraction"] * (config["exploration_initial"] + config["exploration_final"]) / 2
        would = usual["exploration_fraction"] * (usual["exploration_initial"] + usual["exploration_final"]) / 2
        if would > 0 and area < would / T["setting_times"]:
            evidence.append(
                f"random actions: from {config['exploration_initial']:g} to {config['exploration_final']:g} within "
                f"{config['exploration_fraction']:.0%} of the run (usual: from {usual['exploration_initial']:g} within "
                f"{usual['exploration_fraction']:.0%})"
            )
            names = ("exploration_initial", "exploration_final", "exploration_fraction")
            remedy = {n: usual[n] for n in names if config[n] != usual[n]}
    elif "exploration_noise" in config and usual.get("exploration_noise"):
        if config["exploration_noise"] < usual["exploration_noise"] / T["setting_times"]:
            evidence.append(f"exploration_noise {config['exploration_noise']:g} (usual {usual['exploration_noise']:g})")
            remedy = {"exploration_noise": usual["exploration_noise"]}
    elif "log_std_init" in config and config["log_std_init"] < usual.get("log_std_init", 0.0) - 2.0:
        evidence.append(
            f"log_std_init {config['log_std_init']:g}: actions are drawn within "
            f"{math.exp(config['log_std_init']):.2g} of half their range (usual {math.exp(usual['log_std_init']):.2g})"
        )
        remedy = {"log_std_init": usual["log_std_init"]}
    if not evidence:
        return None
    if told := scored(case):
        evidence.append(told)
    return Finding(
        "exploration_short",
        "exploration ended before anything was found",
        tuple(evidence),
        "what was never tried cannot be learned",
        remedy,
        weight=6.0,
        hint=state(case) == "good",
        tags=("rollout/episode_return",),
        source=SUTTON,
    )


@rule(live=True)
def exploration_endless(case: Case) -> Finding | None:
    """Actions stay random (Sutton and Barto 2018, section 2.2)."""
    config, usual = case.config, case.usual
    evidence, remedy = [], {}
    final = config.get("exploration_final")
    if final is not None and final >= max(0.4, T["setting_times"] * usual.get("exploration_final", 0.05)):
        evidence.append(
            f"exploration_final {final:g}: so many actions stay random (usual {usual['exploration_final']:g})"
        )
        remedy = {"exploration_final": usual["exploration_final"]}
    noise = config.get("exploration_noise")
    if noise is not None and noise >= max(1.0, T["setting_times"] * usual.get("exploration_noise", 0.1)):
        evidence.append(
            f"exploration_noise {noise:g} of half the range: drawn actions lie at the bounds (usual "
            f"{usual['exploration_noise']:g})"
        )
        remedy = {"exploration_noise": usual["exploration_noise"]}
    if not evidence:
        return None
    training, evaluation = case.returns, case.curve("eval/episode_return", points=1)
    if training and evaluation:
        evidence.append(f"return in training {training.late():.4g}, without chance {evaluation.late():.4g}")
    return Finding(
        "exploration_endless",
        "exploration never ends",
        (*evidence, scored(case)),
        "what is learned from is the life of a random policy, not its own",
        remedy,
        weight=6.2,
        hint=state(case) == "good" and case.gain() is not None,
        tags=("rollout/episode_return", "eval/episode_return"),
        source=SUTTON,
    )


@rule(live=True)
def policy_collapsed(case: Case) -> Finding | None:
    """Entropy gone before anything was learned (Mnih et al. 2016, section 4; Ahmed et al. 2019)."""
    entropy, n = case.curve("train/entropy", points=8), case.env.get("actions", {}).get("n")
    if entropy is None or n is None or n < 2 or state(case) == "good" or case.done < 0.2:
        return None
    full = math.log(n)
    half = entropy.part(0.0, T["entropy_gone_by"])
    gone = np.flatnonzero(half < T["entropy_gone"] * full)
    if not len(gone) or entropy.late() > T["entropy_gone"] * full:
        return None
    if state(case) == "unknown" and not falls(case):
        return None
    coefficient = case.setting("entropy_coef")
    return Finding(
        "policy_collapsed",
        "the policy has stopped trying other actions",
        (
            f"train/entropy fell to {entropy.values[gone[0]]:.3g} by step {int(entropy.steps[gone[0]]):,} of "
            f"{case.total:,} (all actions alike: {full:.3g}; healthy runs: above {T['entropy_gone'] * full:.2g} until "
            f"{T['entropy_gone_by']:.0%} of the run)",
            scored(case),
        ),
        "what is not tried any more cannot turn out to be better",
        {} if coefficient is None else {"entropy_coef": max(0.01, 3 * coefficient)},
        "lower the learning rate as well if it comes back",
        weight=3.5,
        tags=("train/entropy", "rollout/episode_return"),
        source="Mnih et al. 2016, section 4; Ahmed et al. 2019",
    )


def falls(case: Case) -> bool:
    """Whether the return has come down from where it was."""
    returns = case.returns
    if returns is None or len(returns.values) < 8:
        return False
    smooth = returns.smooth()
    rise = smooth.max() - smooth[0]
    return rise > 0 and smooth.max() - smooth[-1] > T["fell"] * rise


@rule(live=True)
def never_commits(case: Case) -> Finding | None:
    """Entropy stays that of a random policy (Schulman et al. 2017, equation 9)."""
    entropy, n = case.curve("train/entropy", points=8), case.env.get("actions", {}).get("n")
    if entropy is None or n is None or n < 2 or state(case) != "poor" or case.done < 0.5:
        return None
    full = math.log(n)
    if entropy.late() < 0.98 * full:
        return None
    return Finding(
        "never_commits",
        "the policy stays as good as random",
        (seen(entropy, "train/entropy", entropy.late(), f"falls below {0.98 * full:.3g} by the end"), scored(case)),
        "either nothing tells good actions from bad ones, or updates are too small",
        {},
        "train longer or raise --learning-rate; where that does not help, look at what the reward says of each action",
        weight=2.0,
        hint=early(case),
        tags=("train/entropy",),
        source="Schulman et al. 2017, equation 9",
    )


@rule()
def one_action(case: Case) -> Finding | None:
    """The trained policy does the same whatever it sees."""
    play = case.play.get("greedy", {})
    share = play.get("commonest_action")
    if share is None or play.get("actions", 0) < 2 or share < T["one_action"] or state(case) == "good":
        return None
    return Finding(
        "one_action",
        "the policy always takes the same action",
        (f"the commonest action is {share:.1%} of all (healthy runs: below {T['one_action']:.1%})", scored(case)),
        "it has stopped looking at what it observes",
        {"entropy_coef": 0.01} if "entropy_coef" in case.config else {},
        "see whether observations tell the situations apart, and lower the learning rate",
        weight=2.2,
        hint=early(case),
        source="Ahmed et al. 2019",
    )


@rule()
def actions_saturated(case: Case) -> Finding | None:
    """Actions at their bounds throughout (Fujimoto et al. 2018; Hausknecht and Stone 2016, section 4)."""
    play = case.play.get("greedy", {})
    at_one, at = play.get("at_one_bound"), play.get("at_bound")
    if at is None or state(case) == "good" or (at < T["at_bound"]):
        return None
    return Finding(
        "actions_saturated",
        "actions lie at their bounds",
        (f"{at:.0%} of actions (at one bound {at_one:.0%}; healthy runs: below {T['at_bound']:.0%})", scored(case)),
        "a squashed action at its bound has no gradient, so the policy cannot come back",
        {"normalize_obs": True} if case.setting("normalize_obs") is False else {},
        "lower the learning rate, and see whether observations or rewards are large",
        weight=2.5,
        hint=early(case),
        source="Hausknecht and Stone 2016, section 4",
    )


@rule()
def nothing_new(case: Case) -> Finding | None:
    """What it sees is the same few situations over and over (Bellemare et al. 2016; Ecoffet et al. 2021)."""
    chance, now = case.env.get("obs", {}).get("different"), case.play.get("sampled", {}).get("different")
    if chance is None or now is None or now > T["nothing_new"] * chance or state(case) != "poor":
        return None
    config, remedy = case.config, {}
    if "exploration_final" in config:
        remedy = {"exploration_final": max(0.2, config["exploration_final"]), "exploration_fraction": 0.5}
    elif config.get("exploration_noise") is not None:
        remedy = {"exploration_noise": max(0.5, 2.0 * config["exploration_noise"])}
    elif "entropy_coef" in config:
        remedy = {"entropy_coef": max(0.05, 3.0 * config["entropy_coef"])}
    elif config.get("alpha"):
        remedy = {"alpha": 0.0}
    into = "the replay buffer" if "buffer_size" in config else "rollouts"
    return Finding(
        "nothing_new",
        f"{into} get{'s' if 'buffer_size' in config else ''} nothing new",
        (
            f"{now:.1%} of the situations that it meets, exploring as at the end of training, differ; with random "
            f"actions {chance:.1%} (healthy runs: more than {T['nothing_new']:.0%} of that)",
            scored(case),
        ),
        "it learns the same few transitions by heart, and what it has never seen cannot be learned",
        remedy,
        weight=3.2,
        tags=("rollout/episode_return",),
        source="Bellemare et al. 2016; Ecoffet et al. 2021",
    )
