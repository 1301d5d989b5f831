"""A memory that is saved piece by piece is put together again, whichever checkpoint is left."""

import os

import pytest
import torch

from agent_gym.ground.errors import UserError
from agent_gym.storage import tensor_file
from agent_gym.storage.run import Run
from agent_gym.training.loop import new_clock


class Ring:
    """The latest `capacity` of the numbers 0, 1, 2, … as a history."""

    def __init__(self, capacity: int = 100) -> None:
        self.capacity = capacity
        self.numbers = torch.empty(0, dtype=torch.int64)
        self.count = 0

    def append(self, amount: int) -> None:
        self._add(torch.arange(self.count, self.count + amount))

    def _add(self, numbers: torch.Tensor) -> None:
        self.numbers = torch.cat((self.numbers, numbers))[-self.capacity :]
        self.count = int(numbers[-1]) + 1 if len(numbers) else self.count

    def mark(self) -> dict:
        return {"count": self.count}

    def since(self, mark: dict | None) -> dict:
        new = self.count - (mark["count"] if mark else 0)
        return {"numbers": self.numbers[-new:] if new else self.numbers[:0]}

    def extend(self, segment: dict) -> None:
        self._add(segment["numbers"])

    def alive(self, mark: dict) -> bool:
        return mark["count"] > self.count - self.capacity


class Learner:
    """A trainee that only remembers."""

    def __init__(self) -> None:
        self.history, self.steps = Ring(), 0

    def load_state_dict(self, state: dict) -> None:
        self.steps = state["steps"]

    def live(self, run: Run, amount: int) -> None:
        self.history.append(amount)
        self.steps += amount
        clock = new_clock() | {"wall_time": 1.0, "best": 0.0, "last": 0.0}
        run.save_last({"agent": {"steps": self.steps}, "clock": clock}, self.history)


def resume(path) -> tuple[Run, Learner]:
    run, learner = Run.reopen(path), Learner()
    run.restore(learner)
    run.go_on({"seed": 1}, learner.steps)
    return run, learner


def expect(learner: Learner, count: int) -> None:
    assert learner.steps == learner.history.count == count
    assert learner.history.numbers.tolist() == list(range(max(count - 100, 0), count))


def files(path) -> list[str]:
    return sorted((file.name for file in (path / "checkpoints/replay").iterdir()), key=lambda name: (len(name), name))


@pytest.fixture
def begun(tmp_path):
    """A run that has saved at 30, 60, 90, …, 180 numbers, and its learner."""
    run, learner = Run.create(tmp_path / "run", {"seed": 1}), Learner()
    for _ in range(6):
        learner.live(run, 30)
    yield run, learner
    run.close()


def test_only_what_is_new_is_written_and_what_is_overwritten_goes(begun):
    run, _ = begun
    # 80 to 179 are held: segments 3 (60 to 89) to 6; the checkpoint before also needs 2 (30 to 59) for 50 to 149.
    assert files(run.path) == ["2.pt", "3.pt", "4.pt", "5.pt", "6.pt"]
    for number in range(2, 7):
        segment = tensor_file.read(run.path / f"checkpoints/replay/{number}.pt")
        assert segment["numbers"].tolist() == list(range(30 * number - 30, 30 * number))
    last = tensor_file.read(run.path / "checkpoints/last.pt")
    assert [entry["name"] for entry in last["segments"]] == ["3.pt", "4.pt", "5.pt", "6.pt"]
    assert not any("segments" in name for name in last["agent"])


def test_a_segment_is_no_larger_than_what_is_in_it(tmp_path):
    """A part of a large tensor is saved without the rest."""
    run, learner = Run.create(tmp_path / "run", {"seed": 1}), Learner()
    learner.history.capacity = 10**6
    learner.live(run, 10**6)
    learner.live(run, 10)
    run.close()
    sizes = [(run.path / f"checkpoints/replay/{number}.pt").stat().st_size for number in (1, 2)]
    assert 8 * 10**6 < sizes[0] < 8.01 * 10**6 and sizes[1] < 3000


