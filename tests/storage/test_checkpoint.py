"""Checkpoints that are cut, altered, forged or interrupted at any moment."""

import hashlib
import io
import itertools
import os
import pickle
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from agent_gym.ground.errors import UserError
from agent_gym.storage import tensor_file
from agent_gym.storage.checkpoint import latest_checkpoint, open_checkpoint, save_checkpoint
from agent_gym.storage.tensor_file import MAGIC, TRAILER, DamagedFile
from benchmarks import killing


def state(number: int) -> dict:
    return {"config": {"seed": number}, "agent": {"steps": number, "weights": torch.full((300,), float(number))}}


def seal(path: Path) -> None:
    """Give a zip archive the checksum of its content, as anybody can."""
    data = path.read_bytes()
    comment = MAGIC + hashlib.sha256(data).digest()
    path.write_bytes(data[:-2] + len(comment).to_bytes(2, "little") + comment)


def forge(path: Path, pickled: bytes, records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, data in {"version": b"3\n", "byteorder": b"little", **records}.items():
            archive.writestr(f"archive/{name}", data)
    seal(path)


def tensor_pickle(numel: int, offset: int = 0, size: tuple = (2,), stride: tuple = (1,)) -> bytes:
    """{"config": <tensor>} as torch.save pickles it, with any numbers."""

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            return ("storage", torch.FloatStorage, "0", "cpu", numel) if isinstance(thing, Storage) else None

    class Stub:
        def __reduce__(self):
            arguments = (Storage(), offset, size, stride, False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    file = io.BytesIO()
    Pickler(file, 2).dump({"config": Stub()})
    return file.getvalue()


def test_what_is_written_is_read(tmp_path):
    tree = {
        "plain": [1, 2**80, -0.5, float("inf"), "ü", None, True, {"nested": (1, 2)}, OrderedDict(a=1)],
        **{str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in tensor_file.DTYPES},
        "part": torch.arange(10.0)[3:7],
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "empty": torch.empty(0, 3),
        "number": torch.tensor(3.0),
    }
    tensor_file.write(tmp_path / "a.pt", tree)
    for read in (tensor_file.read(tmp_path / "a.pt"), torch.load(tmp_path / "a.pt", weights_only=True)):
        assert read["plain"] == tree["plain"] and read.keys() == tree.keys()
        for key, value in tree.items():
            if key != "plain":
                assert read[key].dtype == value.dtype and torch.equal(read[key], value)


@pytest.mark.parametrize(
    "value",
    [torch.zeros(1).expand(5), torch.zeros(2, dtype=torch.complex64), {1, 2}, Path("x"), torch.Size((1,)), b"bytes"],
    ids=lambda value: type(value).__name__,
)
def test_what_could_not_be_read_is_not_written(tmp_path, value):
    with pytest.raises(TypeError, match=r"\.agent\.0"):
        save_checkpoint(tmp_path / "last.pt", {"config": {}, "agent": [value]})
    assert not (tmp_path / "last.pt").exists()


def test_every_alteration_is_found(tmp_path):
    path = tmp_path / "a.pt"
    tensor_file.write(path, state(1))
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1 << position % 8]) + good[position + 1 :])
        with pytest.raises(DamagedFile):
            tensor_file.read(path)
    for length in (*range(0, len(good), 97), *range(len(good) - TRAILER - 30, len(good))):
        path.write_bytes(good[:length])
        with pytest.raises(DamagedFile):
            tensor_file.read(path)
    for more in (b"\0", good):
        path.write_bytes(good + more)
        with pytest.raises(DamagedFile):
            tensor_file.read(path)
    path.write_bytes(good)
    assert tensor_file.read(path)["config"] == {"seed": 1}


@pytest.mark.parametrize(
    ("numbers", "there"),
    [
        ({"numel": 10**12}, 8),
        ({"numel": 2}, 4),
        ({"numel": 2, "size": (3,)}, 8),
        ({"numel": 2, "offset": 1}, 8),
        ({"numel": 2, "offset": -1}, 8),
        ({"numel": 2, "size": (10**12,), "stride": (0,)}, 8),
        ({"numel": 2, "size": (2,), "stride": (10**12,)}, 8),
        ({"numel": 2, "size": (-1,)}, 8),
    ],
)
def test_tensors_beyond_the_file_are_refused(tmp_path, numbers, there):
    forge(tmp_path / "a.pt", tensor_pickle(**numbers), {"data/0": bytes(there)})
    with pytest.raises(DamagedFile, match="declares a tensor"):
        tensor_file.read(tmp_path / "a.pt")
    forge(tmp_path / "a.pt", tensor_pickle(2), {"data/0": bytes(8)})
    assert tensor_file.read(tmp_path / "a.pt")["config"].tolist() == [0.0, 0.0]


