"""A table before training: train.py table --data FILE --target COLUMN --explore."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from agent_gym.storage.run import Run, default_run_dir
from agent_gym.tasks import task_class


def explore(name: str, config: Any) -> int:
    """Print what the columns hold, and leave it as text and pictures in a run directory. Returns the exit code."""
    task = task_class(name)(config)  # what training would refuse is refused here too
    text, pictures = task.explored()
    path = Path(config.run_dir or default_run_dir("explore", task.subject, config.seed))
    with closing(Run.create(path, {"task": name} | asdict(config))) as run:
        run.show({f"explore/{title}": picture for title, picture in pictures.items()}, 0)
        run.write_text("explore.txt", text + "\n")
        for title, picture in pictures.items():
            Image.fromarray(picture).save(path / f"{title}.png")
    if not config.quiet:
        print(text)
    print(f"\npictures: {', '.join(f'{path / title}.png' for title in pictures)}; tensorboard --logdir {path.parent}")
    return 0