def test_it_goes_on_as_if_nothing_had_happened(begun):
    run, _ = begun
    run.close()
    for count in (180, 190, 330, 331):
        run, learner = resume(run.path)
        expect(learner, count)
        learner.live(run, {180: 10, 190: 140, 330: 1, 331: 1}[count])
        run.close()


@pytest.mark.parametrize("damage", ["cut last", "no last", "cut segment", "no segment", "altered segment"])
def test_the_checkpoint_before_has_all_that_it_needs(begun, damage, capsys):
    run, _ = begun
    run.close()
    what, name = damage.split()
    path = run.path / "checkpoints" / ("last.pt" if name == "last" else "replay/6.pt")
    data = path.read_bytes()
    if what == "no":
        path.unlink()
    else:
        path.write_bytes(data[:-100] if what == "cut" else data[:200] + b"?" + data[201:])
    run, learner = resume(run.path)
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("warning: ") and "previous.pt" in error
    expect(learner, 150)
    # Until the next checkpoint stands, the good one stays where it is.
    run.close()
    run, learner = resume(run.path)
    expect(learner, 150)
    assert not (run.path / "checkpoints/last.pt").exists()
    learner.live(run, 5)
    assert tensor_file.read(run.path / "checkpoints/previous.pt")["agent"]["steps"] == 150
    assert files(run.path)[-1] == ("6.pt" if damage == "no segment" else "7.pt")
    learner.live(run, 5)
    run.close()
    run, learner = resume(run.path)
    expect(learner, 160)
    # 60 to 159 are held, of which 60 to 89 is in 3, and 55 to 154 before: no file of a lost checkpoint is left.
    assert files(run.path)[:4] == ["2.pt", "3.pt", "4.pt", "5.pt"] and len(files(run.path)) == 6
    run.close()


def test_nothing_good_is_left(begun):
    run, _ = begun
    run.close()
    (run.path / "checkpoints/replay/4.pt").unlink()  # both checkpoints need it
    with pytest.raises(UserError, match=r"segment 4.pt cannot be read.*segment 4.pt.*train again"):
        Run.reopen(run.path)


def test_a_segment_written_for_nothing_is_not_mistaken_for_a_later_one(begun, monkeypatch, capsys):
    """Killed between the segment and the checkpoint."""
    run, learner = begun

    def kill(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agent_gym.storage.run.save_checkpoint", kill)
    with pytest.raises(KeyboardInterrupt):
        learner.live(run, 25)
    run.close()
    monkeypatch.undo()
    assert files(run.path)[-1] == "7.pt"
    run, learner = resume(run.path)
    expect(learner, 180)
    learner.live(run, 5)
    assert files(run.path)[-1] == "8.pt" and "7.pt" not in files(run.path)
    run.close()
    run, learner = resume(run.path)
    expect(learner, 185)
    run.close()
    assert capsys.readouterr().err == ""


def test_a_full_disk_leaves_no_half_segment(begun, monkeypatch):
    run, learner = begun

    def full(descriptor: int) -> None:
        if len(files(run.path)) == 6:  # the new one is there
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="replay/7.pt.*No space left.*free space there, then continue with --resume"):
        learner.live(run, 30)
    monkeypatch.undo()
    run.close()
    assert files(run.path)[-1] == "6.pt"
    run, learner = resume(run.path)
    expect(learner, 180)
    run.close()


@pytest.mark.parametrize(
    "listed",
    [None, 3, ["3.pt"], [{"name": "../last.pt", "end": {}}], [{"name": "/etc/hosts", "end": {}}], [{"name": "3.pt"}]],
)
def test_a_forged_list_reads_nothing_from_elsewhere(begun, listed, capsys):
    run, _ = begun
    run.close()
    path = run.path / "checkpoints/last.pt"
    tensor_file.write(path, tensor_file.read(path) | {"segments": listed})
    run, learner = resume(run.path)
    assert "list of replay segments is damaged" in capsys.readouterr().err
    expect(learner, 150)
    run.close()
