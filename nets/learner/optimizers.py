"""Update rules for one vector of parameters.

torch.optim has the same rules; making one of its optimizers imports torch._dynamo, which takes 1.5 to 2.5 seconds, and
a step of its Adam costs 60 microseconds of Python. The rules here are its kernels and its operations, bit for bit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from agent_gym.ground.tensors import all_finite, require_like
from agent_gym.nets.settings import OptimizerSettings


class Optimizer(ABC):
    """Changes `parameter` in place by its gradient; its state is made at the first step."""

    def __init__(self, parameter: Tensor, config: OptimizerSettings) -> None:
        self.parameter, self.learning_rate = parameter, config.learning_rate
        self.weight_decay, self.eps = config.weight_decay, config.eps
        self.state: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self) -> None:
        if not self.state:
            self.state = self.initial()
        self.advance(self.parameter.grad)

    def initial(self) -> dict[str, Tensor]:
        """The state before the first step."""
        return {}

    @abstractmethod
    def advance(self, grad: Tensor) -> None: ...

    def decayed(self, grad: Tensor) -> Tensor:
        """The gradient with that of the penalty on the weights (L2)."""
        return grad.add(self.parameter, alpha=self.weight_decay) if self.weight_decay else grad

    def state_dict(self) -> dict:
        return {"learning_rate": self.learning_rate, "state": dict(self.state)}

    def load_state_dict(self, stored: dict) -> None:
        """A state that anybody may have written. Raises TypeError and others where it does not fit."""
        state, learning_rate = stored["state"], float(stored["learning_rate"])
        if state:
            require_like(state, self.initial(), "optimizer")
        if not math.isfinite(learning_rate) or not all_finite(state):
            raise TypeError("the optimizer's state holds NaN or infinite numbers")
        self.learning_rate = learning_rate
        self.state = {name: value.to(self.parameter.device, copy=True) for name, value in state.items()}


class Adam(Optimizer):
    """Kingma & Ba 2015, algorithm 1."""

    kernel: Any = staticmethod(torch._fused_adam_)

    def initial(self) -> dict[str, Tensor]:
        step = torch.zeros((), dtype=torch.float32, device=self.parameter.device)
        return {"step": step, "exp_avg": self._zeros(), "exp_avg_sq": self._zeros()}

    def _zeros(self) -> Tensor:
        return torch.zeros_like(self.parameter, requires_grad=False)

    def advance(self, grad: Tensor) -> None:
        state = self.state
        state["step"] += 1
        self.kernel(
            [self.parameter],
            [grad],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            lr=self.learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self.weight_decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2)."""

    kernel: Any = staticmethod(torch._fused_adamw_)


class RMSprop(Optimizer):
    """Hinton 2012, lecture 6e, with torch's constant 0.99."""

    def initial(self) -> dict[str, Tensor]:
        return {"square_avg": torch.zeros_like(self.parameter, requires_grad=False)}

    def advance(self, grad: Tensor) -> None:
        grad, square_avg = self.decayed(grad), self.state["square_avg"]
        square_avg.mul_(0.99).addcmul_(grad, grad, value=1 - 0.99)
        self.parameter.addcdiv_(grad, square_avg.sqrt().add_(self.eps), value=-self.learning_rate)


class SGD(Optimizer):
    """Steepest descent."""

    def advance(self, grad: Tensor) -> None:
        self.parameter.add_(self.decayed(grad), alpha=-self.learning_rate)


class Momentum(Optimizer):
    """Steepest descent along a running sum of gradients that fades by 0.9 a step (Polyak 1964)."""

    def initial(self) -> dict[str, Tensor]:
        return {"momentum": torch.zeros_like(self.parameter, requires_grad=False)}

    def advance(self, grad: Tensor) -> None:
        momentum = self.state["momentum"].mul_(0.9).add_(self.decayed(grad))
        self.parameter.add_(momentum, alpha=-self.learning_rate)


OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "momentum": Momentum, "sgd": SGD}
