"""What TensorBoard's Custom Scalars tab shows: by category and title the tags, which are regular expressions.

TensorBoard merges the layouts of all runs by category: runs of one kind must have the same charts in it.
"""

from __future__ import annotations


def lines(*tags: str) -> list:
    return ["Multiline", list(tags)]


SHARES = "time/(environment|acting|learning|evaluation|logging|checkpoints|waiting)"
SPEED = {"speed": {"steps a second": lines("time/steps_per_second"), "share of the time": lines(SHARES)}}
AGENT_CHARTS = {
    "agents": {
        "return in evaluation": lines("eval/episode_return"),
        "return in training": lines("rollout/episode_return"),
        "episode length": lines("rollout/episode_length", "eval/episode_length"),
    },
    "agents: losses": {
        "policy": lines("train/policy_loss"),
        "value": lines("train/value_loss", "train/q_loss"),
        "estimated value": lines("train/q_mean"),
        "explained variance": lines("train/explained_variance"),
    },
    "agents: updates": {
        "KL divergence from the policy before": lines("train/approx_kl"),
        "gradient norm": lines("train/grad_norm"),
        "clipped share": lines("train/clip_fraction"),
        "entropy": lines("train/entropy"),
        "weight of the entropy": lines("train/alpha"),
        "learning rate": lines("train/learning_rate"),
    },
    **SPEED,
}
TASK_CHARTS = {
    "tasks": {
        "validation loss": lines("val/loss"),
        "validation scores": lines("val/(?!loss$).+"),
        "training loss": lines("train/loss"),
        "training scores": lines("train/(accuracy|mae)"),
    },
    "tasks: updates": {"gradient norm": lines("train/grad_norm"), "learning rate": lines("train/learning_rate")},
    **SPEED,
}
