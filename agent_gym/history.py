"""What came of each epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_gym.ground.learning_curve import NONE, Shape


@dataclass
class History:
    """What came of each epoch: `history["loss"]`, `history["val_loss"]` and the metrics."""

    history: dict[str, list[float]] = field(default_factory=dict)
    run_dir: Path | None = None
    """The run directory, with curves for TensorBoard."""

    @property
    def epoch(self) -> list[int]:
        return list(range(len(self.history.get("loss", ()))))

    @property
    def pattern(self) -> str:
        """What the validation losses show, by the figures of `ground.learning_curve`: "too few epochs", "jagged",
        "overfitting", or "none" of them, as where there are fewer than two."""
        losses = self.history.get("val_loss", ())
        return Shape.of(losses).pattern() if len(losses) > 1 else NONE

    def plot(self, file: str | Path | None = None) -> Any:
        """The curves as a matplotlib figure; with `file`, written to it as a picture."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        names = [name for name in self.history if not name.startswith("val_")]
        figure = Figure(figsize=(5 * max(len(names), 1), 3.5), layout="constrained")
        FigureCanvasAgg(figure)
        for place, name in enumerate(names, 1):
            axes = figure.add_subplot(1, len(names), place)
            for each in (name, f"val_{name}"):
                if each in self.history:
                    axes.plot(self.history[each], label=each)
            axes.set_xlabel("epoch")
            axes.legend()
        if file is not None:
            figure.savefig(file)
        return figure
