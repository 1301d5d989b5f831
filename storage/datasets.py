"""Minari data sets on this machine: where they lie, what is in them, and writing one whole or not at all.

An id is looked for in $MINARI_DATASETS_PATH, or ~/.minari/datasets, where Minari itself looks.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from agent_gym.ground.errors import UserError, nearest, one_line, unwritable

ROOT = "MINARI_DATASETS_PATH"
PREFIX = "minari:"
META = "metadata.json"
ID = re.compile(r"[\w-]+(/[\w-]+)*-v\d+")
LARGEST_META = 50_000_000  # bytes
LOT = 2000  # steps that are written at once


class RawEpisode(NamedTuple):
    """An episode as its environment gave it: T steps."""

    observations: Any
    """Arrays [T + 1, ...], nested as the space is."""
    actions: Any
    """Arrays [T, ...]."""
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    seed: int | None = None


class DataSet(NamedTuple):
    """A set that is there, not read yet."""

    name: str
    """As the user names it."""
    path: Path
    """The folder that holds its metadata."""
    about: dict
    """Its metadata."""

    @property
    def environment(self) -> tuple[str, dict]:
        """Id and arguments of the environment that it was recorded in; ("", {}) where it does not say."""
        try:
            spec = json.loads(self.about["env_spec"])
            return str(spec["id"]), dict(spec.get("kwargs") or {})
        except (KeyError, TypeError, ValueError, RecursionError):
            return "", {}


def root() -> Path:
    """The folder of all sets with an id."""
    return Path(os.environ.get(ROOT) or Path.home() / ".minari" / "datasets")


def require_minari(what: str) -> None:
    """Raise UserError with the line that installs what data sets need."""
    for package in ("minari", "h5py"):
        if find_spec(package) is None:
            raise UserError(f"{what} needs the package {package}: pip install 'agent-gym[offline]'")


def find(name: str) -> DataSet:
    """The set that minari:ID or a path names. Imports nothing. Raises UserError."""
    folder = root() / name.removeprefix(PREFIX) if name.startswith(PREFIX) else Path(name).expanduser()
    for path in (folder, folder / "data"):
        if (path / META).is_file():
            return DataSet(name, path, _metadata(name, path / META))
    if name.startswith(PREFIX):
        known = [PREFIX + path.parent.parent.relative_to(root()).as_posix() for path in root().glob(f"**/data/{META}")]
        there = f"there are {', '.join(sorted(known)[:8])}" if known else f"there is none in {root()}"
        raise UserError(f"no data set {name}: {there}; agent-gym record makes one{nearest(name, known)}")
    raise UserError(f"no data set in {name}: expected minari:ID or a folder that holds {META}")


def _metadata(name: str, path: Path) -> dict:
    try:
        if path.stat().st_size > LARGEST_META:
            raise ValueError("it is too large")
        about = json.loads(path.read_text("utf-8"))
        if not isinstance(about, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"the data set {name} is damaged: {path} cannot be read ({one_line(error, 120)})") from error
    lacking = [
        key for key in ("observation_space", "action_space", "data_format") if not isinstance(about.get(key), str)
    ]
    if lacking:  # Minari would make the environment then, whose class the file names
        raise UserError(f"the data set {name} does not say its {lacking[0]}: record it anew with Minari 0.5 or later")
    return about


def read(found: DataSet) -> tuple[gymnasium.Space, gymnasium.Space, Iterator[RawEpisode]]:
    """Observation space, action space and the episodes of a set. Raises UserError, also while it is gone through."""
    require_minari(f"the data set {found.name}")
    from minari import MinariDataset

    with _told(found), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of environments that are not registered here
        data = MinariDataset(found.path)
        spaces, count = (data.observation_space, data.action_space), int(data.total_episodes)
    if not count:
        raise UserError(f"the data set {found.name} is empty: expected at least one episode")
    return *spaces, _episodes(found, data)


def _episodes(found: DataSet, data: Any) -> Iterator[RawEpisode]:
    with _told(found):
        for one in data.iterate_episodes():
            yield RawEpisode(one.observations, one.actions, one.rewards, one.terminations, one.truncations)


@contextlib.contextmanager
def _told(found: DataSet) -> Iterator[None]:
    try:
        yield
    except (UserError, GeneratorExit):
        raise
    except Exception as error:  # whatever a torn or foreign file leads to
        told = one_line(error, 160)
        raise UserError(
            f"the data set {found.name} is damaged or of another kind: {found.path} cannot be read "
            f"({type(error).__name__}: {told})"
        ) from error


def set_id(name: str, flag: str = "--dataset") -> str:
    """The id that a new set is written under. Raises UserError for what is none and for one that is there."""
    name = re.sub(r"/(v\d+)$", r"-\1", name.removeprefix(PREFIX))
    if not ID.fullmatch(name):
        raise UserError(f"{flag} {name!r} is no id of a data set: expected namespace/name-v0, such as pole/expert-v0")
    if (root() / name).exists():
        raise UserError(f"{flag} {name}: {root() / name} is there already: choose another name or version")
    return name


def write(
    name: str, env: gymnasium.Env, episodes: Iterable[RawEpisode], about: dict[str, Any], *, replace: bool = False
) -> Path:
    """Write a set under its id, its folder appearing when all is written; pictures as they are, bit for bit.

    `about`: arguments of minari.create_dataset_from_buffers; `replace`: in place of the set that is there. Raises
    UserError.
    """
    require_minari("recording")
    home = root()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".recording-") as folder, _datasets_in(folder):
            _fill(name, env, episodes, about)
            target = home / name
            target.parent.mkdir(parents=True, exist_ok=True)
            namespace = Path(folder, name).parent / "namespace_metadata.json"
            if namespace.exists() and not (target.parent / namespace.name).exists():
                os.replace(namespace, target.parent / namespace.name)
            if replace and target.exists():
                os.replace(target, Path(folder, "before"))
            if target.exists():
                raise UserError(f"the data set {name}: {target} has appeared meanwhile: choose another name or version")
            os.replace(Path(folder, name), target)
    except OSError as error:
        raise unwritable("the data set", home / name, error, "record again") from error
    return home / name


@contextlib.contextmanager
def _datasets_in(folder: str) -> Iterator[None]:
    """Minari writes to this folder, within the context."""
    before = os.environ.get(ROOT)
    os.environ[ROOT] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[ROOT]
        else:
            os.environ[ROOT] = before


def _fill(name: str, env: gymnasium.Env, episodes: Iterable[RawEpisode], about: dict[str, Any]) -> None:
    from minari import create_dataset_from_buffers
    from minari.data_collector import EpisodeBuffer

    data = None
    for buffer in _lots(EpisodeBuffer(id=number, **one._asdict()) for number, one in enumerate(episodes)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Minari asks for author and code
            if data is None:
                data = create_dataset_from_buffers(name, buffer, env=env, jpeg_encoding=False, **about)
            else:
                data.update_dataset_from_buffer(buffer)
    if data is None:
        raise UserError(f"the data set {name} would be empty: no step was taken, so there is nothing to write")


def _lots(buffers: Iterable[Any]) -> Iterator[list[Any]]:
    """Several at once, since each writing opens the file anew."""
    lot, steps = [], 0
    for buffer in buffers:
        lot.append(buffer)
        steps += len(buffer.rewards)
        if steps >= LOT:
            yield lot
            lot, steps = [], 0
    if lot:
        yield lot
