"""Takes out of a traced graph what need not be done in every replay; the numbers stay the same to the last bit.

For small networks a replay costs some 2 microseconds for each operation, whatever its size, and more than half of
those that autograd records are views, constants and repetitions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

aten = torch.ops.aten

# Made of the shape of their first operand alone, and shapes are fixed.
LIKE = {
    aten.ones_like.default,
    aten.zeros_like.default,
    aten.full_like.default,
    aten.new_zeros.default,
    aten.new_ones.default,
    aten.new_full.default,
}
# Elementwise: where all operands change their shape alike, the result may as well change it after them.
POINTWISE = {
    aten.relu.default,
    aten.threshold_backward.default,
    aten.tanh.default,
    aten.tanh_backward.default,
    aten.sigmoid.default,
    aten.sigmoid_backward.default,
    aten.silu.default,
    aten.silu_backward.default,
}
# These can write their result where it is wanted.
WRITERS = {
    aten.mm.default: aten.mm.out,
    aten.bmm.default: aten.bmm.out,
    aten.sum.dim_IntList: aten.sum.IntList_out,
}
Values = dict[fx.Node, object]


def simplify(module: fx.GraphModule, inputs: Sequence[Tensor], wanted: Sequence[Tensor | None]) -> set[int]:
    """Simplify in place a graph that gives a tuple. `wanted`: where each result is to be written, None: anywhere.

    Returns which results the graph now writes there itself. The values of the graph must not depend on chance.
    """
    for node in _calls(module):
        if node.target is aten._unsafe_view.default:  # a view that autograd does not follow
            node.target = aten.view.default
    _without_writes(module)
    if any(_writes(node) for node in _calls(module)):
        return set()  # what follows holds only where no operation changes its operands
    for change in (_unique, _fixed, _views, _after_pointwise, _views, _unique, _relu_in_place):
        change(module, _Recorder(module).values(inputs))
        module.graph.eliminate_dead_code()
    written = _write_where_wanted(module, _Recorder(module).values(inputs), wanted)
    module.graph.lint()
    module.recompile()
    return written


class _Recorder(fx.Interpreter):
    """Runs a graph once and keeps what each node gives."""

    def values(self, inputs: Sequence[Tensor]) -> Values:
        self.kept: Values = {}
        with torch.no_grad():
            self.run(*inputs)
        return self.kept

    def run_node(self, n: fx.Node) -> object:
        self.kept[n] = super().run_node(n)
        return self.kept[n]


def _calls(module: fx.GraphModule) -> list[fx.Node]:
    return [n for n in module.graph.nodes if n.op == "call_function" and isinstance(n.target, torch._ops.OpOverload)]


def _writes(node: fx.Node) -> bool:
    return node.target._schema.is_mutable


def _is_view(node: object) -> bool:
    """Whether the node gives one tensor that shares memory with its first operand."""
    target = getattr(node, "target", None)
    if not isinstance(target, torch._ops.OpOverload) or not target.is_view:
        return False
    return [str(result.type) for result in target._schema.returns] == ["Tensor"]


def _replace(module: fx.GraphModule, node: fx.Node, values: Values, target: object, *args: object) -> fx.Node:
    """Put an operation of the same value in the place of `node`."""
    with module.graph.inserting_before(node):
        new = module.graph.call_function(target, args)
    values[new] = values[node]
    node.replace_all_uses_with(new)
    return new


def _held(module: fx.GraphModule, before: fx.Node, tensor: Tensor) -> fx.Node:
    """A node for a tensor that is at hand."""
    name = f"held{len(list(module.buffers()))}"
    module.register_buffer(name, tensor, persistent=False)
    with module.graph.inserting_before(before):
        return module.graph.get_attr(name)


def _without_writes(module: fx.GraphModule) -> None:
    """x.op_(y) as op(x, y) where nobody else sees x."""
    for node in _calls(module):
        x, name = node.args[0] if node.args else None, node.target._schema.name.removeprefix("aten::")
        if not (_writes(node) and name.endswith("_") and isinstance(x, fx.Node)):
            continue
        functional = getattr(getattr(aten, name[:-1], None), node.target._overloadname, None)
        if functional is not None and x.op == "call_function" and len(x.users) == 1 and not _is_view(x):
            node.target = functional


def _unique(module: fx.GraphModule, values: Values) -> None:
    """Every operation is done once, and none that leaves its operand as it is: x to the power of 1, x times 1."""
    first: dict[object, fx.Node] = {}
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            node.replace_all_uses_with(first.setdefault(id(values[node]), node))
        elif node.op == "call_function":
            if node.target in (aten.pow.Tensor_Scalar, aten.mul.Scalar) and node.args[1] == 1:
                node.replace_all_uses_with(node.args[0])
            else:
                node.replace_all_uses_with(first.setdefault((node.target, str(node.args), str(node.kwargs)), node))


def _fixed(module: fx.GraphModule, values: Values) -> None:
    """Views of parameters, which see what is written to them, and constants are made once and for all."""
    views = {node for node in module.graph.nodes if node.op == "get_attr"}
    constants: set[fx.Node] = set()
    for node in _calls(module):
        if node.target in LIKE or all(n in constants for n in node.all_input_nodes):
            constants.add(node)
        elif _is_view(node) and all(n in views or n in constants for n in node.all_input_nodes):
            views.add(node)
    for node in _calls(module):
        if (node in constants or node in views) and any(user not in constants | views for user in node.users):
            node.replace_all_uses_with(_held(module, node, values[node]))


def _views(module: fx.GraphModule, values: Values) -> None:
    """A view of a view is one view, or none where it ends at the shape it started from."""
    for node in _calls(module):
        if not _is_view(node):
            continue
        above, value = [node], values[node]
        while _is_view(above[-1]):
            above.append(above[-1].args[0])
        root = above[-1]
        for other in reversed(above[1:]):
            if _same(values[other], value):
                node.replace_all_uses_with(other)
                break
        else:
            plain = values[root].is_contiguous() and value.is_contiguous() and values[root].numel() == value.numel()
            if plain and (len(above) > 2 or node.target is not aten.view.default):
                _replace(module, node, values, aten.view.default, root, list(value.shape))


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.stride() == b.stride() and a.storage_offset() == b.storage_offset()


def _after_pointwise(module: fx.GraphModule, values: Values) -> None:
    """relu(view(x)) as view(relu(x)), so that views meet and vanish."""
    for node in _calls(module):
        tensors = node.all_input_nodes
        if node.target not in POINTWISE or any(n.target is not aten.view.default for n in tensors):
            continue
        shapes = {values[n.args[0]].shape for n in tensors}
        if len(shapes) == 1 and all(n.args[0].op == "call_function" for n in tensors):
            with module.graph.inserting_before(node):
                inner = module.graph.node_copy(node, lambda n: n.args[0])
            values[inner] = values[node].view(*shapes)
            _replace(module, node, values, aten.view.default, inner, list(values[node].shape))


def _relu_in_place(module: fx.GraphModule, values: Values) -> None:
    """Half the time of a relu that makes a new tensor. From here on operations change their operands."""
    for node in _calls(module):
        if node.target is not aten.relu.default:
            continue
        x = node.args[0]
        if len(x.users) == 1 and x.target in (aten.addmm.default, aten.baddbmm.default):
            node.target = aten.relu_.default


def _write_where_wanted(module: fx.GraphModule, values: Values, wanted: Sequence[Tensor | None]) -> set[int]:
    """The results that an operation can write to their place, which saves a copy."""
    output = next(n for n in module.graph.nodes if n.op == "output")
    results, written = list(output.args[0]), set()
    for i, (node, place) in enumerate(zip(results, wanted, strict=True)):
        maker = node.args[0] if node.target is aten.view.default else node
        alone = results.count(node) == len(node.users) == len(maker.users) == 1
        if place is None or not alone or maker.target not in WRITERS:
            continue
        held = _held(module, maker, place.detach().view(values[maker].shape))
        with module.graph.inserting_before(maker):
            results[i] = module.graph.call_function(WRITERS[maker.target], maker.args, {**maker.kwargs, "out": held})
        written.add(i)
    output.args = (tuple(results),)
    module.graph.eliminate_dead_code()
    return written
