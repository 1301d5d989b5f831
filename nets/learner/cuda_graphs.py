"""Replays whole procedures on a GPU as one CUDA graph: the same kernels without Python and launches between them.

A procedure may change tensors in place, and takes and gives tensors in dicts and tuples. It is run as it stands a few
times, then beside its graph, from the same state: a graph that cannot be made or disagrees is dropped with one line.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from agent_gym.ground.blocks import part, pinned, places

WARM = 3  # calls before a graph is made: libraries and states that come with the first use are there then
TRIALS = 2  # calls on which a graph must agree before it is trusted
DEVICES = {"cuda"}  # where graphs are made
MAX_GRAPHS = 8  # kept of one procedure; one that wants more is not worth recording

_inside = False  # a procedure is running: those that it calls are parts of it


def records(device: torch.device) -> bool:
    """Whether procedures can be recorded there."""
    return device.type in DEVICES


def apart(a: torch.device, b: torch.device) -> bool:
    """Whether tensors have to travel from one to the other."""
    return a.type != b.type


@contextmanager
def _as_one() -> Iterator[None]:
    global _inside
    before, _inside = _inside, True
    try:
        yield
    finally:
        _inside = before


def leaves_of(tree: Any) -> list[Tensor]:
    """The tensors of nested dicts, tuples and lists, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    parts = () if tree is None else tree.values() if isinstance(tree, dict) else tree
    return [leaf for part in parts for leaf in leaves_of(part)]


