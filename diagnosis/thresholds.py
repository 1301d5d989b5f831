"""Where a number stops being usual: every threshold of the rules, in one table.

Chosen on the runs of one half of the problems of benchmarks.faults, and reported on the other half (docs/results.md).
"""

from __future__ import annotations

T: dict[str, float] = {
    # how far a setting may lie from what the run would have had by itself
    "setting_times": 4.0,  # times as large or as small
    "setting_far": 8.0,  # from here on it is suspect where nothing else is seen but a poor score
    "setting_absurd": 100.0,  # from here on it is as certain as if something were seen
    # what counts as having learned
    "learned_gain": 0.75,  # of what healthy runs gain over random actions
    "poor_gain": 0.6,  # below this share of it something is missing
    "learned_lift": 3.0,  # deviations of a random episode's return above the random mean
    "short_run": 0.5,  # of the steps of preset or default: before it nothing need be learned
    "rise_over_noise": 12.0,  # the gain of the return over its median change from log to log
    # policy
    "entropy_gone": 0.03,  # of the entropy of uniform actions
    "entropy_gone_by": 0.6,  # of the run
    "entropy_full": 0.93,  # of the entropy at the start, at the end of the run
    "kl_large": 0.06,  # approx_kl per update; SB3 and Spinning Up aim at 0.01 to 0.02
    "kl_healthy": 0.01,
    "kl_small": 2e-4,
    "clip_large": 0.4,
    "clip_small": 0.01,
    # values
    "variance_poor": 0.15,  # explained_variance in the last part of the run
    "q_over": 2.0,  # times what was achieved
    "loss_grows": 50.0,  # times its early value
    # networks
    "narrow": 8.0,  # units of a layer
    "still_units": 0.95,  # of a layer
    "flat_outputs": 0.9,  # of all activations of a layer of tanh or sigmoid
    "vanishing": 1e-3,  # gradient of the first layer over that of the last
    "grad_large": 100.0,
    # actions
    "one_action": 0.995,
    "at_bound": 0.95,
    "nothing_new": 0.1,  # of the different situations that random actions meet
    # lengths
    "horizon": 0.2,  # of an episode that the discount sees
    "few_episodes": 10,
    "few_updates": 12,
    "late_start": 0.4,  # of the run before the first update
    "buffer_share": 0.03,  # of the run that the buffer holds
    # return curves
    "fell": 0.5,  # of the gain that is lost again
    "rising": 0.1,  # of the gain that came in the last fifth
    # environment
    "ends_told": 0.66,  # area under the ROC curve
    "paid_at_end": 0.8,  # of episodes of one length, whose last reward is unlike all before
    "context_all": 0.15,  # of what happens that is unexplained by the steps of all episodes
    "context_own": 0.3,  # of that, what is left by the steps of the same episode
    "wide_obs": 100.0,
    "wide_ratio": 300.0,
    "obs_jump": 1000.0,
    "reward_large": 1e3,
    "reward_small": 1e-3,
    "reward_outlier": 200.0,
    "noise_left": 0.5,  # of each entry's next value, unexplained
    "noise_follows": 0.6,  # correlation of an entry with its own next value
    "memory_one": 0.3,
    "memory_gain": 0.4,
    "memory_least": 0.1,  # where almost all of it is explained by two
    "memory_sure": 0.15,
    "same_end": 0.9,
    "short_limit": 8.0,  # steps
    "late_effect": 3.0,  # steps until an action shows
    "unchanged": 0.95,  # of steps that leave the observation as it was
    # speed
    "time_share": 0.6,  # of a part other than learning
    # tasks
    "fit_gap": 0.25,  # of skill between training and validation
    "by_heart": 0.4,  # the same gap, where the validation loss need not rise
    "low_skill": 0.15,  # below what a forest of trees reaches
    "feature_ratio": 100.0,
    "leak_skill": 0.97,
    "leak_lead": 0.15,
    "leak_times": 4.0,  # as much left unexplained by the next column
    "leak_least": 0.03,
    "no_signal": 0.1,  # of skill
    "repeated": 0.3,  # of rows to be judged by
    "few_rows": 10.0,
    "imbalance": 0.85,
    "target_outlier": 30.0,  # interquartile ranges
    "test_gap": 0.35,
}
