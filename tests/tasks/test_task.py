"""Minibatches, splits, seeds, early stopping, resume; the update against a plain PyTorch loop."""

from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from torch import nn

from agent_gym.tasks.scores import class_scores, score_table
from agent_gym.tasks.senses.digits import Digits
from agent_gym.tasks.senses.settings import DigitsConfig
from agent_gym.tasks.tables.settings import DiabetesConfig, IrisConfig
from agent_gym.tasks.tables.table import Diabetes, Iris

IRIS = IrisConfig(epochs=6)


def run(task, epochs=None):
    end = task.total_steps if epochs is None else task.steps + epochs * task.steps_per_epoch
    while task.steps < end:
        task.collect()
        task.update()
    return task


def weights(task):
    return torch.cat([p.detach().flatten() for p in task.model.parameters()])


def test_an_epoch_sees_every_row_once_in_another_order_each_time():
    task = Iris(IRIS)
    orders = []
    for _ in range(2):
        task.collect()
        orders.append(torch.cat([x for x, _ in task.batches]))
        task.update()
    assert not torch.equal(*orders)
    for rows in orders:
        assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, task.data.train.x.tolist()))


def test_the_seed_decides_everything():
    torch.manual_seed(3)
    first = weights(run(Iris(replace(IRIS, seed=3))))
    torch.manual_seed(3)
    assert torch.equal(first, weights(run(Iris(replace(IRIS, seed=3)))))
    torch.manual_seed(3)
    assert not torch.equal(first, weights(run(Iris(replace(IRIS, seed=4)))))


def test_the_update_is_that_of_a_plain_pytorch_loop():
    task = Iris(replace(IRIS, optimizer="adam", weight_decay=0.01))
    layers = [task.model.encoder.mlp[0], task.model.head]
    plain = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    for mine, yours in zip(layers, (plain[0], plain[2]), strict=True):
        yours.load_state_dict({"weight": mine.weight.clone(), "bias": mine.bias.clone()})
    optimizer = torch.optim.Adam(plain.parameters(), lr=IRIS.learning_rate, weight_decay=0.01)
    for _ in range(3):
        task.collect()
        for x, y in task.batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(plain(x), y).backward()
            optimizer.step()
        task.update()
    for mine, yours in zip(layers, (plain[0], plain[2]), strict=True):
        assert torch.allclose(mine.weight, yours.weight, atol=1e-6)
        assert torch.allclose(mine.bias, yours.bias, atol=1e-6)


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (Iris, replace(IRIS, dropout=0.3, schedule="cosine")),
        (Digits, DigitsConfig(epochs=2, batch_size=256, dropout=0.2)),
    ],
)
def test_a_resumed_run_goes_on_exactly(cls, config):
    torch.manual_seed(0)
    unbroken = run(cls(config))
    torch.manual_seed(0)
    first = run(cls(config), 1)
    first.evaluate()
    saved = {k: v.clone() if torch.is_tensor(v) else v for k, v in first.state_dict().items()}
    saved["model"] = {k: v.clone() if torch.is_tensor(v) else v for k, v in saved["model"].items()}
    torch.manual_seed(99)
    second = cls(config)
    second.load_state_dict(saved)
    run(second)
    assert torch.equal(weights(unbroken), weights(second))
    assert second.best_loss == first.best_loss and second.steps == unbroken.steps


def test_a_chunk_ends_with_its_epoch():
    task = Iris(replace(IRIS, batch_size=1))
    sizes = []
    for _ in range(4):
        task.collect()
        sizes.append(len(task.batches))
        task.update()
    assert sizes == [64, 42, 64, 42]  # 106 rows


def test_early_stopping_ends_the_run():
    task = Diabetes(replace(DiabetesConfig(), epochs=500, early_stopping=5, learning_rate=0.05, weight_decay=0.0))
    losses = []
    while task.steps < task.total_steps:
        run(task, 1)
        losses.append(-task.evaluate()[0])
    assert len(losses) < 200
    assert min(losses) == losses[-6]  # five epochs without a better one


def test_a_trained_iris_is_as_good_as_logistic_regression():
    metrics = run(Iris(IrisConfig())).test()
    data = load_iris()
    reference = LogisticRegression(max_iter=1000).fit(data.data, data.target).score(data.data, data.target)
    assert metrics["accuracy"] > reference - 0.06
    assert metrics["majority_accuracy"] == pytest.approx(1 / 3, abs=0.03)


def test_diabetes_beats_the_mean():
    metrics = run(Diabetes(DiabetesConfig())).test()
    assert metrics["r2"] > 0.15 and abs(metrics["mean_r2"]) < 0.05
    assert metrics["mse"] < 0.9 * metrics["mean_mse"]


@pytest.mark.parametrize("loss", ["mse", "mae", "categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_every_loss_for_classes_learns(loss):
    metrics = run(Iris(replace(IrisConfig(), loss=loss, epochs=40, learning_rate=0.01))).test()
    assert metrics["accuracy"] > 0.85


def test_the_cut_off_moves_the_decision():
    import numpy as np

    shares = np.array([[0.2], [0.4], [0.6], [0.9]])
    target = np.array([0, 1, 0, 1])
    assert class_scores(shares, target, 0.5)["accuracy"] == 0.5
    assert class_scores(shares, target, 0.7)["accuracy"] == 0.75
    assert class_scores(shares, target, 0.5)["roc_auc"] == 0.75


def test_train_accuracy_is_counted_as_the_test_counts():
    torch.manual_seed(0)
    task = run(Iris(IRIS))
    outputs = task.model.outputs(task.data.train.x)
    quick = task.quick_stats(outputs, task.data.train.y.cpu())["accuracy"].item()
    shares = task.model.probabilities(outputs).numpy()
    assert quick == pytest.approx(class_scores(shares, task.data.train.y.numpy(), 0.5)["accuracy"])


def test_the_table_puts_each_rule_beside_the_model():
    text = score_table({"accuracy": 0.9, "loss": 0.1, "majority_accuracy": 0.5})
    assert text.split() == ["test", "model", "majority", "accuracy", "0.9", "0.5", "loss", "0.1"]
