"""Where time goes: shares, what bounds, and gains by Amdahl's law, derived by hand."""

from __future__ import annotations

import time

import pytest
import torch

import train
from agent_gym.diagnosis.speed import Profile, matrix_rate
from agent_gym.training.stopwatch import PARTS, Stopwatch

PPO = {"num_envs": 8, "num_steps": 128, "num_epochs": 10}
OFF = {"num_envs": 1, "utd": 1.0, "train_every": 1, "batch_size": 256, "learning_starts": 0}


def profile(config, **seconds) -> Profile:
    return Profile({"environment": 0.0, "acting": 0.0, "learning": 0.0} | seconds, 1000, config)


def test_a_slow_environment_in_one_process_wants_workers():
    found = profile(PPO, environment=8.0, acting=1.0, learning=1.0)
    found.backend, found.cores = "sync", 4
    best = found.advice()[0]
    assert best.settings == {"backend": "async"}
    assert best.times == pytest.approx(10.0 / (8.0 * 1.2 / 4 + 2.0))
    assert "one core" in found.bound()
    assert "--backend async" in "\n".join(found.lines())


def test_a_native_version_wins_over_workers():
    found = profile(PPO, environment=9.0, learning=1.0)
    found.backend, found.cores, found.faster = "sync", 2, ("native",)
    assert found.advice()[0].settings == {"backend": "native"}
    assert found.advice()[0].times == pytest.approx(10.0 / 1.9)


def test_acting_on_few_environments_wants_more_of_them():
    found = profile(PPO, environment=1.0, acting=8.0, learning=1.0)
    found.backend = "native"
    assert found.advice()[0].settings == {"num_envs": 32, "num_steps": 32}
    assert found.advice()[0].times == pytest.approx(10.0 / (0.3 + 2.4 + 1.0))


def test_the_share_of_the_matrix_product_is_operations_by_rate():
    found = profile(OFF, learning=10.0)
    found.parameters, found.rate = 1_000_000, 1e12
    assert found.flops() == 6.0 * 1e6 * 1000 * 256
    assert found.matrix_share() == pytest.approx(6.0 * 1e6 * 1000 * 256 / 10.0 / 1e12)
    found.rate = 2e11
    assert "matrix product" in found.bound()
    found.rate = 1e14
    assert "small kernels" in found.bound()


def test_nothing_is_promised_where_learning_is_all():
    found = profile(PPO, learning=10.0)
    assert found.advice() == [] and "no flag" in "\n".join(found.lines())


def test_waiting_for_a_core_is_other_programs_and_not_small_kernels():
    found = profile(PPO, environment=2.0, acting=4.0, learning=4.0)
    found.waited = {"environment": 1.9, "acting": 1.0, "learning": 2.2}
    assert found.crowded() == pytest.approx(3.2 / 8.0)
    assert "40% of acting and learning is waiting for a core" in found.bound()
    assert "1.90 s of it waiting" in "\n".join(found.lines())
    found.waited = {"environment": 1.9, "acting": 0.1, "learning": 0.1}  # an environment in workers
    assert "waiting" not in found.bound()


def test_a_sleep_is_waiting_and_a_sum_is_not():
    clock = Stopwatch()
    step = clock.timed("environment", lambda: time.sleep(0.02))
    with clock.part("acting"):
        step()
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
    assert clock.waited["environment"] >= 0.019
    assert clock.seconds["acting"] - clock.waited["acting"] >= 0.019
    shares = clock.read()
    assert sum(shares[f"time/{part}"] for part in PARTS) == pytest.approx(1.0)
    assert shares["time/waiting"] == pytest.approx(sum(clock.waited.values()) / sum(clock.seconds.values()))


def test_small_batches_of_a_task_want_more_rows_at_once():
    found = Profile({"learning": 9.0, "evaluation": 1.0}, 1000, {"epochs": 10, "batch_size": 16})
    found.parameters, found.rate = 1000, 1e11
    assert found.advice()[0].settings == {"batch_size": 64}
    assert found.advice()[0].times == pytest.approx(10.0 / (9.0 * 0.4 + 1.0))


def test_the_machines_rate_is_that_of_its_product():
    torch.set_num_threads(1)
    assert 1e8 < matrix_rate(256, 0.05) < 1e13


def test_profile_prints_where_the_time_went_and_tries(tmp_path, capsys):
    flags = ["ppo", "--total-steps", "4096", "--num-threads", "1", "--eval-episodes", "2", "--backend", "sync"]
    assert train.main([*flags, "--profile", "try", "--num-envs", "2", "--run-dir", str(tmp_path / "x")]) == 0
    told = capsys.readouterr().out
    assert "where " in told and "environment" in told and "bound by" in told
    assert "times as fast (estimated" in told
    assert not list((tmp_path).glob("*/run"))


def test_profile_alone_means_yes_and_tasks_have_it(tmp_path, capsys):
    assert train.main(["iris", "--profile", "--epochs", "3", "--run-dir", str(tmp_path / "x")]) == 0
    assert "bound by" in capsys.readouterr().out
    assert train.main(["iris", "--profile", "try", "--epochs", "20", "--run-dir", str(tmp_path / "z")]) == 0
    assert "epochs/s became" in capsys.readouterr().out
    assert train.main(["lesson", "gradients", "--profile", "try", "--run-dir", str(tmp_path / "y")]) == 2
    assert "--profile yes" in capsys.readouterr().err
    assert not (tmp_path / "y").exists()
