"""The run directory: configuration, TensorBoard events, checkpoints, result."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from training.checkpoint import load_checkpoint, save_checkpoint
from training.errors import UserError

CHARTS = {
    "reward": {
        "training episodes": ["Multiline", ["rollout/episode_return"]],
        "evaluation": ["Multiline", ["eval/episode_return"]],
        "episode length": ["Multiline", ["rollout/episode_length", "eval/episode_length"]],
    },
    "losses": {
        "loss": ["Multiline", ["train/loss", "train/policy_loss", "train/value_loss", "train/q_loss", "val/loss"]],
        "entropy": ["Multiline", ["train/entropy", "train/alpha"]],
        "step size": ["Multiline", ["train/approx_kl", "train/clip_fraction", "train/grad_norm"]],
    },
    "speed": {"steps per second": ["Multiline", ["time/steps_per_second"]]},
}

BOOKKEEPING = {  # no hyperparameters: left out of TensorBoard's table, which shows few columns at once
    *("run_dir", "quiet", "summary", "device", "num_threads", "backend", "eval_episodes", "eval_every"),
    *("checkpoint_every", "video_every"),
}


def default_run_dir(name: str, subject: str, seed: int) -> Path:
    """runs/<name>-<subject>-<seed>-<time>, with a number behind it if that one is taken."""
    stem = f"{name}-{subject.replace('/', '-').replace(':', '-')}-{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, count = Path("runs") / stem, 1
    while path.exists():
        count += 1
        path = Path("runs") / f"{stem}-{count}"
    return path


class Run:
    """One run on disk. `config` is the plain-data dict that rebuilds the run."""

    def __init__(self, path: Path, config: dict, *, purge_step: int | None = None) -> None:
        self.path = path
        self.config = config
        self.writer = SummaryWriter(str(path), purge_step=purge_step)

    @classmethod
    def create(cls, path: Path, config: dict) -> Run:
        """Make the directory; refuse one that holds anything."""
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise UserError(
                    f"--run-dir {path} exists and is not empty: choose another, or continue it with --resume {path}"
                )
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write the run directory {path} ({error.strerror}): choose another with --run-dir"
            ) from error
        run = cls(path, config)
        run.writer.add_custom_scalars(CHARTS)
        return run

    @classmethod
    def resume(cls, path: Path, config: dict, step: int) -> Run:
        """Open an existing run at `step`; TensorBoard hides what was logged after it."""
        if not os.access(path, os.W_OK):
            raise UserError(f"cannot write the run directory {path}: mend its permissions")
        return cls(path, config, purge_step=step + 1)

    def log(self, scalars: dict[str, float], step: int) -> None:
        """Write scalars under their tags at `step`."""
        try:
            for tag, value in scalars.items():
                self.writer.add_scalar(tag, value, step)
        except OSError as error:
            raise UserError(
                f"cannot write TensorBoard events to {self.path} ({error.strerror}): "
                f"free space there, then --resume {self.path}"
            ) from error

    def log_gif(self, tag: str, gif: bytes, width: int, height: int, step: int) -> None:
        """Write an animated GIF at `step`; it plays in TensorBoard's Images."""
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
        self.writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def log_images(self, images: dict[str, np.ndarray], step: int) -> None:
        """Write pictures uint8 [H, W, 3] under their tags at `step`."""
        for tag, image in images.items():
            self.writer.add_image(tag, image, step, dataformats="HWC")

    def save(self, name: str, state: dict) -> None:
        """Write checkpoints/<name>.pt with the configuration beside the state."""
        save_checkpoint(self.path / "checkpoints" / f"{name}.pt", {"config": self.config, **state})

    def finish(self, result: dict, score_tag: str, score: float, step: int) -> None:
        """Write result.json and the HParams entry."""
        temporary = self.path / "result.json.tmp"
        temporary.write_text(json.dumps(result, indent=2) + "\n")
        os.replace(temporary, self.path / "result.json")
        given = {k: v for k, v in self.config.items() if k not in BOOKKEEPING and v != ""}
        flat = {k: v if isinstance(v, int | float | bool | str) else str(v) for k, v in given.items()}
        for summary in hparams(flat, {score_tag: score}):
            self.writer.file_writer.add_summary(summary)
        self.writer.add_scalar(score_tag, score, step)

    def close(self) -> None:
        self.writer.close()


def open_checkpoint(path: Path, name: str, device: torch.device | str = "cpu") -> dict:
    """The state of checkpoint `name` of the run at `path`."""
    if not path.is_dir():
        raise UserError(f"{path} is no run directory: give the folder that train.py printed, such as runs/x")
    if not (path / "checkpoints").is_dir():
        raise UserError(f"{path} is no run: it has no checkpoints folder")
    return load_checkpoint(path / "checkpoints" / f"{name}.pt", device)
