"""What an exported model of a task computes: raw inputs to classes and probabilities, or to numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from agent_gym.export.acting import EXAMPLES, Graph

UNKNOWN = -1  # code of a category that training has not seen, and of an empty cell


class Outputs(Graph):
    """Rows "x" [B, *shape] float32 -> "output" [B, ...]: a module, and what makes probabilities of its outputs."""

    def __init__(self, module: nn.Module, final: Callable[[Tensor], Tensor] | None, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.module, self.final, self.shape = copy.deepcopy(module).cpu().eval().requires_grad_(False), final, shape
        self.inputs, self.outputs, self.about = ["x"], ["output"], {"kind": "outputs"}

    def examples(self) -> tuple[Tensor, ...]:
        return (torch.zeros(EXAMPLES, *self.shape),)

    def forward(self, *tensors: Tensor) -> Tensor:
        (x,) = tensors
        outputs = self.module(x)
        return outputs if self.final is None else self.final(outputs)


class Columns(Protocol):
    """How a table becomes inputs: tasks.tables.columns.Columns."""

    numbers: Any
    dates: tuple
    categories: tuple
    words: tuple
    embedded: tuple


class Predicting(Graph):
    """Raw inputs [B, ...] -> "class" [B] and "probabilities" [B, n], or "prediction" [B, outputs] in its own units.

    A table takes "numbers" [B, k] float32 (NaN where the cell is empty), "codes" [B, k] int64 (the place of the text
    among the known ones, -1 for others), and for each column of dates or words "dates.<name>" or "words.<name>"
    [B, k] float32. Anything else takes "x" [B, *shape], a series its window of values [B, T].
    """

    def __init__(self, model: Any, columns: Columns | None, threshold: float, window: int = 0) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
        self.spec, self.columns, self.window = model.spec, columns, window
        spec = self.spec
        self.series = spec.kind == "forecast"
        self.cut = threshold
        self.steps = model.encoder.state_dim > 0 and spec.sequence
        if columns is None:
            self.inputs, self.about = ["x"], {}
        else:
            self._take(columns)
        self.outputs = ["class", "probabilities"] if spec.classes else ["prediction"]
        self.about |= {"kind": "predictor", "obs": [], "target": spec.target, "classes": list(spec.classes)}

    def _take(self, columns: Columns) -> None:
        coded = [*columns.categories, *columns.embedded]
        self.inputs = ["numbers"] * bool(columns.numbers.names) + ["codes"] * bool(coded)
        self.inputs += [f"dates.{part.name}" for part in columns.dates]
        self.inputs += [f"words.{part.name}" for part in columns.words]
        self.about = {
            "numbers": list(columns.numbers.names),
            "codes": {part.name: list(part.known) for part in coded},
            "dates": {part.name: list(part.parts) for part in columns.dates},
            "words": {part.name: list(part.known) for part in columns.words},
        }

    def examples(self) -> tuple[Tensor, ...]:
        if self.columns is not None:
            widths = {"numbers": len(self.about["numbers"]), "codes": len(self.about["codes"])}
            for kind in ("dates", "words"):
                widths |= {f"{kind}.{name}": len(parts) for name, parts in self.about[kind].items()}
            whole = {"codes": torch.int64}
            return tuple(torch.zeros(EXAMPLES, widths[n], dtype=whole.get(n, torch.float32)) for n in self.inputs)
        if self.series:
            return (torch.zeros(EXAMPLES, self.window),)
        return (torch.zeros(EXAMPLES, *self.spec.shape, dtype=torch.uint8 if self.spec.pixels else torch.float32),)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        spec = self.spec
        x = inputs[0] if self.columns is None else self._encode(dict(zip(self.inputs, inputs, strict=True)))
        if self.series:
            x = (x - spec.shift) / spec.scale
        out = self._last(x) if self.steps else self.model.rows(x)
        if not spec.classes:
            return (out * spec.scale + spec.shift,)
        probabilities = self.model.probabilities(out)
        if probabilities.shape[-1] == 1:
            probabilities = torch.cat((1.0 - probabilities, probabilities), dim=-1)
        if probabilities.shape[-1] == 2:
            return (probabilities[:, 1] >= self.cut).long(), probabilities
        return probabilities.argmax(-1), probabilities

    def _last(self, x: Tensor) -> Tensor:
        """The output after the last step of x [B, T], one step after the other."""
        encoder, batch = self.model.encoder, x.shape[0]
        state, never = torch.zeros(batch, encoder.state_dim), torch.zeros(1, batch, dtype=torch.bool)
        for t in range(self.window):
            features, state = encoder(x[:, t].reshape(1, batch, 1), state, never)
        return self.model.head(features)[0]

    def _encode(self, given: dict[str, Tensor]) -> Tensor:
        """The network's inputs [B, width], in the order of the columns' parts."""
        columns, parts = self.columns, []
        if "numbers" in given:
            numbers, values = columns.numbers, given["numbers"]
            empty = values.isnan()
            values = torch.where(empty, _row(numbers.fill), values) * _row(numbers.scale) + _row(numbers.shift)
            parts += [values, empty[:, list(numbers.gaps)].float()]
        for part in columns.dates:
            values = given[f"dates.{part.name}"]
            values = torch.where(values.isnan(), _row(part.fill), values)
            parts.append(values * _row(part.scale) + _row(part.shift))
        for index, part in enumerate(columns.categories):
            codes = given["codes"][:, index, None]
            parts.append((codes == torch.arange(len(part.known))).float())
        parts += [given[f"words.{part.name}"] for part in columns.words]
        for index, _ in enumerate(columns.embedded, len(columns.categories)):
            parts.append((given["codes"][:, index, None] + 1).float())
        return torch.cat(parts, dim=-1)


def _row(figures: tuple[float, ...]) -> Tensor:
    return torch.from_numpy(np.array(figures, np.float32))
