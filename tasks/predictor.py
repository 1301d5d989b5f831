"""The network of a supervised task, saved together with what its inputs and outputs mean."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.budget import parameter_budget
from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import from_plain, reason
from agent_gym.ground.tensors import all_finite
from agent_gym.nets.encoders.make import Encoder, make_encoder
from agent_gym.nets.encoders.mlp import Dense, MLPEncoder
from agent_gym.nets.heads import LinearHead
from agent_gym.nets.layers.embedding import CategoryEmbedding
from agent_gym.nets.layers.ensemble import make_ensemble
from agent_gym.tasks.config import MAX_MEMBERS, TaskConfig

MAX_INPUTS = 2**26  # numbers in one input
BOX = 4  # outputs of a detection behind those of the classes

Kind = Literal["regression", "binary", "multiclass", "forecast", "language", "detection"]


@dataclass(frozen=True)
class Spec:
    """What goes in and what comes out, as plain data."""

    kind: Kind
    """What the target is."""
    shape: tuple[int, ...]
    """One input, without the time axis of a sequence."""
    outputs: int
    """Numbers that the network puts out for each input."""
    pixels: bool = False
    """Inputs are uint8 images rather than floats."""
    sequence: bool = False
    """Inputs are sequences [N, T, *shape], read in order by a network with memory."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the outputs."""
    target: str = "target"
    """Name of what is predicted."""
    shift: float = 0.0
    """The network predicts (target - shift) / scale."""
    scale: float = 1.0
    """See shift."""
    columns: dict = field(default_factory=dict)
    """How the rows of a table become inputs; see tasks.tables.columns."""
    embeddings: tuple[tuple[int, int], ...] = ()
    """Of each of the last inputs, numbers of categories: how many there are, and the length of the vector for each."""
    series: dict = field(default_factory=dict)
    """How windows of a series become inputs and outputs become values; see tasks.windows."""
    members: int = 1
    """Networks of equal shape whose mean is the prediction."""

    text: dict = field(default_factory=dict)
    """How texts become inputs; see tasks.text.inputs."""
    tokens: int = 0
    """Inputs are numbers of tokens below this; 0: they are not."""

    def checked(self) -> Spec:
        """Itself. Raises TypeError where its fields contradict each other or ask for more than any task has."""
        if not 1 <= math.prod(self.shape) <= MAX_INPUTS or min(self.shape, default=0) < 1:
            raise TypeError(f"inputs of shape {self.shape[:4]}, expected at most {MAX_INPUTS:,} numbers")
        outputs = {"regression": (1,), "binary": (1, 2), "multiclass": (len(self.classes),)}.get(self.kind)
        classes = {"binary": 2, "multiclass": self.outputs, "detection": self.outputs - BOX}.get(self.kind, 0)
        if self.outputs < 1 or len(self.classes) != classes or (outputs and self.outputs not in outputs):
            raise TypeError(f"{self.outputs} outputs and {len(self.classes)} classes do not make a {self.kind} target")
        if not (math.isfinite(self.shift) and math.isfinite(self.scale)) or self.scale == 0:
            raise TypeError(f"shift {self.shift} and scale {self.scale}, expected finite numbers and a scale above 0")
        if self.embeddings and (len(self.shape) != 1 or len(self.embeddings) > self.shape[0] or self.sequence):
            raise TypeError(f"{len(self.embeddings)} categories among inputs of shape {self.shape[:4]}")
        if any(not 1 <= count <= MAX_INPUTS or not 1 <= size <= MAX_INPUTS for count, size in self.embeddings):
            raise TypeError("categories of impossible size")
        if not 1 <= self.members <= MAX_MEMBERS or (self.members > 1 and (self.sequence or self.pixels)):
            raise TypeError(f"{self.members} members, expected 1 to {MAX_MEMBERS} for a table")
        if not 0 <= self.tokens <= MAX_INPUTS:
            raise TypeError(f"{self.tokens} tokens, expected at most {MAX_INPUTS:,}")
        return self

    def space(self) -> spaces.Box:
        """The space of one input, as encoders take it."""
        if self.tokens:
            return spaces.Box(0, self.tokens - 1, self.shape, np.int64)
        if self.pixels:
            return spaces.Box(0, 255, self.shape, np.uint8)
        return spaces.Box(-np.inf, np.inf, self.shape, np.float32)


