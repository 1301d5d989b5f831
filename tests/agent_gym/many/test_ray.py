"""Seeds and trials on a real cluster of two Ray nodes of this machine, of which one is killed."""

from __future__ import annotations

import json
import socket
import sys
from types import SimpleNamespace

import pytest
import torch

from agent_gym.__main__ import main
from agent_gym.ground.errors import UserError
from agent_gym.many.engines import Engine
from agent_gym.many.group import Group
from agent_gym.many.train_group import train_group
from agent_gym.storage.checkpoint import open_checkpoint

FLAGS = ["--num-envs", "2", "--total-steps", "2000", "--eval-every", "500", "--checkpoint-every", "250"]
FLAGS += ["--eval-episodes", "4", "--device", "cpu", "--num-threads", "1", "--quiet"]


def refused(capsys, tmp_path, flags, words):
    """Both commands say it in one line and leave nothing behind."""
    folder = tmp_path / "x"
    for command in (["train", "a2c", "--seeds", "2"], ["sweep", "a2c", "--env", "CartPole-v1", "--trials", "1"]):
        assert main([*command, "--run-dir", str(folder), *FLAGS, *flags]) == 2
        told = capsys.readouterr().err
        assert words in told and told.count("\n") == 1, told
    assert not folder.exists()


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--engine", "slurm"], "--engine"),
        (["--address", "127.0.0.1:6379"], "--address has an effect with --engine ray alone"),
        (["--gpus-per-run", "1"], "--gpus-per-run has an effect with --engine ray alone"),
        (["--engine", "ray", "--cpus-per-run", "0"], "--cpus-per-run"),
    ],
)
def test_flags_of_the_engine(flags, words, capsys, tmp_path):
    refused(capsys, tmp_path, flags, words)


def test_without_the_package(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # importing it now fails
    monkeypatch.delitem(sys.modules, "agent_gym.many.engines.ray_cluster", raising=False)
    refused(capsys, tmp_path, ["--engine", "ray"], "pip install 'agent-gym[ray]'")


def test_addresses_without_a_cluster(capsys, tmp_path):
    pytest.importorskip("ray")
    refused(capsys, tmp_path, ["--engine", "ray", "--address", "head"], "--address head: expected host:port")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
        refused(
            capsys, tmp_path, ["--engine", "ray", "--address", nobody], f"--address {nobody}: nothing answers there"
        )


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # 15 by default: beside a busy neighbour nothing would ever be done
        made = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
        yield SimpleNamespace(address=made.address, add=lambda: made.add_node(**node), remove=made.remove_node)
        made.shutdown()


def weights(run):
    return open_checkpoint(run, "last")["agent"]["model"]


def same(ours, theirs):
    return all(torch.equal(tensor, weights(theirs)[name]) for name, tensor in weights(ours).items())


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The same seeds as processes of this machine."""
    path = tmp_path_factory.mktemp("here") / "g"
    argv = ["train", "a2c", "--seeds", "0,3", "--engine", "processes", "--run-dir", str(path), *FLAGS]
    assert main(argv) == 0
    return path


def test_seeds_and_a_dead_node(cluster, here, tmp_path, monkeypatch, capsys):
    """Two nodes, each with a seed; one is killed once its run has a checkpoint. The run goes on on the other node, in
    the same bits."""
    from agent_gym.many.engines.ray_cluster import RayPool

    second, began = cluster.add(), []
    plain = RayPool.events

    def events(pool, timeout):
        found = plain(pool, timeout)
        folder = tmp_path / "g"
        if not began and all((folder / f"seed-{seed}/checkpoints/last.pt").exists() for seed in (0, 3)):
            began.append(len(pool.workers))
            cluster.remove(second, allow_graceful=False)
        return found

    monkeypatch.setattr(RayPool, "events", events)
    argv = ["train", "a2c", "--seeds", "0,3", "--engine", "ray", "--address", cluster.address]
    flags = [flag for flag in FLAGS if flag != "--quiet"]
    assert main([*argv, "--run-dir", str(tmp_path / "g"), *flags]) == 0
    assert began
    for seed in (0, 3):
        assert same(tmp_path / f"g/seed-{seed}", here / f"seed-{seed}")
    assert not list((tmp_path / "g").glob(".seen-by-*"))
    scores = [json.loads((path / "result.json").read_text())["scores"] for path in (tmp_path / "g", here)]
    assert scores[0] == scores[1]


def test_nodes_that_do_not_see_the_folder(cluster, here, tmp_path, monkeypatch):
    """The run is trained in a copy, and comes back whole."""
    from agent_gym.many.engines import ray_cluster

    plain = ray_cluster.RayPool.__init__

    def blind(pool, *args):
        plain(pool, *args)
        pool.seats = ray_cluster.ray.remote(max_restarts=0, **pool.needs)(Blind)

    class Blind(ray_cluster.Seat):
        def __init__(self, path, seed, token, files):
            super().__init__(path, seed, "not-there", files)

    monkeypatch.setattr(ray_cluster.RayPool, "__init__", blind)
    group = Group.create(tmp_path / "g", "agent", "a2c", Group.open(here).stored.config, (3,))
    assert train_group(group, engine=Engine("ray", cluster.address), quiet=True) == 0
    assert same(tmp_path / "g/seed-3", here / "seed-3")
    assert (tmp_path / "g/logs/seed-3.txt").exists() and list((tmp_path / "g/seed-3").glob("events*"))


def test_trials_of_a_search(cluster, tmp_path):
    argv = ["sweep", "a2c", "--env", "CartPole-v1", "--trials", "2", "--seeds-per-trial", "1", "--fresh-seeds", "0"]
    argv += ["--engine", "ray", "--address", cluster.address, "--run-dir", str(tmp_path / "s"), *FLAGS]
    assert main(argv) == 0
    assert json.loads((tmp_path / "s/sweep.json").read_text())["trials"] == 2


def test_what_listens_may_be_no_cluster():
    reach = pytest.importorskip("agent_gym.many.engines.ray_cluster", exc_type=UserError).reach
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(30)
        with pytest.raises(UserError, match="nothing answers there"):
            reach(f"127.0.0.1:{other.getsockname()[1]}")
