"""Layers by Keras's names and arguments, whose sizes follow from what goes into them; channels stand last.

Model([Dense(16, activation="relu", input_shape=(4,)), Dense(3, activation="softmax")])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.layers.activations import ACTIVATIONS

Shape = tuple[int, ...]
FINAL: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "softmax": lambda x: x.softmax(-1)}


class Layer(ABC):
    """A layer that becomes a module once the shape of its input is known (without the batch's dimension)."""

    input_shape: Shape | None = None
    activation: str | None = None

    @abstractmethod
    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        """The module without its activation, and the shape of what it puts out. Raises UserError."""

    def _activated(self, activation: str | None) -> None:
        known = ("linear", *FINAL, *ACTIVATIONS)
        if activation is not None and activation not in known:
            raise UserError(f"activation {activation!r}: expected one of {', '.join(known)}")
        self.activation = None if activation == "linear" else activation


def activate(name: str) -> Callable[[Tensor], Tensor]:
    """The function of an activation's name."""
    return FINAL.get(name) or ACTIVATIONS[name]


class Activation(nn.Module):
    """An activation by its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.function = name, activate(name)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Dense(Layer):
    """`units` weighted sums of the last axis."""

    def __init__(self, units: int, activation: str | None = None, input_shape: Shape | None = None, **more: Any):
        self.units, self.input_shape = _positive("units", units), input_shape or _input_dim(more)
        self._activated(activation)

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        return _glorot(nn.Linear(shape[-1], self.units)), (*shape[:-1], self.units)


class Conv2D(Layer):
    """`filters` convolutions of an image [H, W, C]; padding "valid" or "same"."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
        activation: str | None = None,
        input_shape: Shape | None = None,
    ):
        self.filters, self.kernel, self.strides = _positive("filters", filters), _pair(kernel_size), _pair(strides)
        if padding not in ("valid", "same"):
            raise UserError(f"padding {padding!r}: expected valid or same")
        self.padding, self.input_shape = padding, input_shape
        self._activated(activation)

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        _rank(self, shape, 3, "[height, width, channels]")
        module = _SpatialConv(shape[-1], self.filters, self.kernel, self.strides, self.padding == "same")
        sizes = module.sizes(shape[:2])
        if min(sizes) < 1:
            raise UserError(f"Conv2D: an image of {shape[0]} x {shape[1]} is smaller than the kernel {self.kernel}")
        return module, (*sizes, self.filters)


class MaxPooling2D(Layer):
    """The largest of each `pool_size` block of an image."""

    def __init__(self, pool_size: int | tuple[int, int] = 2, strides: int | tuple[int, int] | None = None):
        self.pool, self.strides = _pair(pool_size), _pair(pool_size if strides is None else strides)

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        _rank(self, shape, 3, "[height, width, channels]")
        sizes = tuple((n - k) // s + 1 for n, k, s in zip(shape[:2], self.pool, self.strides, strict=True))
        if min(sizes) < 1:
            raise UserError(f"MaxPooling2D: an image of {shape[0]} x {shape[1]} is smaller than its pool {self.pool}")
        return _ChannelsLast(nn.MaxPool2d(self.pool, self.strides)), (*sizes, shape[-1])


class Flatten(Layer):
    """All axes as one."""

    def __init__(self, input_shape: Shape | None = None):
        self.input_shape = input_shape

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        return nn.Flatten(), (prod(shape),)


class Dropout(Layer):
    """Leaves out a share of the numbers while training."""

    def __init__(self, rate: float):
        if not 0.0 <= rate < 1.0:
            raise UserError(f"rate {rate}: expected 0 or more and below 1")
        self.rate = rate

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        return nn.Dropout(self.rate), shape


class Embedding(Layer):
    """A vector of `output_dim` numbers for each whole number below `input_dim`."""

    def __init__(self, input_dim: int, output_dim: int, input_length: int | None = None):
        self.input_dim, self.output_dim = _positive("input_dim", input_dim), _positive("output_dim", output_dim)
        self.input_shape = None if input_length is None else (input_length,)

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        return _Lookup(self.input_dim, self.output_dim), (*shape, self.output_dim)


class _Recurrent(Layer):
    module: type[nn.Module]

    def __init__(self, units: int, return_sequences: bool = False, input_shape: Shape | None = None):
        self.units, self.return_sequences = _positive("units", units), return_sequences
        self.input_shape = input_shape

    def build(self, shape: Shape) -> tuple[nn.Module, Shape]:
        _rank(self, shape, 2, "[steps, features]")
        module = _Sequence(self.module(shape[-1], self.units, batch_first=True), self.return_sequences)
        return module, (shape[0], self.units) if self.return_sequences else (self.units,)


class SimpleRNN(_Recurrent):
    """A recurrent layer with tanh."""

    module = nn.RNN


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""

    module = nn.LSTM


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al. 2014)."""

    module = nn.GRU


class _Sequence(nn.Module):
    """A recurrent module's outputs [B, T, units], or the last of them."""

    def __init__(self, memory: nn.Module, whole: bool):
        super().__init__()
        self.memory, self.whole = memory, whole

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.memory(x)
        return outputs if self.whole else outputs[:, -1]


class _ChannelsLast(nn.Module):
    """A module for [B, C, H, W] on images [B, H, W, C]."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class _SpatialConv(nn.Module):
    """A convolution of images [B, H, W, C], padded as Keras does: "same" puts the odd row and column at the end."""

    def __init__(self, channels: int, filters: int, kernel: tuple, strides: tuple, same: bool):
        super().__init__()
        self.conv, self.same = _glorot(nn.Conv2d(channels, filters, kernel, strides)), same

    def sizes(self, size: Shape) -> Shape:
        if self.same:
            return tuple(-(-n // s) for n, s in zip(size, self.conv.stride, strict=True))
        pairs = zip(size, self.conv.kernel_size, self.conv.stride, strict=True)
        return tuple((n - k) // s + 1 for n, k, s in pairs)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        if self.same:
            pads = []
            for n, k, s in zip(x.shape[:1:-1], self.conv.kernel_size[::-1], self.conv.stride[::-1], strict=True):
                total = max((-(-n // s) - 1) * s + k - n, 0)
                pads += [total // 2, total - total // 2]
            x = nn.functional.pad(x, pads)
        return self.conv(x).permute(0, 2, 3, 1)


class _Lookup(nn.Embedding):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.long())


def _glorot(module: Any) -> Any:
    """Keras's first weights: uniform by the numbers of inputs and outputs (Glorot and Bengio 2010), no bias."""
    nn.init.xavier_uniform_(module.weight)
    nn.init.zeros_(module.bias)
    return module


def _rank(layer: Layer, shape: Shape, rank: int, wanted: str) -> None:
    if len(shape) != rank:
        raise UserError(f"{type(layer).__name__} got inputs of shape {shape}: expected {wanted}")


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise UserError(f"{name} {value!r}: expected a whole number of 1 or more")
    return value


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise UserError(f"{value!r}: expected a whole number of 1 or more, or two of them")
    return pair


def _input_dim(more: dict[str, Any]) -> Shape | None:
    """The old name of one dimension of inputs. Raises UserError for any other argument."""
    size = more.pop("input_dim", None)
    if more:
        raise UserError(f"Dense has no argument {next(iter(more))!r}: expected units, activation, input_shape")
    return None if size is None else (_positive("input_dim", size),)
