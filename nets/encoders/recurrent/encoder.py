"""Encoders with a memory: inputs and an MLP (or CNN), then LSTM, GRU or tanh RNN layers.

One forward serves acting and training: a single step goes through PyTorch's cells, a sequence through
lstm.py or scan.py. Weights, gate order and equations are those of torch.nn.LSTM, GRU and RNN.
"""

from math import sqrt

import torch
from torch import Tensor, nn

from agent_gym.ground.tree import Tree
from agent_gym.nets.encoders.base import Encoder
from agent_gym.nets.encoders.mlp import MLPEncoder
from agent_gym.nets.encoders.recurrent.lstm import Layout, control_weights, make_layout
from agent_gym.nets.encoders.recurrent.scan import GRUScan, RNNScan
from agent_gym.nets.precision import precisely
from agent_gym.nets.settings import EncoderSettings


class RecurrentLayer(nn.Module):
    """The parameters of one recurrent layer of `gates` gates, named as in torch.nn without the layer's number."""

    gates: int

    def __init__(self, in_dim: int, size: int, orthogonal: bool):
        super().__init__()
        self.size = size
        bound = 1.0 / sqrt(size)
        for name, columns in (("weight_ih", in_dim), ("weight_hh", size)):
            weight = torch.empty(self.gates * size, columns).uniform_(-bound, bound)
            if orthogonal:
                for gate in weight.split(size):
                    nn.init.orthogonal_(gate)
            self.register_parameter(name, nn.Parameter(weight))
        bound = 0.0 if orthogonal else bound
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, nn.Parameter(torch.empty(self.gates * size).uniform_(-bound, bound)))

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh


class RNNLayer(RecurrentLayer):
    """x [T, B, in], h [B, H], keep [T, B, 1] -> h of every step [T, B, H]; step: one step without T."""

    gates = 1

    def forward(self, x: Tensor, h: Tensor, keep: Tensor) -> Tensor:
        return RNNScan.apply(x, h, keep, *self.weights)

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.rnn_tanh_cell(x, h, *self.weights)


class GRULayer(RecurrentLayer):
    """x [T, B, in], h [B, H], keep [T, B, 1] -> h of every step [T, B, H]; step: one step without T."""

    gates = 3

    def forward(self, x: Tensor, h: Tensor, keep: Tensor) -> Tensor:
        return GRUScan.apply(x, h, keep, *self.weights)

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.gru_cell(x, h, *self.weights)


class LSTMLayer(RecurrentLayer):
    """x [T', B, in], h and c [B, H] -> h of every step [T', B, H], last c; step: one step without T.

    With a layout, x holds its flush and hold steps.
    """

    gates = 4

    def __init__(self, in_dim: int, size: int, orthogonal: bool):
        super().__init__(in_dim, size, orthogonal)
        self.register_buffer("control", control_weights(size), persistent=False)

    def forward(self, x: Tensor, h: Tensor, c: Tensor, layout: Layout | None) -> tuple[Tensor, Tensor]:
        weight_ih, *others = self.weights
        if layout is not None:
            x = torch.cat((x, layout.control), dim=-1)
            weight_ih = torch.cat((weight_ih, self.control), dim=-1)
        state = (h.unsqueeze(0).contiguous(), c.unsqueeze(0).contiguous())
        # has_biases, num_layers, dropout, train (cuDNN keeps what backward needs), bidirectional, batch_first
        out, _, c = torch.lstm(x, state, [weight_ih, *others], True, 1, 0.0, True, False, False)
        return out, c.squeeze(0)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return torch.lstm_cell(x, (h, c), *self.weights)


LAYERS: dict[str, type[RecurrentLayer]] = {"rnn": RNNLayer, "gru": GRULayer, "lstm": LSTMLayer}


class RecurrentEncoder(Encoder):
    """A stem without memory, then recurrent layers; the last one's h are the features.

    state: [B, H * layers] for rnn and gru; [B, 2 * H * layers] for lstm, h and c of the first layer first.
    """

    def __init__(self, stem: MLPEncoder, config: EncoderSettings):
        super().__init__()
        self.stem = stem
        self.out_dim = config.recurrent_size
        self.is_lstm = config.encoder == "lstm"
        in_dims = [stem.out_dim] + [config.recurrent_size] * (config.recurrent_layers - 1)
        self.layers = nn.ModuleList(
            LAYERS[config.encoder](in_dim, config.recurrent_size, config.orthogonal) for in_dim in in_dims
        )
        self.parts = len(in_dims) * (2 if self.is_lstm else 1)
        self.state_dim = self.parts * config.recurrent_size

    def forward(self, obs: Tree, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        x, _ = self.stem(obs, state, reset)
        return precisely(lambda x: self._remember(x, state, reset), x)

    def _remember(self, x: Tensor, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        if x.shape[0] == 1:
            state = state.masked_fill(reset[0].unsqueeze(-1), 0.0)
            x, states = self._step(x[0], state.chunk(self.parts, dim=-1))
            x = x.unsqueeze(0)
        else:
            scan = self._scan_lstm if self.is_lstm else self._scan
            x, states = scan(x, state.chunk(self.parts, dim=-1), reset)
        return x, states[0] if len(states) == 1 else torch.cat(states, dim=-1)

    def _step(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        """One step, x [B, n]."""
        after: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            if self.is_lstm:
                x, c = layer.step(x, *states[2 * index : 2 * index + 2])
                after += [x, c]
            else:
                x = layer.step(x, states[index])
                after.append(x)
        return x, after

    def _scan(self, x: Tensor, states: tuple[Tensor, ...], reset: Tensor) -> tuple[Tensor, list[Tensor]]:
        """A sequence through rnn or gru, x [T, B, n]."""
        keep = (~reset).unsqueeze(-1).to(x.dtype)
        after: list[Tensor] = []
        for layer, state in zip(self.layers, states, strict=True):
            x = layer(x, state, keep)
            after.append(x[-1])
        return x, after

    def _scan_lstm(self, x: Tensor, states: tuple[Tensor, ...], reset: Tensor) -> tuple[Tensor, list[Tensor]]:
        """A sequence through lstm, x [T, B, n]."""
        layout = make_layout(reset, x.dtype)
        if layout is not None:
            x = layout.spread(x)
        after: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            x, c = layer(x, *states[2 * index : 2 * index + 2], layout)
            after += [x[-1] if layout is None else layout.last(x), c]
        return x if layout is None else layout.gather(x), after
