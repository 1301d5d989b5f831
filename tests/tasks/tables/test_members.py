"""Members of an ensemble learn as if each were alone, and their mean predicts."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import train
from agent_gym.ground.errors import UserError
from agent_gym.tasks import load_task
from agent_gym.tasks.tables.settings import DiabetesConfig, IrisConfig
from agent_gym.tasks.tables.table import Diabetes, Iris

THREE = IrisConfig(epochs=3, members=3)


def run(task):
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    return task


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_each_member_learns_as_a_network_of_its_own(optimizer):
    task = Iris(replace(THREE, optimizer=optimizer, weight_decay=0.01, learning_rate=0.02))
    hidden, out = task.model.ensemble.hidden[0], task.model.ensemble.out
    single = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    with torch.no_grad():
        for layer, batched in ((single[0], hidden), (single[2], out)):
            layer.weight.copy_(batched.weight[1].t())
            layer.bias.copy_(batched.bias[1, 0])
    maker = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer]
    steps = maker(single.parameters(), lr=0.02, weight_decay=0.01)
    task.collect()
    losses = []
    for x, y in task.batches:
        steps.zero_grad()
        loss = nn.functional.cross_entropy(single(x), y)
        loss.backward()
        steps.step()
        losses.append(loss.item())
    stats = task.update()
    assert torch.allclose(hidden.weight[1].t(), single[0].weight, atol=1e-5)
    assert torch.allclose(out.weight[1].t(), single[2].weight, atol=1e-5)
    assert stats["loss"].item() == pytest.approx(sum(losses) / len(losses), rel=0.3)  # of three like it


@pytest.mark.parametrize(("cls", "config"), [(Iris, THREE), (Diabetes, DiabetesConfig(epochs=1, members=3))])
def test_the_mean_of_the_members_predicts(cls, config):
    task = run(cls(config))
    x = task.data.test.x
    each = task.model.each(x)
    joined = task.model.outputs(x)
    if task.model.spec.classes:
        assert torch.allclose(joined.softmax(-1), each.softmax(-1).mean(0), atol=1e-6)
    else:
        assert torch.allclose(joined, each.mean(0), atol=1e-6)


def test_the_mean_of_two_probabilities():
    model = Iris(THREE).model
    model.spec = replace(model.spec, kind="binary", outputs=1, classes=("a", "b"))
    logits = torch.tensor([[[-3.0]], [[1.0]], [[40.0]]])
    assert torch.allclose(model.joined(logits).sigmoid(), logits.sigmoid().mean(0), atol=1e-6)
    assert torch.isfinite(model.joined(torch.full((3, 1, 1), 500.0))).all()


def test_an_ensemble_is_saved_and_scored_again(tmp_path):
    flags = ["--members", "3", "--epochs", "5", "--quiet", "--run-dir", str(tmp_path / "run")]
    assert train.main(["iris", *flags]) == 0
    weights = torch.load(tmp_path / "run" / "checkpoints" / "best.pt", weights_only=True)["agent"]["model"]
    metrics = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    assert load_task("iris", IrisConfig(epochs=5, members=3), weights).test() == metrics


def test_what_has_no_members():
    with pytest.raises(UserError, match="--members 0: expected 1 to"):
        IrisConfig(members=0)
    with pytest.raises(UserError, match="--encoder lstm does not fit several members"):
        Iris(IrisConfig(members=2, encoder="lstm"))
