"""Networks for tables as scikit-learn estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from agent_gym.nets.encoders.mlp import MLP
from agent_gym.nets.heads import LinearHead
from agent_gym.nets.learner.learner import Learner
from agent_gym.nets.losses import mse, sparse_categorical_crossentropy
from agent_gym.nets.settings import OptimizerSettings


class _Tabular(BaseEstimator):
    """An MLP on standardised columns, trained by the project's Learner."""

    def __init__(
        self,
        hidden_sizes: tuple[int, ...] = (64, 64),
        activation: str = "relu",
        epochs: int = 200,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        random_state: int = 0,
    ) -> None:
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state

    def _train(self, x: np.ndarray, y: Tensor, outputs: int, loss: Any) -> None:
        """Learn from x [N, n] and y, with `outputs` numbers for each row."""
        seed = int(np.random.default_rng(self.random_state).integers(2**31))
        torch.manual_seed(seed)
        self.mean_, deviation = x.mean(0), x.std(0)
        self.scale_ = np.where(deviation > 1e-12 * np.maximum(1.0, np.abs(self.mean_)), deviation, 1.0)
        hidden = MLP(x.shape[1], tuple(self.hidden_sizes), self.activation)
        self.network_ = nn.Sequential(hidden, LinearHead(hidden.out_dim, outputs))
        inputs = self._inputs(x)

        def loss_fn(x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            return loss(self.network_(x), y), {}

        settings = OptimizerSettings(learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        learner = Learner(loss_fn, self.network_.parameters(), settings)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(self.epochs):
            for rows in torch.randperm(len(inputs), generator=generator).split(self.batch_size):
                learner.update(inputs[rows], y[rows])
        self.n_iter_ = self.epochs
        # The Learner's vector goes with it; the network keeps weights of its own, without gradients.
        for parameter in self.network_.parameters():
            parameter.data, parameter.grad = parameter.data.clone(), None

    def _inputs(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(((x - self.mean_) / self.scale_).astype(np.float32))

    @torch.no_grad()
    def _outputs(self, x: Any) -> Tensor:
        check_is_fitted(self)
        return self.network_(self._inputs(validate_data(self, x, reset=False, dtype=np.float64)))


class TabularClassifier(ClassifierMixin, _Tabular):
    """A network that tells classes from numbers; a scikit-learn classifier."""

    def fit(self, X: Any, y: Any) -> TabularClassifier:
        """Learn from X [N, n] and classes y [N]."""
        x, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        targets = torch.from_numpy(numbers.reshape(-1).astype(np.int64))
        self._train(x, targets, len(self.classes_), sparse_categorical_crossentropy)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, [N, classes]."""
        return self._outputs(X).double().softmax(-1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The most likely class of each row."""
        best = self._outputs(X).argmax(-1).numpy()
        return self.classes_[best]


class TabularRegressor(RegressorMixin, _Tabular):
    """A network that tells a number from numbers; a scikit-learn regressor."""

    def fit(self, X: Any, y: Any) -> TabularRegressor:
        """Learn from X [N, n] and numbers y [N]."""
        x, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        y = np.asarray(y, np.float64)
        self.shift_, self.spread_ = float(y.mean()), float(y.std()) or 1.0
        targets = torch.from_numpy(((y - self.shift_) / self.spread_).astype(np.float32)).unsqueeze(-1)
        self._train(x, targets, 1, mse)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The number for each row, [N]."""
        return self._outputs(X).double().numpy().ravel() * self.spread_ + self.shift_
