"""Splits: every part has its share of each class, whatever the seed."""

import numpy as np
import pytest

from agent_gym.ground.errors import UserError
from agent_gym.tasks.config import TaskConfig
from agent_gym.tasks.split import split_rows


@pytest.mark.parametrize("sizes", [(400, 195, 5), (594, 5, 1), (300, 200, 60, 20, 10, 5, 5), (8, 8, 8, 8)])
def test_every_class_of_five_rows_is_in_every_part(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(30):
        parts = split_rows(TaskConfig(seed=seed), len(labels), labels)
        assert sorted(np.concatenate(parts)) == list(range(len(labels)))
        for part, share in zip(parts, (0.7, 0.15, 0.15), strict=True):
            assert len(part) == pytest.approx(share * len(labels), abs=1.0)
            counts = np.bincount(labels[part], minlength=len(sizes))
            for count, size in zip(counts, sizes, strict=True):
                assert count >= (1 if size >= 5 else 0)
                assert abs(count - share * size) <= 2.0
        assert (np.bincount(labels[parts[0]], minlength=len(sizes)) > 0).all()


def test_seeds_draw_other_rows_and_the_same_again():
    labels = np.arange(100) % 2
    first, same, other = (split_rows(TaskConfig(seed=s), 100, labels)[2].tolist() for s in (1, 1, 2))
    assert first == same != other


def test_classes_of_single_rows_are_dealt_out_at_random():
    parts = split_rows(TaskConfig(), 20, np.arange(20))
    assert [len(part) for part in parts] == [14, 3, 3]


def test_a_part_left_empty_is_the_one_before_it():
    train, val, test = split_rows(TaskConfig(val_split=0.0, test_split=0.0), 10, np.zeros(10))
    assert train.tolist() == val.tolist() == test.tolist() == list(range(10))


def test_too_few_rows():
    with pytest.raises(UserError, match="too few to split"):
        split_rows(TaskConfig(val_split=0.4, test_split=0.5), 2)
