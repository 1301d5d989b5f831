"""Findings while a run trains: told once, written at their step, the same after a kill, and cheap."""

from __future__ import annotations

import json
from types import SimpleNamespace

import torch

import train
from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.watch import Watcher
from agent_gym.training import stopwatch

HIGH = {"learning_rate": 0.1, "gamma": 0.99, "clip_coef": 0.2, "num_steps": 128, "num_envs": 8, "total_steps": 10_000}
FLAGS = ["--num-threads", "1", "--eval-episodes", "4", "--device", "cpu"]


def view(tmp_path, total=10_000):
    said, written, texts = [], {}, []
    return SimpleNamespace(
        agent=SimpleNamespace(total_steps=total),
        path=tmp_path,
        scalars={},
        steps=0,
        seconds=100.0,
        say=said.append,
        write_text=lambda name, text: written.__setitem__(name, text),
        log_text=lambda tag, text: texts.append(tag),
        said=said,
        written=written,
        texts=texts,
    )


def follow(watcher, run, steps, **scalars):
    for step in steps:
        run.steps, run.scalars = step, {f"train/{k}": v for k, v in scalars.items()}
        watcher.on_update(run)


def test_a_finding_is_told_once_at_its_step(tmp_path):
    run, watcher = view(tmp_path), Watcher(Case("agent", "ppo", HIGH, HIGH | {"learning_rate": 3e-4}, live=True))
    watcher.on_start(run)
    follow(watcher, run, range(100, 1000, 100), approx_kl=0.5)
    assert not run.said  # too early to tell
    follow(watcher, run, range(1000, 9000, 100), approx_kl=0.5)
    assert len(run.said) == 1 and "learning_rate_high" in run.said[0] and "--learning-rate 0.0003" in run.said[0]
    (kept,) = json.loads(run.written["findings.json"])
    assert kept["cause"] == "learning_rate_high" and kept["step"] == 1000
    assert run.texts == ["findings/learning_rate_high"]


def test_after_a_resume_it_is_not_told_again_and_what_came_later_is_forgotten(tmp_path):
    known = [{"cause": "learning_rate_high", "step": 500}, {"cause": "values_explode", "step": 9000}]
    (tmp_path / "findings.json").write_text(json.dumps(known))
    run, watcher = view(tmp_path), Watcher(Case("agent", "ppo", HIGH, HIGH | {"learning_rate": 3e-4}, live=True))
    run.steps = 2000
    watcher.on_start(run)
    assert watcher.plain == known[:1]
    follow(watcher, run, range(2100, 5000, 100), approx_kl=0.5)
    assert not run.said


def test_a_healthy_run_is_told_nothing(tmp_path):
    run, watcher = view(tmp_path), Watcher(Case("agent", "ppo", HIGH, HIGH, live=True))
    watcher.on_start(run)
    follow(watcher, run, range(100, 9000, 100), approx_kl=0.01, clip_fraction=0.1, explained_variance=0.9, entropy=0.6)
    assert not run.said and not run.written


def test_rules_wait_where_they_would_take_too_much(tmp_path):
    run, watcher = view(tmp_path), Watcher(Case("agent", "ppo", HIGH, HIGH | {"learning_rate": 3e-4}, live=True))
    run.seconds = 1e-9
    watcher.on_start(run)
    watcher.spent = 1.0
    follow(watcher, run, range(1000, 9000, 100), approx_kl=0.5)
    assert not run.said


def test_a_run_writes_findings_and_where_its_time_goes(tmp_path, capsys, monkeypatch):
    from agent_gym.diagnosis import watch
    from agent_gym.diagnosis.curves import read_curves

    monkeypatch.setattr(watch, "SHARE", 1.0)  # else it depends on the machine when the rules may run
    run = tmp_path / "run"
    flags = ["ppo", "--total-steps", "32768", "--learning-rate", "3", "--run-dir", str(run), *FLAGS]
    assert train.main(flags) == 0
    assert capsys.readouterr().err.count("[learning_rate_high]") == 1
    found = json.loads((run / "findings.json").read_text())
    assert "learning_rate_high" in [f["cause"] for f in found]
    curves = read_curves(run)
    shares = [curves[f"time/{part}"].values for part in stopwatch.PARTS]
    assert all(abs(sum(values) - 1.0) < 1e-5 for values in zip(*shares, strict=True))


def test_watching_changes_no_bit(tmp_path, monkeypatch):
    flags = ["ppo", "--total-steps", "8192", "--learning-rate", "3", "--quiet", *FLAGS]
    assert train.main([*flags, "--run-dir", str(tmp_path / "a")]) == 0
    monkeypatch.setattr("agent_gym.composing.agent_run.Watcher", lambda case: SimpleNamespace(on_end=lambda run: None))
    assert train.main([*flags, "--run-dir", str(tmp_path / "b")]) == 0
    a, b = (torch.load(tmp_path / r / "checkpoints/last.pt", weights_only=True)["agent"]["model"] for r in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_environment_is_not_counted_as_acting(monkeypatch):
    clock = SimpleNamespace(at=0.0)
    by_hand = SimpleNamespace(perf_counter=lambda: clock.at, thread_time=lambda: clock.at)
    monkeypatch.setattr(stopwatch, "time", by_hand)
    watch = stopwatch.Stopwatch()

    def take(seconds: float) -> None:
        clock.at += seconds

    timed = watch.timed("environment", take)
    with watch.part("acting"):
        take(0.5)
        timed(2.0)
    assert watch.seconds["environment"] == 2.0 and watch.seconds["acting"] == 0.5
    with watch.paused():
        timed(8.0)
    shares = watch.read()
    assert shares["time/environment"] == 0.8 and shares["time/acting"] == 0.2 and shares["time/waiting"] == 0.0
    assert watch.read() == {}
