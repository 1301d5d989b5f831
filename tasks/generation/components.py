"""Images as the amounts of their principal components, so that small networks can make them."""

from __future__ import annotations

import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from agent_gym.tasks.generation.source import Digits, Source

FITTED_ON = 5000  # images


class Rows(nn.Module):
    """Points are taken as they are."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.size = source.size

    def encode(self, rows: Tensor) -> Tensor:
        return rows

    def decode(self, codes: Tensor) -> Tensor:
        return codes


class Components(nn.Module):
    """Rows [B, size] -> amounts [B, count] of the components that vary most, the first of deviation 1, and back."""

    def __init__(self, source: Digits, count: int) -> None:
        super().__init__()
        rows = source.rows(slice(FITTED_ON))
        self.size = min(count, *rows.shape)
        fitted = PCA(self.size, svd_solver="full").fit(rows.numpy())
        scale = float(fitted.explained_variance_[0]) ** 0.5
        self.register_buffer("mean", torch.from_numpy(fitted.mean_).float())
        self.register_buffer("basis", torch.from_numpy(fitted.components_).float() * scale)
        self.register_buffer("inverse", torch.from_numpy(fitted.components_).float() / scale)
        self.kept = float(fitted.explained_variance_ratio_.sum())

    def encode(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) @ self.inverse.T

    def decode(self, codes: Tensor) -> Tensor:
        return codes @ self.basis + self.mean
