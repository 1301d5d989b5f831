"""What a spectator sees of a model of Stable-Baselines3."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, distributions

from agent_gym.agents.sb3.bridge import to_arrays


@torch.no_grad()
def inspect_policy(saved: Any, obs: Any) -> dict[str, Tensor]:
    """Value and policy of an SB3Policy in the terms of Policy.inspect, where the algorithm has them and no memory."""
    policy, normalizer = saved.network, saved.normalizer
    arrays = to_arrays(obs, saved.obs_space)
    if normalizer is not None:
        arrays = normalizer.normalize_obs(arrays)
    tensors, _ = policy.obs_to_tensor(arrays)
    scale = 1.0
    if normalizer is not None and normalizer.norm_reward:
        scale = float(np.sqrt(normalizer.ret_rms.var + normalizer.epsilon))
    if hasattr(policy, "lstm_actor"):
        return {}
    if hasattr(policy, "predict_values"):
        value = policy.predict_values(tensors).flatten() * scale
        return {"value": value, **_describe(policy.get_distribution(tensors).distribution)}
    if hasattr(policy, "q_net") or hasattr(policy, "quantile_net"):
        q = policy.q_net(tensors) if hasattr(policy, "q_net") else policy.quantile_net(tensors).mean(1)
        return {"value": q.max(-1).values * scale, "q": q * scale}
    return {}


def _describe(distribution: Any) -> dict[str, Tensor]:
    match distribution:
        case distributions.Categorical():
            return {"probs": distribution.probs}
        case distributions.Normal():
            return {"mean": distribution.mean, "std": distribution.stddev}
        case distributions.Bernoulli():
            return {"bit_probs": distribution.probs}
    return {}
