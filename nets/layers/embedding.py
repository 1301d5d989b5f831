"""Categories as vectors that are learned."""

import torch
from torch import Tensor, nn


class CategoryEmbedding(nn.Module):
    """The last inputs, numbers of categories, become vectors: [..., width] -> [..., out_dim].

    `sizes` holds for each of them how many categories there are and the length of their vectors. Category 0, of what
    is not known, starts as zeros.
    """

    def __init__(self, width: int, sizes: tuple[tuple[int, int], ...]):
        super().__init__()
        self.plain = width - len(sizes)
        self.out_dim = self.plain + sum(dim for _, dim in sizes)
        self.tables = nn.ModuleList(nn.Embedding(count, dim) for count, dim in sizes)
        for table in self.tables:
            nn.init.normal_(table.weight, std=0.3)
            with torch.no_grad():
                table.weight[0] = 0.0

    def forward(self, x: Tensor) -> Tensor:
        vectors = [
            table(x[..., self.plain + i].long().clamp(0, table.num_embeddings - 1))
            for i, table in enumerate(self.tables)
        ]
        return torch.cat((x[..., : self.plain], *vectors), dim=-1)
