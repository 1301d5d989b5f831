"""Losses against their formulas in NumPy and scikit-learn's log_loss."""

import numpy as np
import torch
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error

from agent_gym.nets.losses import LOSSES

RNG = np.random.default_rng(0)
LOGITS, CLASSES = RNG.normal(size=(40, 3)), RNG.integers(0, 3, 40)
SHARES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)


def loss(name, prediction, target):
    return LOSSES[name](torch.from_numpy(prediction), torch.from_numpy(target)).item()


def test_errors_of_numbers():
    a, b = RNG.normal(size=(2, 30, 1))
    assert np.isclose(loss("mse", a, b), mean_squared_error(b, a))
    assert np.isclose(loss("mae", a, b), mean_absolute_error(b, a))


def test_binary_crossentropy():
    target = RNG.integers(0, 2, 40).astype(float)
    expected = log_loss(target, 1.0 / (1.0 + np.exp(-LOGITS[:, 0])))
    assert np.isclose(loss("binary_crossentropy", LOGITS[:, 0], target), expected)


def test_categorical_crossentropies_agree():
    expected = log_loss(CLASSES, SHARES)
    assert np.isclose(loss("sparse_categorical_crossentropy", LOGITS, CLASSES), expected)
    assert np.isclose(loss("categorical_crossentropy", LOGITS, np.eye(3)[CLASSES]), expected)


def test_soft_targets():
    soft = RNG.dirichlet(np.ones(3), 40)
    assert np.isclose(loss("categorical_crossentropy", LOGITS, soft), -(soft * np.log(SHARES)).sum(1).mean())


def test_crossentropies_of_extreme_logits_are_finite():
    huge = np.array([[1e4, -1e4]])
    assert loss("binary_crossentropy", huge, np.array([[0.0, 1.0]])) == 1e4
    assert loss("sparse_categorical_crossentropy", huge, np.array([1])) == 2e4
