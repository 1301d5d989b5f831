"""Update rules for one vector of parameters.

torch.optim has the same rules; making one of its optimizers imports torch._dynamo, which takes 1.5 to 2.5 seconds, and
a step of its Adam costs 60 microseconds of Python. The rules here are its kernels and its operations, bit for bit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from agent_gym.ground.tensors import all_finite, require_like
from agent_gym.nets.learner.cuda_graphs import records
from agent_gym.nets.settings import OptimizerSettings


class Optimizer(ABC):
    """Changes `parameter` in place by its gradient; its state is made at the first step."""

    def __init__(self, parameter: Tensor, config: OptimizerSettings) -> None:
        self.parameter = parameter
        self.weight_decay, self.eps = config.weight_decay, config.eps
        self.state: dict[str, Tensor] = {}
        # A graph on a GPU reads the rate where it lies; on a CPU a number is quicker.
        self.rate = torch.zeros((), device=parameter.device) if records(parameter.device) else None
        self.learning_rate = config.learning_rate

    @property
    def learning_rate(self) -> float:
        """The size of the next step."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if self.rate is not None and value != getattr(self, "_learning_rate", None):
            self.rate.fill_(value)
        self._learning_rate = value

    def descend(self, direction: Tensor, over: Tensor | None = None) -> None:
        """parameter -= learning rate × direction, or × direction / `over`."""
        if self.rate is not None:
            direction = direction if over is None else direction / over
            self.parameter.addcmul_(direction, self.rate.expand_as(direction), value=-1.0)
        elif over is None:
            self.parameter.add_(direction, alpha=-self.learning_rate)
        else:
            self.parameter.addcdiv_(direction, over, value=-self.learning_rate)

    @torch.no_grad()
    def step(self) -> None:
        if not self.state:
            self.state = self.initial()
        self.advance(self.parameter.grad)

    def step_with(self, others: Sequence[Optimizer]) -> None:
        """The steps of `others`, of this kind and with states, itself among them."""
        for other in others:
            other.step()

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
        if self.state.keys() == state.keys():  # graphs hold on to where it lies
            for name, value in state.items():
                self.state[name].copy_(value)
        else:
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
        self.state["step"] += 1
        self._apply([self], [grad])

    def _apply(self, others: Sequence[Adam], grads: list[Tensor]) -> None:
        states = [other.state for other in others]
        self.kernel(
            [other.parameter for other in others],
            grads,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            lr=self.learning_rate if self.rate is None else self.rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self.weight_decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def step_with(self, others: Sequence[Adam]) -> None:
        if any(other.learning_rate != self.learning_rate for other in others):
            super().step_with(others)
            return
        torch._foreach_add_([other.state["step"] for other in others], 1.0)
        self._apply(others, [other.parameter.grad for other in others])


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
        self.descend(grad, square_avg.sqrt().add_(self.eps))


class SGD(Optimizer):
    """Steepest descent."""

    def advance(self, grad: Tensor) -> None:
        self.descend(self.decayed(grad))


class Momentum(Optimizer):
    """Steepest descent along a running sum of gradients that fades by 0.9 a step (Polyak 1964)."""

    def initial(self) -> dict[str, Tensor]:
        return {"momentum": torch.zeros_like(self.parameter, requires_grad=False)}

    def advance(self, grad: Tensor) -> None:
        momentum = self.state["momentum"].mul_(0.9).add_(self.decayed(grad))
        self.descend(momentum)


@torch.no_grad()
def step_all(optimizers: Sequence[Optimizer]) -> None:
    """The step of each, bit for bit, of optimizers of one kind that have their states."""
    optimizers[0].step_with(optimizers)


OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "momentum": Momentum, "sgd": SGD}
