"""Graphs as files: ONNX with everything about them inside, and torch.export's .pt2."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from agent_gym.export.acting import Graph
from agent_gym.export.exported import KEY
from agent_gym.ground.errors import UserError, unwritable

FORMATS = (".onnx", ".pt2")


def can_write_onnx() -> bool:
    """Whether what torch's exporter needs is installed."""
    return all(find_spec(package) is not None for package in ("onnx", "onnxscript"))


def require_format(path: Path) -> None:
    """Raise UserError unless a file of this name can be written here."""
    if path.suffix not in FORMATS:
        raise UserError(f"cannot export to {path}: expected a name that ends in {' or '.join(FORMATS)}")
    if path.suffix == ".onnx":
        try:
            import onnx  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise UserError(f"an export to {path} needs {error.name}: pip install 'agent-gym[export]'") from None


def write_graph(graph: Graph, path: Path, about: dict) -> None:
    """Write `graph` to `path`, by its suffix, whole or not at all, with `about` in it. Raises UserError."""
    require_format(path)
    about = about | graph.about
    temporary = path.with_name(f".{path.name}.partial{path.suffix}")
    graph.eval()
    try:
        with _quiet(), torch.no_grad():
            (_write_onnx if path.suffix == ".onnx" else _write_pt2)(graph, temporary, about)
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable("the export", path, error, "try again, or choose another path") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_onnx(graph: Graph, path: Path, about: dict) -> None:
    program = torch.onnx.export(
        graph,
        graph.examples(),
        dynamo=True,
        input_names=graph.inputs,
        output_names=graph.outputs,
        dynamic_shapes=_batches(graph),
        verbose=False,
    )
    model = program.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(about)
    path.write_bytes(model.SerializeToString())


def _write_pt2(graph: Graph, path: Path, about: dict) -> None:
    program = torch.export.export(graph, graph.examples(), dynamic_shapes=_batches(graph))
    torch.export.save(program, path, extra_files={KEY: json.dumps(about)})


def _batches(graph: Graph) -> tuple:
    """The first dimension of every input may be of any size."""
    batch = torch.export.Dim("batch", min=1, max=2**20)
    return (tuple({0: batch} for _ in graph.inputs),)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter speaks of its own parts, which tells the user nothing."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
