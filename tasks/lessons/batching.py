"""What a minibatch buys: microseconds a row by its size, and why errors are averaged and not summed."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from agent_gym.nets.encoders.mlp import MLP
from agent_gym.nets.heads import LinearHead
from agent_gym.nets.learner.learner import Learner, NonFiniteError, Stats
from agent_gym.nets.losses import mse
from agent_gym.nets.settings import OptimizerSettings
from agent_gym.tasks.lessons.settings import BatchingConfig
from agent_gym.tasks.plots import curves_image
from agent_gym.tasks.study import Record, Study, layer_tables

INPUTS = 16
LOSSES = {"mse": mse, "sse": lambda prediction, target: (prediction - target).square().sum()}
STILL = 1e-9  # a learning rate that moves nothing
TEST_ROWS = 5000
REPEATS = 3  # of a timing, of which the shortest counts


def teacher(x: Tensor) -> Tensor:
    """Rows [B, INPUTS] -> what is to be learned of them, [B, 1]."""
    return (x[:, :4].sum(-1, keepdim=True) / 2.0).sin() + 0.5 * x[:, 4:5] * x[:, 5:6]


class Batching(Study):
    """A batch size a step."""

    config: BatchingConfig
    headline = "speedup"

    def __init__(self, config: BatchingConfig, device: torch.device | str = "cpu") -> None:
        super().__init__(config, device)
        self.model, self.learners = nn.ModuleDict({"network": self.network(), "record": Record()}), {}

    def network(self) -> nn.Module:
        body = MLP(INPUTS, self.config.hidden_sizes, "relu")
        return nn.Sequential(body, LinearHead(body.out_dim, 1)).to(self.device)

    def copy_with(self, loss: str, learning_rate: float) -> tuple[nn.Module, Learner]:
        """A copy of the network and its Learner."""
        network = self.network()
        network.load_state_dict(self.model["network"].state_dict())

        def loss_fn(x: Tensor, y: Tensor) -> tuple[Tensor, Stats]:
            return LOSSES[loss](network(x), y), {}

        return network, Learner(
            loss_fn, network.parameters(), OptimizerSettings(optimizer="sgd", learning_rate=learning_rate)
        )

    def layers(self) -> str:
        return layer_tables({"one network": (self.model["network"], torch.zeros(1, INPUTS, device=self.device))})

    def draw(self, count: int, purpose: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(count, INPUTS, generator=self.generator(purpose)).to(self.device)
        return x, teacher(x)

    def update(self) -> Stats:
        """Times, gradients and descents at the next batch size."""
        size = self.config.batch_sizes[self.steps]
        batch = self.draw(size, 0)
        learns, acts = self.seconds_a_row(size, batch)
        gradients, losses, after = {}, {}, {}
        for name in LOSSES:
            first = self.copy_with(name, STILL)[1].update(*batch)
            gradients[name], losses[name] = first["grad_norm"].item(), first["loss"].item()
            after[name] = self.descend(name, size)
        row = (size, 1e6 * learns, 1e6 * acts, *losses.values(), *gradients.values(), *after.values())
        self.model["record"].note("sizes", *row)
        self.steps += 1
        return {"loss": torch.tensor(after["mse"]), "microseconds_a_row": torch.tensor(1e6 * learns)}

    def seconds_a_row(self, size: int, batch: tuple[Tensor, Tensor]) -> tuple[float, float]:
        """The time of a row in an optimizer step, and in a prediction."""
        learner, network = self.copy_with("mse", STILL)[1], self.model["network"]
        count = max(self.config.rows // size, 3)

        def shortest(work: Callable[[], object]) -> float:
            work()
            times = []
            for _ in range(REPEATS):
                start = self.clock()
                for _ in range(count):
                    work()
                times.append(self.clock() - start)
            return min(times) / (count * size)

        with torch.no_grad():
            acts = shortest(lambda: network(batch[0]))
        return shortest(lambda: learner.update(*batch)), acts

    def clock(self) -> float:
        """Seconds: of the processor, which others on the machine do not change, or passed once a GPU is done."""
        if self.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @torch.no_grad()
    def error(self, network: nn.Module) -> float:
        """The mean squared error on TEST_ROWS other rows; inf where it is not finite."""
        x, y = self.draw(TEST_ROWS, 10**6)
        error = mse(network(x), y).item()
        return error if np.isfinite(error) else float("inf")

    def descend(self, loss: str, size: int) -> float:
        """The mean squared error after some steps at this batch size; inf where they diverge."""
        network, learner = self.copy_with(loss, self.config.learning_rate)
        try:
            for step in range(self.config.descent_steps):
                learner.update(*self.draw(size, 1 + step))
        except NonFiniteError:
            return float("inf")
        return self.error(network)

    def test(self) -> dict[str, float]:
        names = ("microseconds_a_row", "predict_microseconds_a_row", "mse", "sse", "mse_gradient", "sse_gradient")
        metrics = {}
        for size, *values in self.model["record"].rows["sizes"]:
            metrics |= {f"{name}_{size:g}": value for name, value in zip(names, values[:6], strict=True)}
        rows = self.model["record"].columns("sizes")[1]
        return metrics | {"speedup": rows[0] / rows[-1]}

    def report(self, metrics: dict[str, float]) -> str:
        rows = self.model["record"].rows["sizes"]
        lines = ["   batch  microseconds a row: learning  predicting"]
        lines += [f"{size:8,.0f}  {learns:28.3g}  {acts:10.3g}" for size, learns, acts, *_ in rows]
        lines += [
            "",
            "                 loss               gradient norm    MSE after " + f"{self.config.descent_steps} steps",
        ]
        lines += ["   batch     MSE       SSE     of MSE    of SSE     on MSE    on SSE"]
        for size, _, _, *others in rows:
            cells = "".join(f"{value:10.3g}" if np.isfinite(value) else f"{'diverged':>10}" for value in others)
            lines.append(f"{size:8,.0f}" + cells)
        return "\n".join(lines)

    def images(self) -> dict[str, np.ndarray]:
        size, learns, acts, _, _, mse_gradient, sse_gradient, _, _ = self.model["record"].columns("sizes")
        panels = {
            "microseconds a row": {"an optimizer step": (size, learns), "a prediction": (size, acts)},
            "gradient norm": {"MSE": (size, mse_gradient), "SSE": (size, sse_gradient)},
        }
        return {"lesson/batching": curves_image(panels, "rows in a minibatch", log="xy")}
