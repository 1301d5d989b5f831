"""Runs on the nodes of a Ray cluster, behind the seam of `pool.Pool`.

A seat (an actor of Ray's) sits on a node and holds the same process that trains a seed on one machine. Where the node
sees the group's folder it trains there; elsewhere in a copy, and what a checkpoint has changed comes back with the
answers. A run whose node dies goes on in another seat from its last checkpoint.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from agent_gym.ground.errors import UserError, one_line, unwritable
from agent_gym.many.group import FILE, LOGS, Group
from agent_gym.many.pool import PACKAGE, Part, Worker
from agent_gym.storage.lock import LOCK_FILES

try:
    import ray
except ImportError:
    raise UserError("--engine ray needs the package ray: pip install 'agent-gym[ray]'") from None

REACH = 5.0  # seconds for a port to answer
SETTINGS = b"\x04"
# A cluster's port speaks HTTP/2 (RFC 9113, section 3.4): its answer to this is a frame of settings. ray.init itself
# waits for minutes where something else listens.
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + SETTINGS + b"\0" * 5
LOOK = 0.5  # seconds that a seat listens to its process before it answers
SEND = 10.0  # seconds between two looks at what a run has written
DEATHS = 5  # nodes that a run may lose before one of its checkpoints is newer than the last
LAST = "last.pt"  # of a run's files the one that makes the others valid: written last
SHARED = ".seen-by-"  # a file by which a node finds out that it sees the same folder

Files = dict[str, bytes]


class Seat:
    """One run on a node: its process, and the folder that it writes to."""

    def __init__(self, path: str, seed: int, token: str, files: Files) -> None:
        self.shared = (Path(path) / token).is_file()
        self.root = Path(path) if self.shared else Path(tempfile.mkdtemp(prefix="agent-gym-"))
        if not self.shared:
            write(self.root, files)
            (self.root / LOGS).mkdir(exist_ok=True)
        self.worker = Worker((Group.open(self.root), (seed,)))
        self.sent, self.next_look = self.signatures(), time.monotonic() + SEND

    def signatures(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file of the run, by its place in the group."""
        return {
            str(path.relative_to(self.root)): (found.st_size, found.st_mtime_ns)
            for path in written(self.root, self.worker.seed)
            if (found := path.stat())
        }

    def poll(self) -> dict[str, Any]:
        """What the run says: "reports", its exit "code", and of a copy the changed "files" and those "gone"."""
        until, reports, code = time.monotonic() + LOOK, [], None
        while not reports and code is None and time.monotonic() < until:
            said = self.worker.reports()
            if said is None:
                code = self.worker.process.wait()
            elif said:
                reports = said
            else:
                time.sleep(0.02)
        told: dict[str, Any] = {"reports": reports, "code": code, "files": {}, "gone": []}
        if not self.shared and (code is not None or time.monotonic() >= self.next_look):
            told |= self.changes(code is None)
            self.next_look = time.monotonic() + SEND
        if code is not None and not self.shared:
            shutil.rmtree(self.root, ignore_errors=True)
        return told

    def changes(self, running: bool) -> dict[str, Any]:
        """The files that differ from what was sent. The run stands still while they are read: what a kill there would
        leave is whole."""
        if running:
            self.worker.process.send_signal(signal.SIGSTOP)
        try:
            now = self.signatures()
            files = {name: (self.root / name).read_bytes() for name in now if now[name] != self.sent.get(name)}
        finally:
            if running:
                self.worker.process.send_signal(signal.SIGCONT)
        gone, self.sent = [name for name in self.sent if name not in now], now
        return {"files": files, "gone": gone}

    def stop(self) -> None:
        """Ask the run to save and leave."""
        if self.worker.process.poll() is None:
            self.worker.process.send_signal(signal.SIGTERM)


def written(root: Path, seed: int) -> list[Path]:
    """The files of a seed, its log included."""
    found = [path for path in (root / f"seed-{seed}").rglob("*") if path.is_file() and path.name not in LOCK_FILES]
    log = root / LOGS / f"seed-{seed}.txt"
    return [*found, log] if log.is_file() else found