def mapped(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """The same structure with `function` of each tensor."""
    if tree is None or isinstance(tree, Tensor):
        return None if tree is None else function(tree)
    if isinstance(tree, dict):
        return {key: mapped(function, part) for key, part in tree.items()}
    return tuple(mapped(function, part) for part in tree)


class Recorded:
    """A procedure, replayed once that has shown to change nothing.

    `function(*inputs)` must do the same operations on every call of one variant and shape, wait for nothing, and
    leave alone whatever is not a tensor. `changed()` gives the tensors that it changes in place, which stay where
    they are; those it only writes anew in the same way may be left out. It draws from `generators` and torch's own.
    Inputs may lie on the CPU: they travel in one copy. Results come as copies, which nothing writes to later, or
    `borrowed`: until the next call. Without `record` it is run as it stands.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        device: torch.device,
        changed: Callable[[], Iterable[Tensor]],
        generators: Iterable[torch.Generator] = (),
        *,
        record: bool = True,
        borrowed: bool = False,
    ) -> None:
        self.name, self.function, self.device, self.changed = name, function, device, changed
        self.generators, self.record, self.borrowed = list(generators), record, borrowed
        self.places: dict[Hashable, _Place] = {}
        self.dropped = ""

    def __call__(self, *inputs: Any, variant: Hashable = None) -> Any:
        if _inside:
            return self.function(*inputs)
        if not self.record or self.dropped:
            return self.function(*mapped(lambda x: x.to(self.device, non_blocking=True), inputs))
        leaves = leaves_of(inputs)
        key = (variant, *[(leaf.shape, leaf.dtype) for leaf in leaves])
        place = self.places.get(key)
        if place is None:
            if len(self.places) >= MAX_GRAPHS:
                self._drop(f"it takes more than {MAX_GRAPHS} forms")
                return self(*inputs)
            place = self.places[key] = _Place(inputs, leaves, self.device)
        place.take(leaves)
        if place.trusted:
            place.graph.replay()
            return place.results if self.borrowed else place.copies()
        place.calls += 1
        if place.calls <= WARM:
            return self._plainly(place)
        return self._tried(place)

    def _plainly(self, place: _Place) -> Any:
        with _as_one():
            return self.function(*place.inputs)

    def _tried(self, place: _Place) -> Any:
        before = self._state()
        try:
            with _waiting_forbidden(self.device):
                expected = mapped(Tensor.clone, self._plainly(place))
        except RuntimeError as error:  # a genuine one comes again
            self._put(before)
            self._drop(f"it waits for the device ({str(error).splitlines()[0][:90]})")
            return self._plainly(place)
        after = self._state()
        self._put(before)
        try:
            if place.graph is None:
                self._record(place)
            place.graph.replay()
            found = place.copies()
        except RuntimeError as error:
            self._put(after)
            self._drop(f"it cannot be recorded ({str(error).splitlines()[0][:90]})")
            return expected
        if not self._agree(place, (expected, after[0]), (found, self._state()[0]), before):
            self._drop("its graph gives other numbers")
        else:
            place.trials += 1
        self._put(after)
        return expected

    def _record(self, place: _Place) -> None:
        drawn = self._drawn()
        place.graph = make_graph(self.device, self.generators)
        try:
            with _as_one():
                place.graph.record(lambda: place.gives(self.function(*place.inputs)))
        except BaseException:
            place.graph = None
            for generator, state in zip(self._all(), drawn, strict=True):
                _restart(generator, state)
            raise

    def _agree(self, place: _Place, expected: tuple, found: tuple, before: tuple) -> bool:
        """Bit for bit; where the procedure itself is not the same twice, as far as it is."""
        pairs = list(zip(leaves_of(expected), leaves_of(found), strict=True))
        if all(_equal(a, b) for a, b in pairs):
            return True
        self._put(before)
        again = mapped(Tensor.clone, self._plainly(place))
        again = leaves_of((again, self._state()[0]))
        if all(_equal(a, b) for a, b in zip(leaves_of(expected), again, strict=True)):
            return False
        return all(torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in pairs)

    def _state(self) -> tuple[list[Tensor], list[Tensor]]:
        return [tensor.detach().clone() for tensor in self.changed()], self._drawn()

    @torch.no_grad()
    def _put(self, state: tuple[list[Tensor], list[Tensor]]) -> None:
        for tensor, value in zip(self.changed(), state[0], strict=True):
            tensor.detach().copy_(value)
        for generator, drawn in zip(self._all(), state[1], strict=True):
            generator.set_state(drawn)

    def _all(self) -> list[torch.Generator]:
        if self.device.type != "cuda":
            return [*self.generators, torch.default_generator]
        index = torch.cuda.current_device() if self.device.index is None else self.device.index
        return [*self.generators, torch.cuda.default_generators[index]]

    def _drawn(self) -> list[Tensor]:
        return [generator.get_state() for generator in self._all()]

    def _drop(self, why: str) -> None:
        self.dropped = why
        self.places.clear()
        print(f"note: {self.name} runs without a graph: {why}", file=sys.stderr)


class _Place:
    """One form of a procedure: where its inputs lie, and its graph."""

    def __init__(self, inputs: tuple, leaves: list[Tensor], device: torch.device) -> None:
        filled = [i for i, leaf in enumerate(leaves) if leaf.numel()]
        self.far = [i for i in filled if apart(leaves[i].device, device)]
        self.near = [i for i in filled if i not in self.far]
        starts, size = places([leaves[i] for i in self.far])
        with torch.inference_mode(False):
            self.leaves = [torch.empty_like(leaf, device=device) for leaf in leaves]
            self.block, self.staging = torch.empty(size, dtype=torch.uint8, device=device), pinned(size, device)
            self.staged = [part(self.staging, start, leaves[i]) for i, start in zip(self.far, starts, strict=True)]
            for i, start in zip(self.far, starts, strict=True):
                self.leaves[i] = part(self.block, start, leaves[i])
        self.sent = torch.cuda.Event() if self.far and device.type == "cuda" else None
        following = iter(self.leaves)
        self.inputs = mapped(lambda _: next(following), inputs)
        self.graph: CudaGraph | None = None
        self.calls = self.trials = 0

    @property
    def trusted(self) -> bool:
        return self.trials >= TRIALS

    @torch.no_grad()
    def take(self, leaves: list[Tensor]) -> None:
        for i in self.near:
            self.leaves[i].copy_(leaves[i])
        if self.far:
            if self.sent is not None:
                self.sent.synchronize()  # the copy before this one, long done
            for i, stage in zip(self.far, self.staged, strict=True):
                stage.copy_(leaves[i])
            self.block.copy_(self.staging, non_blocking=True)
            if self.sent is not None:
                self.sent.record()

    def gives(self, results: Any) -> None:
        """Within the recording: what the procedure gave, its single numbers put together for one copy."""
        leaves = leaves_of(results)
        self.results = results
        self.single = [i for i, leaf in enumerate(leaves) if leaf.dim() == 0 and leaf.dtype == torch.float32]
        self.packed = torch.stack([leaves[i] for i in self.single]) if self.single else None

    @torch.no_grad()
    def copies(self) -> Any:
        numbers = {} if self.packed is None else dict(zip(self.single, self.packed.clone().unbind(0), strict=True))
        count = iter(range(1 << 30))
        return mapped(lambda leaf: numbers[i] if (i := next(count)) in numbers else leaf.clone(), self.results)


class CudaGraph:
    """torch.cuda.CUDAGraph with generators of its own."""

    def __init__(self, device: torch.device, generators: Iterable[torch.Generator]) -> None:
        self.device, self.graph = device, torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)

    def record(self, function: Callable[[], None]) -> None:
        torch.cuda.synchronize(self.device)
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            function()
        # Before it records, torch sets the generators' places to 0 on the recording stream: not after a first replay.
        torch.cuda.synchronize(self.device)

    def replay(self) -> None:
        self.graph.replay()


make_graph: Callable[..., Any] = CudaGraph


def _equal(a: Tensor, b: Tensor) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())


@contextmanager
def _waiting_forbidden(device: torch.device) -> Iterator[None]:
    """Whatever waits for the GPU raises RuntimeError."""
    if device.type != "cuda":
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode")  # a prototype, says torch
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _restart(generator: torch.Generator, state: Tensor) -> None:
    """A recording that broke off leaves its generators waiting for its end: give this one a state of its own."""
    if generator.device.type == "cuda":
        fresh = torch.Generator(generator.device)
        fresh.set_state(state)
        generator.graphsafe_set_state(fresh.graphsafe_get_state())
