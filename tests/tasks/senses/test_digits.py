"""The course's network layer by layer, its accuracy, and the IDX files of MNIST."""

import gzip

import numpy as np
import pytest
import torch
from torch import nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.summary import summary
from agent_gym.tasks.senses.digits import Digits, bundled_digits
from agent_gym.tasks.senses.idx import IMAGES, LABELS, read_idx
from agent_gym.tasks.senses.settings import DigitsConfig


def idx(array: np.ndarray) -> bytes:
    """The IDX form of a uint8 array, as Y. LeCun describes it."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path):
    """A folder with the four files, of which one is gzipped: the bundled digits."""
    images, labels = bundled_digits()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[:400])))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels[:400]))
    (tmp_path / "t10k-images.idx3-ubyte").write_bytes(idx(images[400:500]))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[400:500]))
    return tmp_path


def test_the_layers_are_those_of_the_course():
    task = Digits(DigitsConfig())
    parameters = [sum(p.numel() for p in layer.parameters()) for layer in task.model.modules() if is_layer(layer)]
    assert parameters == [160, 1160, 11790, 620, 210]
    text = summary(task.model, task.model.spec.space())
    for shape in ("16x14x14", "8x7x7", "392", "30", "20", "10"):
        assert any(shape in line.split() for line in text.splitlines())
    assert "13,940" in text.splitlines()[-1]


def is_layer(module: nn.Module) -> bool:
    return isinstance(module, (nn.Linear, nn.Conv2d))


def test_the_bundled_digits_are_classified():
    torch.manual_seed(0)
    task = Digits(DigitsConfig(epochs=12))
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    metrics = task.test()
    assert metrics["accuracy"] >= 0.95
    assert metrics["majority_accuracy"] < 0.15
    assert task.images()["test/confusion_matrix"].dtype == np.uint8


def test_shifts_move_images_and_leave_zeros():
    task = Digits(DigitsConfig(shift=2))
    x = torch.full((1, 28, 28), 7, dtype=torch.uint8)
    moves = set()
    for task.steps in range(40):
        moved = task.augment(x)[0]
        rows, columns = (moved == 7).nonzero().unbind(1)
        assert moved.sum() == 7 * len(rows)
        moves.add((rows.min().item() - (27 - rows.max().item()), columns.min().item() - (27 - columns.max().item())))
    assert {m for pair in moves for m in pair} == {-2, -1, 0, 1, 2}


def test_mnist_files_are_read(mnist):
    images, labels = bundled_digits()
    task = Digits(DigitsConfig(data=str(mnist), val_split=0.25))
    assert [len(part.y) for part in task.data[:3]] == [300, 100, 100]
    assert np.array_equal(task.data.test.x.numpy(), images[400:500])
    assert np.array_equal(task.data.test.y.numpy(), labels[400:500])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(np.zeros((2, 3, 3))), "magic number 0x00000803: expected 0x00000801, an IDX file of labels"),
        (idx(np.zeros(9))[:-1], "truncated or too long: 16 bytes, where its header says 17"),
        (b"\0\0\x08", "truncated or too long"),
    ],
)
def test_a_wrong_idx_file(tmp_path, content, message):
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_idx(tmp_path / "labels", LABELS)


def test_a_truncated_gzip_file(tmp_path):
    (tmp_path / "images.gz").write_bytes(gzip.compress(idx(np.zeros((9, 28, 28))))[:-9])
    with pytest.raises(UserError, match="truncated gzip"):
        read_idx(tmp_path / "images.gz", IMAGES)