def write(root: Path, files: Files) -> None:
    """Files beside those that are there, each in one piece, last.pt last."""
    for name in sorted(files, key=lambda name: name.endswith(LAST)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(files[name])
        part.replace(path)


class RayWorker:
    """One seed of a group that is being trained somewhere; what `pool.Worker` is to its pool."""

    alone = ""

    def __init__(self, part: Part) -> None:
        self.parts, self.step = (part,), 0
        (self.group, self.seeds), (self.seed,) = part, part[1]
        self.log = self.group.log(self.seed)
        self.seat: Any = None
        self.answered = self.killed = False
        self.deaths, self.trouble = 0, ""

    def problem(self) -> str:
        """What it said of its failure, or what befell it."""
        return self.trouble or Worker.problem(self)

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        ray.kill(self.seat)


class RayPool:
    """Runs side by side on a cluster; the interface of `pool.Pool`."""

    def __init__(self, address: str, cpus: float, gpus: float) -> None:
        self.workers: list[RayWorker] = []
        self.asked: dict[Any, RayWorker] = {}
        self.over: list[tuple[RayWorker, int]] = []
        self.token, self.groups = f"{SHARED}{uuid.uuid4().hex}", set()
        self.needs = {"num_cpus": cpus, "num_gpus": gpus}
        connect(address or os.environ.get("RAY_ADDRESS", ""))
        self.seats = ray.remote(max_restarts=0, **self.needs)(Seat)
        if not any(self._fits(node["Resources"]) for node in ray.nodes() if node["Alive"]):
            print(f"no node of the cluster has {cpus:g} cores and {gpus:g} GPUs: waiting for one that has", flush=True)

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *exc: object) -> None:
        for worker in self.workers:
            worker.kill()
        for group in self.groups:
            (group / self.token).unlink(missing_ok=True)
        ray.shutdown()

    def _fits(self, has: dict[str, float]) -> bool:
        return has.get("CPU", 0.0) >= self.needs["num_cpus"] and has.get("GPU", 0.0) >= self.needs["num_gpus"]

    def capacity(self) -> int:
        """Runs that the cluster holds at once, as it is now; at least one, which waits."""
        has, counts = ray.cluster_resources(), []
        for kind, name in (("CPU", "num_cpus"), ("GPU", "num_gpus")):
            if self.needs[name]:
                counts.append(int(has.get(kind, 0.0) / self.needs[name] + 1e-6))
        return max(min(counts, default=1), 1)

    def start(self, part: Part) -> RayWorker:
        """Train a seed on some node."""
        worker, group = RayWorker(part), part[0]
        if group.path not in self.groups:
            try:
                (group.path / self.token).touch()
            except OSError as error:
                raise unwritable("the group of runs", group.path, error, "try again") from error
            self.groups.add(group.path)
        self.workers.append(worker)
        self._seat(worker)
        return worker

    def _seat(self, worker: RayWorker) -> None:
        root = worker.group.path.absolute()
        files = {FILE: (root / FILE).read_bytes()}
        files |= {str(path.relative_to(root)): path.read_bytes() for path in written(root, worker.seed)}
        worker.seat, worker.answered = self.seats.remote(str(root), worker.seed, self.token, files), False
        self.asked[worker.seat.poll.remote()] = worker

    def events(self, timeout: float) -> list[tuple[RayWorker, dict[str, Any] | int]]:
        """Reports of workers, and the exit codes of those that have ended; waits for the first of them."""
        found: list[tuple[RayWorker, dict[str, Any] | int]] = []
        over, self.over = self.over, []
        if self.asked and not over:
            ray.wait(list(self.asked), num_returns=1, timeout=timeout)
        ready = ray.wait(list(self.asked), num_returns=len(self.asked), timeout=0)[0] if self.asked else []
        for answer in ready:
            worker = self.asked.pop(answer)
            if worker.killed:
                over.append((worker, -int(signal.SIGKILL)))
                continue
            try:
                told = ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                worker.trouble = one_line(error.cause or error, 200)
                over.append((worker, 1))
            except ray.exceptions.RayError as error:
                why = str(error).strip().splitlines()[-1].strip()[:160]
                if getattr(error, "actor_init_failed", False):  # it would fail everywhere
                    worker.trouble = why
                    over.append((worker, 1))
                else:
                    over += self._lost(worker, why)
            else:
                found += self._heard(worker, told)
                if told["code"] is None:
                    self.asked[worker.seat.poll.remote()] = worker
                else:
                    ray.kill(worker.seat)
                    over.append((worker, told["code"]))
        for worker, _ in over:
            self.workers.remove(worker)
        return [*found, *over]

    def _heard(self, worker: RayWorker, told: dict[str, Any]) -> list[tuple[RayWorker, dict[str, Any]]]:
        worker.answered = True
        root = worker.group.path
        try:
            write(root, told["files"])
            for name in told["gone"]:
                (root / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable("a run of the cluster", root, error, "go on with --resume") from error
        if any(name.endswith(LAST) for name in told["files"]):
            worker.deaths = 0
        worker.step = max([worker.step, *(report["step"] for report in told["reports"])])
        return [(worker, report) for report in told["reports"]]

    def _lost(self, worker: RayWorker, why: str) -> list[tuple[RayWorker, int]]:
        """A node died, or the process there: the run goes on elsewhere, unless this befalls it again and again."""
        worker.deaths += 1
        if worker.deaths > DEATHS:
            worker.trouble = f"{worker.deaths} seats on the cluster died under it, the last with: {why}"
            return [(worker, 1)]
        print(f"seed {worker.seed}: its node is gone; it goes on elsewhere from its last checkpoint", flush=True)
        self._seat(worker)
        return []

    def stop(self, workers: list[RayWorker] | None = None) -> None:
        """Ask workers, or all, to save and leave; `events` tells when they have."""
        for worker in self.workers if workers is None else list(workers):
            if worker.answered:
                worker.seat.stop.remote()
            else:  # still waiting for a place, or about to begin: there is nothing to save
                worker.kill()


def connect(address: str) -> None:
    """Join a cluster, or begin one of this machine alone. Raises UserError within 15 s where there is none."""
    paths = filter(None, (str(PACKAGE), os.environ.get("PYTHONPATH", "")))
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": "ERROR",
        "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}},
    }
    reach(address)
    try:
        if address:
            ray.init(address, **options)
        else:
            ray.init(include_dashboard=False, **options)
    except Exception as error:  # Ray's own are many
        where = f"--address {address}" if address else "a Ray cluster of this machine alone"
        raise UserError(f"{where}: {one_line(error, 200)}; expected host:port of a cluster that runs") from error


def reach(address: str) -> None:
    """Raises UserError where nothing answers at an address, or something that is not Ray."""
    if address in ("", "auto", "local"):
        return
    expected = "expected host:port of a Ray cluster that runs (ray start --head prints it), ray://host:port, or auto"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"--address {one_line(ValueError(address), 80)}: {expected}")
    try:
        with socket.create_connection((host, int(port)), timeout=REACH) as line:
            line.sendall(GREETING)
            answer = line.recv(9)
    except OSError as error:
        raise UserError(f"--address {address}: nothing answers there ({one_line(error)}); {expected}") from None
    if answer[3:4] != SETTINGS:
        raise UserError(f"--address {address}: what listens there is no Ray cluster; {expected}")
