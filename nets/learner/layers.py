"""Layer by layer: how large each gradient is, and how many units no longer learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agent_gym.nets.layers.activations import tanh

STILL = 0.01  # of an activation's largest slope: below it a unit counts as dead (relu) or saturated (sigmoid, tanh)

# The slope of an activation from its output y, as a share of the largest. leaky_relu, silu and gelu never flatten out.
SLOPES: dict[Callable, Callable[[Tensor], Tensor]] = {
    torch.relu: lambda y: (y > 0).to(y.dtype),
    tanh: lambda y: 1.0 - y.square(),
    torch.sigmoid: lambda y: 4.0 * y * (1.0 - y),
    F.elu: lambda y: (y + 1.0).clamp(max=1.0),
    F.softplus: lambda y: 1.0 - (-y).exp(),
}


def still_units(y: Tensor, activation: Callable, units: tuple[int, ...] = (-1,)) -> Tensor:
    """The share [] of units, along the dimensions `units` of the outputs y, that are flat on every row."""
    slope = SLOPES.get(activation)
    if slope is None:
        return torch.zeros((), device=y.device)
    last = tuple(range(-len(units), 0))
    rows = slope(y.detach()).movedim(units, last).flatten(-len(units)).flatten(0, -2)
    return (rows < STILL).all(0).float().mean()


class LayerWatch:
    """Statistics of the layers of `model` that hold some of the parameters `learned`, under the names that the model
    gives them: grad_norm/<layer> and, of layers with an activation, dead_units/<layer>."""

    def __init__(self, model: nn.Module, learned: list[nn.Parameter]) -> None:
        mine = {id(parameter) for parameter in learned}
        self.parameters: dict[str, list[nn.Parameter]] = {}
        for name, module in model.named_modules():
            own = [p for p in module.parameters(recurse=False) if id(p) in mine]
            if own:
                self.parameters[name or "network"] = own
        self.counting = False
        self.counts: dict[str, Tensor] = {}
        for name, module, activation, units in activated(model):
            if name in self.parameters:
                module.register_forward_hook(self._hook(name, activation, units))

    def _hook(self, name: str, activation: Callable | None, units: tuple[int, ...]) -> Callable:
        def count(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            if self.counting:
                known = module.activation if activation is None else activation
                y = output if activation is None or isinstance(module, nn.ReLU) else activation(output.detach())
                self.counts[f"dead_units/{name}"] = still_units(y, known, units)

        return count

    def around(self, loss_fn: Callable) -> Callable:
        """`loss_fn` with the counts of its (last) forward pass among its stats."""

        def loss(*batch: object) -> tuple[Tensor, dict[str, Tensor]]:
            self.counting = True
            try:
                value, stats = loss_fn(*batch)
            finally:
                self.counting = False
            return value, stats | self.counts

        return loss

    def gradients(self) -> dict[str, Tensor]:
        """The norm [] of each layer's gradient as it lies in the parameters' `.grad`."""
        return {
            f"grad_norm/{name}": torch.stack(torch._foreach_norm([p.grad for p in own])).norm()
            for name, own in self.parameters.items()
        }


def activated(model: nn.Module) -> Iterator[tuple[str, nn.Module, Callable | None, tuple[int, ...]]]:
    """Layers with an activation: name, the module to listen to, the activation, the dimensions of the units.

    A linear layer with an attribute `activation` applies it to its own output (None is given then); a module that
    holds a list `hidden`, to the output of each layer there. With `num` it is so many networks, which stand first. An
    nn.ReLU belongs to the layer before it.
    """
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        if hasattr(module, "activation"):
            layers = getattr(module, "hidden", None)
            if isinstance(module, nn.Linear):
                yield name, module, None, (-1,)
            units = (0, -1) if hasattr(module, "num") else (-1,)
            for number, layer in enumerate(layers or ()):
                inner = next((f".{n}" for n, m in layer.named_modules() if n and list(m.parameters(recurse=False))), "")
                yield f"{prefix}hidden.{number}{inner}", layer, module.activation, units
        if isinstance(module, nn.Sequential):
            before = ""
            for child_name, child in module.named_children():
                if isinstance(child, nn.ReLU) and before:
                    convolution = isinstance(dict(module.named_children())[before], nn.Conv2d)
                    yield f"{prefix}{before}", child, torch.relu, (1,) if convolution else (-1,)
                before = child_name


@torch.no_grad()
def unit_counts(model: nn.Module, forward: Callable[[], object]) -> tuple[dict[str, float], dict[str, float]]:
    """By layer with an activation, in one pass of `forward`: the share of units that are flat on every row, and the
    share of all outputs that are."""
    still, near, hooks = {}, {}, []

    def hook(name: str, activation: Callable | None, units: tuple[int, ...]) -> Callable:
        def count(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            known = module.activation if activation is None else activation
            y = output if activation is None or isinstance(module, nn.ReLU) else activation(output)
            slope = SLOPES.get(known)
            if slope is not None:
                still[name] = still_units(y, known, units).item()
                near[name] = (slope(y) < STILL).float().mean().item()

        return count

    for name, module, activation, units in activated(model):
        hooks.append(module.register_forward_hook(hook(name, activation, units)))
    try:
        forward()
    finally:
        for each in hooks:
            each.remove()
    return still, near


def layer_gradients(model: nn.Module, forward: Callable[[], object]) -> dict[str, float]:
    """By layer: the root mean square of the gradient of the mean squared outputs of `forward`."""
    with torch.enable_grad():
        outputs = [x for x in _outputs(forward()) if x.requires_grad]
        if not outputs:
            return {}
        total = sum(x.float().square().mean() for x in outputs)
        weights = ((n, p) for n, p in model.named_parameters() if p.dim() > 1 and not n.endswith("bias"))
        named = [(n, p) for n, p in weights if p.requires_grad]
        gradients = torch.autograd.grad(total, [p for _, p in named], allow_unused=True)
    return {
        name.removesuffix(".weight"): g.square().mean().sqrt().item()
        for (name, _), g in zip(named, gradients, strict=True)
        if g is not None
    }


def _outputs(value: object) -> Iterator[Tensor]:
    """The tensors in what a network gives: a tuple, a distribution, a tensor."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.numel():
            yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _outputs(part)
    elif hasattr(value, "mode"):
        for part in vars(value).values():
            yield from _outputs(part)
