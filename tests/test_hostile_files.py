"""Files from strangers in processes of their own: exit code 2, one line, no code run, memory bounded."""

import gzip
import hashlib
import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

import train
from agent_gym.storage import tensor_file
from benchmarks import killing

ROOM = 6 * 2**30  # bytes of address space; torch and its libraries alone take about half


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    flags = [
        "--env",
        "CartPole-v1",
        "--total-steps",
        "64",
        "--num-envs",
        "2",
        "--num-steps",
        "16",
        "--hidden-sizes",
        "4",
    ]
    assert train.main(["ppo", *flags, "--eval-episodes", "1", "--quiet", "--run-dir", str(path)]) == 0
    return path


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "previous.pt").unlink(missing_ok=True)
    return tmp_path / "run"


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def refusal(script: str, *arguments, cwd: Path) -> str:
    """The one line with which a command refuses, within ROOM."""
    output, errors = cwd / "output.txt", cwd / "errors.txt"
    process = killing.fork(script, list(map(str, arguments)), cwd, output, errors, killing.Narrow(ROOM))
    process.join()
    lines = errors.read_text().strip().splitlines()
    errors.unlink()
    assert process.exitcode == 2 and len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def sealed(path: Path, data: bytes) -> None:
    """Write a zip archive with the checksum that goes with it."""
    digest = hashlib.sha256(data).digest()
    path.write_bytes(data[:-2] + tensor_file.TRAILER.to_bytes(2, "little") + tensor_file.MAGIC + digest)


def write(path: Path, tree: dict) -> None:
    """What torch.save writes, with the right checksum, whatever is in it."""
    file = io.BytesIO()
    torch.save(tree, file)
    sealed(path, file.getvalue())


def with_pickle(good: bytes, pickled: bytes) -> bytes:
    """A checkpoint's archive with another pickle in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
    return file.getvalue()


@pytest.mark.parametrize("script", ["evaluate", "train"])
def test_a_pickle_that_would_run_code(run, tmp_path, script):
    ran = tmp_path / "ran"
    for name in ("best", "last"):
        path = run / "checkpoints" / f"{name}.pt"
        pickled = pickle.dumps({"config": Payload(ran), "agent": {}}, protocol=2)
        sealed(path, with_pickle(path.read_bytes(), pickled))
    line = refusal(script, *([run] if script == "evaluate" else ["--resume", run]), cwd=tmp_path)
    assert "neither a tensor nor plain data" in line
    assert not ran.exists()


def test_a_pickle_as_a_whole_file(run, tmp_path):
    for name in ("best", "last"):
        (run / "checkpoints" / f"{name}.pt").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    assert "not a readable checkpoint" in refusal("evaluate", run, cwd=tmp_path)
    assert "not a readable checkpoint" in refusal("train", "ppo", "--encoder-from", run, cwd=tmp_path)
    assert not (tmp_path / "ran").exists() and not (tmp_path / "runs").exists()


def test_a_tensor_that_declares_terabytes(run, tmp_path):
    """A view of one number, repeated: it takes no room in the file, and all of it once something copies it."""
    path = run / "checkpoints" / "best.pt"
    tree = tensor_file.read(path)
    model = tree["agent"]["model"]
    model[next(iter(model))] = torch.zeros(1).expand(10**12)
    write(path, tree)
    assert "beyond its numbers" in refusal("evaluate", run, cwd=tmp_path)


def test_a_network_of_a_terabyte(run, tmp_path):
    path = run / "checkpoints" / "last.pt"
    tree = tensor_file.read(path)
    tree["config"]["hidden_sizes"] = (500_000, 500_000)
    write(path, tree)
    assert "the configuration makes a network" in refusal("train", "--resume", run, cwd=tmp_path)


def test_a_run_directory_of_the_checkpoints_choice_is_not_used(run, tmp_path):
    """`run_dir` in a checkpoint does not move a resumed run."""
    path = run / "checkpoints" / "last.pt"
    tree = tensor_file.read(path)
    tree["config"] |= {"run_dir": str(tmp_path / "elsewhere"), "total_steps": 96}
    write(path, tree)
    assert train.main(["--resume", str(run), "--quiet"]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"run"}
    assert json.loads((run / "result.json").read_text())["total_steps"] == 96


def test_tables_and_digits(tmp_path):
    wide = tmp_path / "wide.csv"
    wide.write_bytes(b",".join(b"%d" % i for i in range(200_000)) + b"\n1\n")
    assert "200,000 columns" in refusal("train", "table", "--data", wide, "--target", "1", cwd=tmp_path)
    header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (2**31, 2**31, 4))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\xff\xff\xff\xff")
    assert "100 times its own size" in refusal("train", "digits", "--data", tmp_path, cwd=tmp_path)
    assert not (tmp_path / "runs").exists()
