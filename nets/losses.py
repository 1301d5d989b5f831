"""Supervised losses by name, and quantile regression.

Each of the former is the mean over all elements (rows for the categorical ones), as in Keras.

The cross-entropies take logits and apply sigmoid or softmax themselves, which stays finite for every logit.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error; both [...] of one shape."""
    return (prediction - target).square().mean()


def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error; both [...] of one shape."""
    return (prediction - target).abs().mean()


def binary_crossentropy(logits: Tensor, target: Tensor) -> Tensor:
    """-[y log p + (1 - y) log(1 - p)], p = sigmoid(logits); both [...], target 0 to 1."""
    return F.binary_cross_entropy_with_logits(logits, target)


def categorical_crossentropy(logits: Tensor, target: Tensor) -> Tensor:
    """-Σ y log p, p = softmax(logits); both [..., C], target one-hot or probabilities."""
    return -(target * logits.log_softmax(-1)).sum(-1).mean()


def sparse_categorical_crossentropy(logits: Tensor, target: Tensor) -> Tensor:
    """-log p[y]; logits [..., C], target int64 [...] the class."""
    return F.cross_entropy(logits.flatten(0, -2), target.flatten())


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mse,
    "mae": mae,
    "binary_crossentropy": binary_crossentropy,
    "categorical_crossentropy": categorical_crossentropy,
    "sparse_categorical_crossentropy": sparse_categorical_crossentropy,
}


def quantile_huber(quantile: Tensor, target: Tensor, level: Tensor | None = None) -> Tensor:
    """Quantile regression of k estimates [..., k] on j samples [..., j] (Dabney et al. 2018, equation 10), [...].

    `level` [..., k] of the estimates; None: (i + ½) / k. Summed over the estimates and averaged over the samples, as in
    sb3-contrib's QR-DQN.
    """
    k = quantile.shape[-1]
    if level is None:
        level = (torch.arange(k, device=quantile.device, dtype=quantile.dtype) + 0.5) / k
    error = target.unsqueeze(-2) - quantile.unsqueeze(-1)  # [..., k, j]
    huber = torch.where(error.abs() > 1.0, error.abs() - 0.5, 0.5 * error.square())
    below = (error.detach() < 0).to(quantile.dtype)
    return ((level.unsqueeze(-1) - below).abs() * huber).sum(-2).mean(-1)
