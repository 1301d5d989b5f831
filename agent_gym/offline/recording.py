"""--record: what an agent's training sees, kept beside the run step by step, and written as a data set at its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from torch import Tensor

from agent_gym.commands.line.invocation import command, quoted
from agent_gym.envs.adapters.boundary.spaces import ObsLayout
from agent_gym.envs.vector import Obs, Step, VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.ground.spaces import is_nested
from agent_gym.ground.tree import tree_map
from agent_gym.storage import datasets
from agent_gym.storage.commit import commit
from agent_gym.storage.datasets import PREFIX, RawEpisode
from agent_gym.storage.files import read_object, write_text
from agent_gym.storage.steps import NO_STEP, TERMINATED, TRUNCATED, Kept, StepLog, episodes

FOLDER = "experience"  # in the run directory
LOG, WRITTEN = "steps", "set.json"


class Recording:
    """Listens to the environments of `agent` while it collects; nothing of the training changes by it."""

    def __init__(self, name: str, agent: Any, env: VectorEnv, run: Path | None, state: dict) -> None:
        """`name`: of the set; `run` to go on with, and what its checkpoint holds.

        Raises UserError for what cannot be recorded.
        """
        datasets.require_minari("--record")
        self.raw_obs, self.raw_action = env.raw_spaces
        if env.members > 1 or agent.env is not env:
            raise UserError(f"--record keeps what one agent sees, and {env.id} is played by several here: leave it out")
        if is_nested(self.raw_action) or any(leaf.convert for leaf in ObsLayout(self.raw_obs).parts):
            raise UserError(
                f"--record cannot keep {self.raw_obs} with actions {self.raw_action}: expected Box, Discrete, "
                "MultiDiscrete, MultiBinary, for observations also Dict and Tuple of these"
            )
        self.env, self.space = env, env.obs_space
        self.path: Path | None = None
        self.log: StepLog | None = None
        self.name = name if self._mine(run, name) else datasets.set_id(name, "--record")
        self.length, self.now, self.cut = 0, None, None
        """Bytes to go on behind; what is acted on next; the observations behind episodes that were given up."""
        self.saved: tuple[Obs, Obs | None] | None = None
        if run is not None and "record" in state:
            self.length, now, cut = (state["record"][name] for name in ("length", "now", "cut"))
            self.saved, path = (now, cut), run / FOLDER / LOG
            if self.length and (not path.is_file() or path.stat().st_size < self.length):
                raise UserError(f"{path} holds less than at the checkpoint of {run}: bring it back as it was")
        self.active = False
        self._listen(agent)

    def _listen(self, agent: Any) -> None:
        collect, step, reset, load = agent.collect, self.env.step, self.env.reset, self.env.load_state_dict

        def collecting() -> Any:
            self.active = True
            try:
                return collect()
            finally:
                self.active = False

        def stepping(action: Tensor) -> Step:
            found = step(action)
            if self.active:
                self.add(action, found)
            return found

        def resetting(seed: int) -> Obs:
            obs = reset(seed)
            self.cut, self.now = self.now if self.cut is None else self.cut, obs
            return obs

        def loading(state: dict) -> bool:
            goes_on, (now, cut) = load(state), self.saved
            if goes_on:
                self.now, self.cut = now, cut
            else:  # it is reset next, and what was under way is lost
                self.cut = now if cut is None else cut
            return goes_on

        agent.collect, self.env.step, self.env.reset = collecting, stepping, resetting
        self.env.load_state_dict = loading
        self.env.tensors = lambda: None  # a graph of a whole rollout tells nobody of its steps

    def lies_in(self, run: Path) -> None:
        """Where the run directory will be."""
        self.path = run

    def add(self, action: Tensor, step: Step) -> None:
        """A step of the training. Raises UserError where the disk is full."""
        if self.log is None:
            self.log = StepLog(self.path / FOLDER / LOG, self.length)
        if self.cut is not None and self.log.begun:
            given_up = np.full(self.env.num_envs, NO_STEP | TRUNCATED, np.uint8)
            now = self._parts(self.cut)
            self.log.add(now, _array(action), _array(step.reward), given_up, now)
        flags = _array(step.terminated) * TERMINATED + _array(step.truncated) * TRUNCATED
        if step.valid is not None:
            flags = flags + ~_array(step.valid) * NO_STEP
        now, last = self._parts(self.now), self._parts(step.final_obs)
        self.log.add(now, _array(action), _array(step.reward), flags.astype(np.uint8), last)
        self.cut, self.now = None, step.obs

    def _parts(self, obs: Obs) -> list[np.ndarray]:
        return [_array(part) for part in _leaves(obs, self.space)]

    def state(self) -> dict:
        """What last.pt holds of it."""
        if self.log is not None:
            self.length = self.log.sync()
        kept = {
            name: obs if obs is None else tree_map(_apart, obs) for name, obs in (("now", self.now), ("cut", self.cut))
        }
        return {"record": {"length": self.length, **kept}}

    def _mine(self, run: Path | None, name: str) -> bool:
        """Whether the set that is there was written by this run."""
        if run is None:
            return False
        written = read_object(run / FOLDER / WRITTEN)
        return written.get("dataset") == name and written.get("stamp") == stamp(name)

    def write(self, source: Any) -> None:
        """Write the set, in place of an earlier one of this run, and say so. Raises UserError."""
        mine, count = self._mine(self.path, self.name), 0

        def told() -> Iterator[RawEpisode]:
            nonlocal count
            for kept in episodes(self.path / FOLDER / LOG):
                count += 1
                yield self._raw(kept)

        run = self.path.resolve().name
        about = {"algorithm_name": run, "code_permalink": commit() or "unknown"}
        about["description"] = f"what the training of {run} has seen"
        self._close_running()
        env = source.single()
        try:
            path = datasets.write(self.name, env, told(), about, replace=mine)
        finally:
            if not source.handed_over:
                env.close()
        written = {"dataset": self.name, "stamp": stamp(self.name)}
        write_text(self.path / FOLDER / WRITTEN, json.dumps(written) + "\n")
        print(f"recorded {count} episodes in {quoted(path)}")
        print(f"learn from them: {command('train')} bc --data {PREFIX}{self.name}")

    def _close_running(self) -> None:
        """Behind the last step: episodes under way count as cut there. A resumed run takes this back."""
        if self.log is None:
            self.log = StepLog(self.path / FOLDER / LOG, self.length)
        if not self.log.begun:
            raise UserError("--record: no step was taken, so there is nothing to write")
        self.length = self.log.sync()
        now = self._parts(self.now if self.cut is None else self.cut)
        rows, action = self.env.num_envs, self.env.action_space
        nothing = np.zeros((rows, *action.shape), action.dtype if isinstance(action, spaces.Box) else np.int64)
        self.log.add(now, nothing, np.zeros(rows, np.float32), np.full(rows, NO_STEP | TRUNCATED, np.uint8), now)
        self.log.sync()
        self.log.close()
        self.log = None

    def _raw(self, kept: Kept) -> RawEpisode:
        """As the environment itself has it."""
        steps = len(kept.reward)
        ends = np.arange(steps) == steps - 1
        space, action = self.raw_action, kept.action
        if not isinstance(space, spaces.Box):
            start = np.ravel(getattr(space, "start", 0))
            action = action + (start if start.size == 1 else start.reshape(action.shape[1:]))
        action = action.reshape(steps, *space.shape).astype(space.dtype)
        obs = _nested(self.raw_obs, iter(kept.obs), steps + 1)
        over = ends & kept.terminated
        return RawEpisode(obs, action, kept.reward.astype(np.float64), over, ends & ~over)


def _apart(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone()


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _leaves(obs: Obs, space: gymnasium.Space) -> Iterator[Tensor]:
    """The parts of an observation in the order of its space."""
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            yield from _leaves(obs[key], part)
    else:
        yield obs


def _nested(space: gymnasium.Space, parts: Iterator[np.ndarray], count: int) -> Any:
    """Arrays [count, ...] of the parts, nested as the environment's own space is."""
    if isinstance(space, spaces.Dict):
        return {key: _nested(part, parts, count) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_nested(part, parts, count) for part in space.spaces)
    return next(parts).astype(space.dtype).reshape(count, *space.shape)


def stamp(name: str) -> list[int]:
    """What tells a set from another one written later under its name; [] where there is none."""
    path = datasets.root() / name / "data" / datasets.META
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else []