def test_forged_archives_are_refused_and_run_nothing(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    bomb = {"data/0": bytes(10**6)}
    cases = {
        "which is neither": (pickle.dumps({"config": Payload()}, 2), {}, zipfile.ZIP_STORED),
        "declares what it does not hold": (tensor_pickle(250_000), bomb, zipfile.ZIP_DEFLATED),
        "in a bytearray8": (b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".", {}, zipfile.ZIP_STORED),
        "instruction LONG_BINPUT": (b"\x80\x02}r" + (2**31).to_bytes(4, "little") + b".", {}, zipfile.ZIP_STORED),
        "no dict": (pickle.dumps([1], 2), {}, zipfile.ZIP_STORED),
        "over 4,194,304 bytes": (pickle.dumps({"x": "x" * 2**22}, 2), {}, zipfile.ZIP_STORED),
    }
    for says, (pickled, records, compression) in cases.items():
        forge(tmp_path / "a.pt", pickled, records, compression)
        with pytest.raises(DamagedFile, match=says):
            tensor_file.read(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


class Killed(BaseException):
    """The end of the process, as far as files are concerned."""


@pytest.mark.parametrize("links", [True, False])
def test_killed_between_any_two_steps_a_whole_checkpoint_is_left(tmp_path, monkeypatch, links):
    """Every call that touches the disk is in turn the last one; then the next save works too."""
    counter = {"left": 10**9}

    def dying(function):
        def call(*arguments, **options):
            if counter["left"] == 0:
                raise Killed
            counter["left"] -= 1
            return function(*arguments, **options)

        return call

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    last, previous = folder / "last.pt", folder / "previous.pt"
    save_checkpoint(last, state(0), keep=previous)
    if not links:  # as on a memory card

        def refuse(*arguments: object) -> None:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(os, "link", refuse)
    for name in ("replace", "fsync", "open", "link"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    found, number, calls = set(), 0, 0
    while True:
        counter["left"] = calls
        try:
            save_checkpoint(last, state(number + 1), keep=previous)
            break
        except Killed:
            pass
        counter["left"] = 10**9
        newest, name = latest_checkpoint(tmp_path)
        assert newest["agent"]["steps"] in (number, number + 1)
        found.add((name, newest["agent"]["steps"] - number))
        number, calls = number + 1, calls + 1
        save_checkpoint(last, state(number), keep=previous)
        assert latest_checkpoint(tmp_path)[0]["agent"]["steps"] == number
    assert found == {("last", 0), ("last", 1)} | (set() if links else {("previous", 0)}) and calls == 6
    assert {path.name for path in folder.iterdir()} == {"last.pt", "previous.pt"}


def save_on(folder: Path, told: Path) -> None:
    """Save one checkpoint after the other, and tell of each when it is there."""
    for number in itertools.count():
        state = {"config": {"seed": number}, "agent": {"weights": torch.full((200_000,), float(number))}}
        save_checkpoint(folder / "last.pt", state, keep=folder / "previous.pt")
        with open(told, "a") as file:
            file.write(f"{number}\n")


def test_a_killed_process_leaves_its_latest_checkpoint_or_the_next(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for saves in (1, 2, 7):
        told = tmp_path / f"{saves}.txt"
        told.touch()
        process = killing.forked(save_on, folder, told)
        while told.read_text().count("\n") < saves:
            assert process.is_alive()
            time.sleep(0.001)
        process.kill()
        process.join()
        latest = told.read_text().count("\n") - 1
        found, _ = latest_checkpoint(tmp_path)
        assert found["config"]["seed"] - latest in (0, 1)
        assert (found["agent"]["weights"] == found["config"]["seed"]).all()


def test_the_one_before_is_taken_with_one_warning(tmp_path, capsys):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for number in (1, 2):
        save_checkpoint(folder / "last.pt", state(number), keep=folder / "previous.pt")
    assert open_checkpoint(tmp_path, "last")["agent"]["steps"] == 2 and capsys.readouterr().err == ""
    good = (folder / "last.pt").read_bytes()
    for bad in (good[: len(good) // 2], good[:50] + b"!" + good[51:], None):
        (folder / "last.pt").unlink()
        if bad is not None:
            (folder / "last.pt").write_bytes(bad)
        assert open_checkpoint(tmp_path, "last")["agent"]["steps"] == 1
        error = capsys.readouterr().err
        assert error.startswith("warning: ") and error.count("\n") == 1 and "previous.pt" in error
    (folder / "previous.pt").write_bytes(b"")
    with pytest.raises(UserError, match="there is no .*last.pt.*previous.pt.*train again"):
        open_checkpoint(tmp_path, "last")
    with pytest.raises(UserError, match="use --checkpoint last"):
        open_checkpoint(tmp_path, "best")
    (folder / "previous.pt").unlink()
    with pytest.raises(UserError, match="has saved none yet"):
        open_checkpoint(tmp_path, "last")


def test_the_last_weights_stand_in_where_none_have_been_scored(tmp_path, capsys):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    save_checkpoint(folder / "last.pt", state(3))
    assert open_checkpoint(tmp_path, "best")["agent"]["steps"] == 3
    told = capsys.readouterr()
    assert told.out == "" and "no best.pt: taking last.pt" in told.err and told.err.count("\n") == 1
    (folder / "best.pt").write_bytes(b"torn")  # one that is there and damaged is not passed over in silence
    with pytest.raises(UserError, match="best.pt is not a readable checkpoint.*use --checkpoint last"):
        open_checkpoint(tmp_path, "best")


def test_a_failed_save_leaves_the_last_one_and_nothing_else(tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    save_checkpoint(folder / "last.pt", state(1))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left.*free space there, then continue with --resume"):
        save_checkpoint(folder / "last.pt", state(2), keep=folder / "previous.pt")
    monkeypatch.undo()
    assert [path.name for path in folder.iterdir()] == ["last.pt"]
    assert open_checkpoint(tmp_path, "last")["agent"]["steps"] == 1
