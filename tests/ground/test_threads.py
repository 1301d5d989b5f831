"""The number of CPU threads: by the work of an update and the cores there are."""

import pytest

from agent_gym.agents import config_class
from agent_gym.ground import threads
from agent_gym.ground.threads import IMAGES, threads_for, usable_cores


@pytest.mark.parametrize(
    ("agent", "flags", "expected"),
    [
        ("sac", {}, 2),
        ("td3", {"batch_size": 128, "hidden_sizes": (128, 128)}, 2),
        ("dqn", {"hidden_sizes": (64, 64)}, 1),
        ("sac", {"encoder": "lstm"}, 1),
        ("sac", {"hidden_sizes": ()}, 1),
        ("sac", {"num_threads": 1}, 1),
        ("ppo", {"hidden_sizes": (256, 256)}, 1),
        ("ppo", {"num_threads": 3}, 3),
    ],
)
def test_wide_networks_that_learn_from_a_buffer_take_two(monkeypatch, agent, flags, expected):
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    config = config_class(agent)(**flags)
    assert config.threads(image=0) == expected
    assert config.threads(image=84 * 84 * 4) == (config.num_threads or 2)
    assert config.threads(image=7 * 7 * 3) == expected


def test_one_core_takes_one(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 1)
    assert threads_for(IMAGES) == 1


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("150000 100000", 1), ("50000 100000", 1), ("300000 100000", 3)]
)
def test_cores_are_no_more_than_a_container_pays_for(monkeypatch, tmp_path, quota, cores):
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    assert usable_cores() == 8
    threads.QUOTA.write_text(quota + "\n")
    assert usable_cores() == cores