class Predictor(nn.Module):
    """An encoder and a linear head, or several as one batched network; its state_dict holds the Spec beside them."""

    def __init__(self, spec: Spec, config: TaskConfig) -> None:
        super().__init__()
        self.spec = spec
        space, self.inputs = spec.space(), None
        if spec.embeddings:
            self.inputs = CategoryEmbedding(spec.shape[0], spec.embeddings)
            space = spaces.Box(-np.inf, np.inf, (self.inputs.out_dim,), np.float32)
        if spec.members > 1:
            self.ensemble = make_ensemble(spec.members, space.shape[0], spec.outputs, config.encoder_settings())
            self.encoder = self.head = None
        else:
            self.encoder, self.ensemble = self.build_encoder(space, config), None
            self.head = self.build_head()

    @property
    def memory(self) -> int:
        """Numbers that the network keeps from step to step of a sequence."""
        return self.encoder.state_dim if self.encoder is not None else 0

    def dense_layers(self) -> list[tuple[nn.Linear, str]] | None:
        """The layers from inputs [B, n] to outputs with the names of their activations; None for any other network."""
        encoder = self.encoder
        if self.inputs is not None or not isinstance(encoder, MLPEncoder) or len(self.spec.shape) != 1:
            return None
        dense = [layer for layer in encoder.mlp if isinstance(layer, Dense) and layer.norm is None]
        if self.spec.sequence or self.spec.pixels or len(dense) < len(encoder.mlp):
            return None
        return [*((layer, layer.activation_name) for layer in dense), (self.head, "")]

    def build_encoder(self, space: spaces.Space, config: TaskConfig) -> Encoder:
        """The network in front of the head."""
        settings = config.encoder_settings()
        if self.spec.sequence and settings.encoder == "auto":
            settings = replace(settings, encoder="lstm", hidden_sizes=())
        return make_encoder(space, settings)

    def build_head(self) -> LinearHead:
        """From the encoder's features to the outputs."""
        return LinearHead(self.encoder.out_dim, self.spec.outputs)

    def forward(self, obs: Tensor) -> Tensor:
        """obs [T, B, *shape] -> [T, B, outputs], logits for classes. T is 1 unless inputs are sequences."""
        if self.ensemble is not None:
            return self.joined(self.each(obs.flatten(0, 1))).unflatten(0, obs.shape[:2])
        state = torch.zeros(obs.shape[1], self.encoder.state_dim, dtype=self.head.weight.dtype, device=obs.device)
        reset = torch.zeros(obs.shape[:2], dtype=torch.bool, device=obs.device)
        return self.head(self.encoder(obs if self.inputs is None else self.inputs(obs), state, reset)[0])

    def each(self, x: Tensor) -> Tensor:
        """What each member of an ensemble puts out: x [B, *shape] -> [members, B, outputs]."""
        return self.ensemble(x if self.inputs is None else self.inputs(x))

    def joined(self, outputs: Tensor) -> Tensor:
        """[members, B, outputs] -> [B, outputs]: the mean of numbers, the logits of the mean of probabilities."""
        if self.spec.kind in ("regression", "forecast"):
            return outputs.mean(0)
        if outputs.shape[-1] == 1:  # log p / (1 - p) of the mean p
            return F.logsigmoid(outputs).logsumexp(0) - F.logsigmoid(-outputs).logsumexp(0)
        return outputs.log_softmax(-1).logsumexp(0) - math.log(len(outputs))

    def rows(self, x: Tensor) -> Tensor:
        """x [B, *shape] -> [B, outputs]; sequences [B, T, *shape] -> [B, T, outputs]."""
        if self.spec.sequence:
            return self(x.transpose(0, 1)).transpose(0, 1)
        return self(x.unsqueeze(0)).squeeze(0)

    @torch.no_grad()
    def outputs(self, x: Tensor, batch_size: int = 4096) -> Tensor:
        """`rows` without dropout and gradient, in batches, the result on the CPU."""
        training = self.training
        self.eval()
        like = next(self.parameters())
        x = x.to(like.device, like.dtype if x.is_floating_point() else x.dtype)
        outputs = torch.cat([self.rows(part).cpu() for part in x.split(batch_size)])
        self.train(training)
        return outputs

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Logits [..., outputs] -> probabilities: sigmoid for one output, softmax for several."""
        return outputs.sigmoid() if outputs.shape[-1] == 1 else outputs.softmax(-1)

    def get_extra_state(self) -> dict:
        return asdict(self.spec)

    def set_extra_state(self, state: dict) -> None:
        self.spec = from_plain(Spec, state).checked()

    @classmethod
    def restored(cls, state: Any, config: TaskConfig) -> Predictor:
        """The predictor of a checkpoint, without the data it was trained on. Raises UserError where they do not fit."""
        try:
            spec = from_plain(Spec, dict(state)["_extra_state"])
            with parameter_budget(state):
                model = cls(spec.checked(), config)
            dtype = next(
                value.dtype for value in state.values() if torch.is_tensor(value) and value.is_floating_point()
            )
            model.to(dtype).load_state_dict(state)
        except Exception as error:  # whatever a foreign file leads to
            raise UserError(
                f"the weights do not fit their configuration: {reason(error)}; use another checkpoint"
            ) from error
        if not all_finite(list(model.parameters())):
            raise UserError("the weights hold NaN or infinite numbers: use another checkpoint")
        return model
