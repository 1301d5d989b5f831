"""An exported policy, played by onnxruntime. Without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from agent_gym.export.spaces import Leaf, arrays
from agent_gym.ground.errors import UserError, one_line

KEY = "agent_gym"  # of the metadata in a file
KINDS = {"policy", "predictor"}


class ExportedFile:
    """A session of onnxruntime and what the file says of itself, in `about`. Raises UserError where it is none."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError(f"{path} needs the package onnxruntime: pip install 'agent-gym[export]'") from None
        if not path.is_file():
            raise UserError(f"there is no file {path}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # whatever a foreign file leads to
            raise UserError(f"{path} is no ONNX file that onnxruntime can run ({one_line(error, 200)})") from None
        try:
            self.about: dict[str, Any] = json.loads(self.session.get_modelmeta().custom_metadata_map[KEY])
            if self.about["kind"] not in KINDS:
                raise ValueError(self.about["kind"])
            self.leaves = [Leaf(o["name"], tuple(o["path"]), tuple(o["shape"]), o["dtype"]) for o in self.about["obs"]]
        except (KeyError, TypeError, ValueError, RecursionError):
            raise UserError(f"{path} was not exported by this project: it lacks a description of its inputs") from None
        self.path = path


class ExportedPolicy:
    """A policy that acts on the environment's own observations, as Stable-Baselines3's models do.

    `predict(obs, state, episode_start, deterministic)` takes one observation; a file exported with --sampled draws its
    actions unless `deterministic`, with `rng`.
    """

    def __init__(self, path: Path | str, seed: int = 0) -> None:
        self.file = ExportedFile(Path(path))
        about = self.file.about
        if about["kind"] != "policy":
            raise UserError(f"{path} is the model of a task and plays nothing")
        self.about, self.leaves, self.run = about, self.file.leaves, self.file.session.run
        self.size: int = about["memory"]
        self.noise: dict | None = about["noise"]
        self.mask: int = about["mask"]
        self.rng = np.random.default_rng(seed)

    def predict(
        self,
        obs: Any,
        state: np.ndarray | None = None,
        episode_start: bool = False,
        deterministic: bool = False,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The action, as the environment takes it, and the memory to give with the next observation.

        `mask` [n]: the actions allowed now, for a file that takes it; None: all.
        """
        feeds = arrays(obs, self.leaves)
        if self.size:
            feeds["memory"] = np.zeros((1, self.size), np.float32) if state is None else state
            feeds["reset"] = np.array([episode_start or state is None])
        if self.noise is not None:
            feeds["noise"] = self._noise(deterministic)
        if self.mask:
            allowed = np.ones(self.mask, np.bool_) if mask is None else mask
            feeds["mask"] = np.asarray(allowed, np.bool_).reshape(1, self.mask)
        action, *rest = self.run(None, feeds)
        return action[0], rest[0] if rest else None

    def _noise(self, deterministic: bool) -> np.ndarray:
        shape, kind = (1, *self.noise["shape"]), self.noise["kind"]
        normals = shape[-1] if kind == "normal" else self.noise.get("normals", 0)
        noise = np.full(shape, 0.5, np.float32) if deterministic else 1.0 - self.rng.random(shape, np.float32)
        if normals:
            part = (*shape[:-1], normals)
            noise[..., -normals:] = 0.0 if deterministic else self.rng.standard_normal(part, np.float32)
        return noise
