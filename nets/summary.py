"""A layer-by-layer table of any module: name, output shape, parameters."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.tree import Tree, tree_leaves, tree_map

STEPS, BATCH = 2, 3  # of the example made from a space: an output starts with (2, 3) or, flattened, with 6


def summary(module: nn.Module, example: spaces.Space | Tree) -> str:
    """The table for `module` on observations of a space, or on an example of its input [..., n].

    Output shapes are without T and B for a space, as they are for an example. The total counts every
    parameter once, also those of layers that the forward does not use.
    """
    rows: list[tuple[str, str, int]] = []
    seen: set[int] = set()
    hooks = []
    from_space = isinstance(example, spaces.Space)

    def record(name: str, layer: nn.Module, output: Any) -> None:
        own = [p for p in layer.parameters(recurse=False) if id(p) not in seen]
        seen.update(id(p) for p in own)
        label = f"{name} ({type(layer).__name__})" if name else type(layer).__name__
        rows.append((label, _shape(output, from_space), sum(p.numel() for p in own)))

    for name, layer in module.named_modules():
        is_leaf = next(layer.children(), None) is None and not isinstance(layer, nn.Sequential)
        if is_leaf or next(layer.parameters(recurse=False), None) is not None:
            hooks.append(layer.register_forward_hook(lambda m, _, output, name=name: record(name, m, output)))
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            _forward(module, example)
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return _table(rows, sum(p.numel() for p in module.parameters()))


def _forward(module: nn.Module, example: spaces.Space | Tree) -> None:
    parameter = next(module.parameters(), None)
    device, dtype = (None, torch.float32) if parameter is None else (parameter.device, parameter.dtype)
    obs = _zeros(example) if isinstance(example, spaces.Space) else example
    obs = tree_map(lambda leaf: leaf.to(device, dtype if leaf.is_floating_point() else leaf.dtype), obs)
    if not hasattr(module, "state_dim"):
        module(obs)
        return
    steps, batch = tree_leaves(obs)[0].shape[:2]
    state = torch.zeros(batch, module.state_dim, device=device)
    module(obs, state, torch.zeros(steps, batch, dtype=torch.bool, device=device))


def _zeros(space: spaces.Space) -> Tree:
    """An observation [STEPS, BATCH, ...] of zeros."""
    if isinstance(space, spaces.Dict):
        return {key: _zeros(child) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return {str(index): _zeros(child) for index, child in enumerate(space)}
    return torch.zeros(STEPS, BATCH, *space.shape, dtype=torch.from_numpy(np.empty(0, space.dtype)).dtype)


def _shape(output: Any, strip: bool) -> str:
    """The shape of an output's first tensor, "-" if it has none (a distribution)."""
    if isinstance(output, tuple):
        output = output[0]
    if not isinstance(output, Tensor):
        return "-"
    shape = tuple(output.shape)
    if strip and shape[:2] == (STEPS, BATCH):
        shape = shape[2:]
    elif strip and shape[1:2] == (STEPS * BATCH,) != shape[:1]:  # an ensemble counts its networks first
        shape = shape[:1] + shape[2:]
    elif strip:
        shape = shape[1:]
    return "x".join(map(str, shape)) or "1"


def _table(rows: list[tuple[str, str, int]], total: int) -> str:
    lines = [("layer", "output", "parameters"), *((name, shape, f"{count:,}") for name, shape, count in rows)]
    lines.append(("total", "", f"{total:,}"))
    wide, middle, right = (max(map(len, column)) for column in zip(*lines, strict=True))
    text = [f"{name:<{wide}}  {shape:>{middle}}  {count:>{right}}" for name, shape, count in lines]
    rule = "-" * len(text[0])
    return "\n".join((text[0], rule, *text[1:-1], rule, text[-1]))
