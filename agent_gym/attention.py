"""Where the heads of an agent's transformer look in an episode, as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from agent_gym.ground.tree import tree_map
from agent_gym.nets.encoders.attention.transformer import TransformerEncoder

LONGEST = 64  # steps of the episode that are shown


@torch.no_grad()
def attention_pictures(policy: Any, env: Any, seed: int) -> dict[str, np.ndarray]:
    """The attention weights of the steps of an episode under their tag; nothing for another encoder.

    policy: acts in the vector environment `env`, whose first episode is shown.
    """
    found = [module for module in policy.modules() if isinstance(module, TransformerEncoder)]
    if not found:
        return {}
    from agent_gym.tasks.plots import attention_image

    encoder, read = found[0], []
    hook = encoder.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    try:
        obs, state = env.reset(seed), policy.initial_state(env.num_envs)
        reset = torch.ones(env.num_envs, dtype=torch.bool, device=state.device)
        for _ in range(LONGEST):
            action, state, _ = policy.act(obs, state, reset, explore=False)
            step = env.step(action)
            obs, reset = step.obs, step.terminated | step.truncated
            if reset[0]:
                break
    finally:
        hook.remove()
    whole = tree_map(lambda *steps: torch.cat([part[:, :1] for part in steps]), *read)
    seen: list[Tensor] = []
    encoder(whole, encoder.initial_state(1), torch.zeros(len(read), 1, dtype=torch.bool, device=state.device), seen)
    names = [str(number) for number in range(len(read))]
    return {"final/attention": attention_image([w[0, :, :, -len(read) :].cpu().numpy() for w in seen], names, names)}
