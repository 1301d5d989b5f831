"""The one backprop and optimizer core: loss, gradients, clipping, step, statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.learner.compiled import compiled, require_compiler
from agent_gym.nets.learner.cuda_graphs import Recorded, records
from agent_gym.nets.learner.graphs import GradientGraph
from agent_gym.nets.learner.layers import LayerWatch
from agent_gym.nets.learner.optimizers import OPTIMIZERS
from agent_gym.nets.precision import reduced, require_bf16
from agent_gym.nets.ranks import RANKS
from agent_gym.nets.settings import OptimizerSettings

Stats = dict[str, Tensor]
LossFn = Callable[..., tuple[Tensor, Stats]]
CHECK_EVERY = 64


class NonFiniteError(UserError):
    """A loss or a gradient became NaN or infinite; the parameters were left as they stood."""


def flatten(parameters: Iterable[nn.Parameter]) -> nn.Parameter:
    """Move the parameters, and their gradients, into one vector each and leave views in their place.

    Clipping and stepping are then one operation each instead of one per parameter. Every segment starts
    on a 64-byte boundary. Returns the vector [total] with its `.grad` [total] set.
    """
    parameters = list(parameters)
    starts, total = [], 0
    for parameter in parameters:
        starts.append(total)
        total += -(-parameter.numel() // 16) * 16
    first = parameters[0]
    flat = nn.Parameter(torch.zeros(total, dtype=first.dtype, device=first.device))
    flat.grad = torch.zeros_like(flat)
    for parameter, start in zip(parameters, starts, strict=True):
        segment = slice(start, start + parameter.numel())
        flat.data[segment] = parameter.data.flatten()
        parameter.data = flat.data[segment].view(parameter.shape)
        parameter.grad = flat.grad[segment].view(parameter.shape)
    return flat


class Learner:
    """Minimises `loss_fn` over `parameters`: the only place where gradients are taken.

    `loss_fn(*batch) -> (loss [], stats)` is pure; the stats are detached tensors, read once per log interval.
    `capture` promises that the loss does the same operations on every batch of one shape, so that they may be
    replayed as one graph: on a CPU loss and gradients (nets/learner/graphs.py), on a GPU the whole update
    (nets/learner/cuda_graphs.py). `written_out` takes the place of the former: it gives the loss and fills the
    gradients itself (nets/learner/dense.py).
    """

    def __init__(
        self,
        loss_fn: LossFn,
        parameters: Iterable[nn.Parameter],
        config: OptimizerSettings,
        *,
        capture: bool = False,
        written_out: LossFn | None = None,
    ) -> None:
        self.loss_fn = loss_fn
        self.config = config
        learned = [p for p in parameters if p.requires_grad]
        if config.precision == "bf16":
            require_bf16(learned[0].device)
            self.loss_fn, written_out = reduced(loss_fn, learned[0].device), None
        self.written = self.loss_fn  # as it stands
        if config.compile:
            require_compiler(learned[0].device)
            self.loss_fn, written_out = compiled(self.loss_fn), None
        self.learned = learned
        self.parameters = flatten(learned)
        device = self.parameters.device
        replayed = capture and config.capture == "auto" and not (RANKS.size > 1 and records(device))
        self.graph = written_out
        if replayed and not records(device) and written_out is None and not config.compile:
            self.graph = GradientGraph(self.loss_fn, learned)
        self.optimizer = OPTIMIZERS[config.optimizer](self.parameters, config)
        self._failed = torch.zeros((), dtype=torch.bool, device=device)
        self._checks = 0
        self.layers: LayerWatch | None = None
        self.recorded: Recorded | None = None
        if replayed and records(device):
            self.recorded = Recorded("an update", self._update, device, self.changed)

    def watch_layers(self, model: nn.Module) -> None:
        """From now on the stats of an update hold grad_norm/<layer>, before clipping, and dead_units/<layer> too.

        `model` gives the names. Updates then run as they are written: a graph shows no layers.
        """
        self.graph = self.recorded = None
        self.layers = LayerWatch(model, self.learned)
        self.loss_fn = self.layers.around(self.written)

    @property
    def learning_rate(self) -> float:
        return self.optimizer.learning_rate

    def set_progress(self, fraction: float) -> None:
        """Set the learning rate for `fraction` (0 to 1) of the run done."""
        match self.config.schedule:
            case "constant":
                scale = 1.0
            case "linear":
                scale = 1.0 - fraction
            case "cosine":
                scale = 0.5 * (1.0 + math.cos(math.pi * fraction))
        self.optimizer.learning_rate = self.config.learning_rate * scale

    def update(self, *batch: object) -> Stats:
        """One optimizer step on one batch. Raises NonFiniteError before the parameters change."""
        return self._update(*batch) if self.recorded is None else self.recorded(*batch)

    def _update(self, *batch: object) -> Stats:
        grad = self.parameters.grad
        if self.graph is not None:
            loss, stats = self.graph(*batch)
        else:
            grad.zero_()
            loss, stats = self.loss_fn(*batch)
            loss.backward(inputs=self.learned)
            loss = loss.detach()
        RANKS.gradient_(grad)
        grad_norm = torch.linalg.vector_norm(grad)
        self._guard(loss, grad_norm, grad)
        if self.layers is not None:
            stats |= self.layers.gradients()
        if self._may_clip(grad_norm):
            grad.mul_((self.config.max_grad_norm / (grad_norm + 1e-6)).clamp_(max=1.0))
        self.optimizer.step()
        stats["loss"] = loss
        stats["grad_norm"] = grad_norm
        return stats

    def _guard(self, loss: Tensor, grad_norm: Tensor, grad: Tensor) -> None:
        if loss.device.type == "cpu":
            if not math.isfinite(loss.item() + grad_norm.item()):
                raise NonFiniteError(_MESSAGE.format(f"loss {loss.item():g}, gradient norm {grad_norm.item():g}"))
            return
        # An accelerator must not wait for the host here: blank the gradient, remember, and tell in check().
        finite = torch.isfinite(loss + grad_norm)
        self._failed |= ~finite
        torch.where(finite, grad, torch.zeros_like(grad), out=grad)

    def _may_clip(self, grad_norm: Tensor) -> bool:
        limit = self.config.max_grad_norm
        # A gradient well within the limit would be multiplied by 1; asking an accelerator would stall it.
        return limit > 0 and (grad_norm.device.type != "cpu" or grad_norm.item() > 0.999 * limit)

    def check(self, now: bool = False) -> None:
        """Raise NonFiniteError if an update failed unseen, which on an accelerator leaves the parameters alone.

        Since looking there waits for it, only one call in CHECK_EVERY looks, and each with `now`.
        """
        self._checks += 1
        if self._failed.device.type == "cpu" or not (now or self._checks % CHECK_EVERY == 0):
            return
        if self._failed.item():
            self._failed.zero_()
            raise NonFiniteError(_MESSAGE.format("seen on the accelerator"))

    def changed(self) -> list[Tensor]:
        """The tensors that an update changes in place."""
        return [self.parameters, self.parameters.grad, self._failed, *self.optimizer.state.values()]

    def restart(self) -> None:
        """Forget the steps so far: the optimizer is again as before the first one."""
        for name, value in self.optimizer.initial().items() if self.optimizer.state else ():
            self.optimizer.state[name].copy_(value)

    def state_dict(self) -> dict:
        """The optimizer's state; the parameters belong to the modules that own them. Raises NonFiniteError."""
        self.check(now=True)
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.optimizer.load_state_dict(state)


_MESSAGE = (
    "the loss or its gradient is not finite ({}): the run stops with its last good checkpoint kept; "
    "a lower --learning-rate, --max-grad-norm 0.5 or normalised observations and rewards usually mend it"
)
