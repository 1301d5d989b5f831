"""Texts, numbers of things and graphs as one vector each: what is there is pooled, what is not is left out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agent_gym.ground.spaces import Several, Web, Words

WIDTH = 32


class WordBag(nn.Module):
    """Words [T, B, L] -> [T, B, 2 WIDTH]: the mean of their learned rows, and the mean of those of pairs in a row.

    Pairs tell "red ball near blue box" from "blue ball near red box".
    """

    out_dim = 2 * WIDTH

    def __init__(self, space: Words) -> None:
        super().__init__()
        self.table = nn.Embedding(int(space.nvec.max()), WIDTH, padding_idx=0)
        self.pair = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, obs: Tensor) -> Tensor:
        there = (obs > 0).unsqueeze(-1).float()
        rows = self.table(obs)
        pairs = torch.relu(self.pair(torch.cat((rows[..., :-1, :], rows[..., 1:, :]), -1))) * there[..., 1:, :]
        count = there.sum(-2).clamp(min=1.0)
        return torch.cat((rows.sum(-2) / count, pairs.sum(-2) / count), -1)


class Pool(nn.Module):
    """Several [T, B, L, d + 1] -> [T, B, 2 WIDTH]: mean and largest of a dense layer on each (Zaheer et al. 2017)."""

    out_dim = 2 * WIDTH

    def __init__(self, space: Several) -> None:
        super().__init__()
        self.each = nn.Linear(space.shape[1] - 1, WIDTH)

    def forward(self, obs: Tensor) -> Tensor:
        features, there = obs[..., :-1], obs[..., -1:]
        return pooled(torch.relu(self.each(features)), there)


class GraphNetwork(nn.Module):
    """Web [T, B, N, d + 1 + N] -> [T, B, 2 WIDTH]: two layers of the mean over neighbours (Hamilton et al. 2017)."""

    out_dim = 2 * WIDTH

    def __init__(self, space: Web) -> None:
        super().__init__()
        self.size = space.shape[1] - 1 - space.shape[0]
        sizes = (self.size, WIDTH)
        self.own = nn.ModuleList(nn.Linear(size, WIDTH) for size in sizes)
        self.near = nn.ModuleList(nn.Linear(size, WIDTH, bias=False) for size in sizes)

    def forward(self, obs: Tensor) -> Tensor:
        x, there, links = obs[..., : self.size], obs[..., self.size : self.size + 1], obs[..., self.size + 1 :]
        links = links / links.sum(-1, keepdim=True).clamp(min=1.0)
        for own, near in zip(self.own, self.near, strict=True):
            x = torch.relu(own(x) + near(links @ x))
        return pooled(x, there)


def pooled(x: Tensor, there: Tensor) -> Tensor:
    """Mean and largest of x [..., L, n], none of it negative, over what is there [..., L, 1]; 0 where nothing is."""
    x = x * there
    return torch.cat((x.sum(-2) / there.sum(-2).clamp(min=1.0), x.amax(-2)), -1)


POOLED = {Words: WordBag, Several: Pool, Web: GraphNetwork}
