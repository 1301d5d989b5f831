"""Where the heads of a task's transformer look, as pictures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from agent_gym.nets.encoders.attention.tokens import TokenEncoder
from agent_gym.nets.encoders.attention.transformer import TransformerEncoder
from agent_gym.tasks.predictor import Predictor


@torch.no_grad()
def attention_pictures(model: Predictor, x: Tensor) -> dict[str, np.ndarray]:
    """The attention weights of the first of inputs x [N, ...] under their tag; nothing for another encoder."""
    encoder = model.encoder
    if not isinstance(encoder, TokenEncoder | TransformerEncoder):
        return {}
    from agent_gym.tasks.plots import attention_image

    obs = x[:1].transpose(0, 1) if model.spec.sequence else x[:1].unsqueeze(0)
    obs = obs if model.inputs is None else model.inputs(obs)
    seen: list[Tensor] = []
    model.eval()
    encoder(obs, encoder.initial_state(1), torch.zeros(obs.shape[:2], dtype=torch.bool, device=obs.device), seen)
    looks = seen[0].shape[-2]
    names = [str(step) for step in range(looks)] if encoder.state_dim else ["sum", *map(str, range(looks - 1))]
    # Of a sequence the first keys are those of the steps before it, of which there are none.
    return {"test/attention": attention_image([w[0, :, :, -looks:].cpu().numpy() for w in seen], names, names)}
