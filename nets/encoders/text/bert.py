"""BERT (Devlin et al. 2019): tokens to features by post-norm layers, and sentences to vectors (Reimers 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agent_gym.nets.encoders.attention.layer import TransformerLayer
from agent_gym.nets.encoders.text.sequence import padding_bias


@dataclass(frozen=True)
class BertSizes:
    """The sizes of a BERT, as in its config.json."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12


class Bert(nn.Module):
    """Tokens [N, L] -> features [N, L, d]."""

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.sizes, size = sizes, sizes.hidden_size
        self.words = nn.Embedding(sizes.vocab_size, size)
        self.places = nn.Embedding(sizes.max_position_embeddings, size)
        self.types = nn.Embedding(sizes.type_vocab_size, size)
        self.norm = nn.LayerNorm(size, sizes.layer_norm_eps)
        self.layers = nn.ModuleList(
            TransformerLayer(size, sizes.num_attention_heads, norm_first=False) for _ in range(sizes.num_hidden_layers)
        )
        for layer in self.layers:
            layer.norm1.eps = layer.norm2.eps = sizes.layer_norm_eps

    def forward(self, tokens: Tensor, known: Tensor) -> Tensor:
        """known [N, L]: whether there is a token."""
        x = self.norm(self.words(tokens) + self.places.weight[: tokens.shape[1]] + self.types.weight[0])
        bias = padding_bias(known)
        for layer in self.layers:
            x, _, _ = layer(x, bias)
        return x

    def sentences(self, tokens: Tensor, known: Tensor) -> Tensor:
        """The mean of the features over the tokens, of length 1: [N, d]."""
        there = known.unsqueeze(-1)
        mean = (self(tokens, known) * there).sum(1) / there.sum(1)
        return torch.nn.functional.normalize(mean, dim=-1)


def from_hugging_face(stored: dict[str, Tensor], sizes: BertSizes) -> dict[str, Tensor]:
    """The tensors of a BERT as `transformers` names them, as `Bert` does. Raises KeyError for one that is missing."""
    state = {
        "words.weight": stored["embeddings.word_embeddings.weight"],
        "places.weight": stored["embeddings.position_embeddings.weight"],
        "types.weight": stored["embeddings.token_type_embeddings.weight"],
        "norm.weight": stored["embeddings.LayerNorm.weight"],
        "norm.bias": stored["embeddings.LayerNorm.bias"],
    }
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for index in range(sizes.num_hidden_layers):
        there, here = f"encoder.layer.{index}", f"layers.{index}"
        for kind in ("weight", "bias"):
            parts = [stored[f"{there}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"{here}.self_attn.in_proj_{kind}"] = torch.cat(parts)
            state |= {f"{here}.{ours}.{kind}": stored[f"{there}.{theirs}.{kind}"] for ours, theirs in names.items()}
    return state
