"""Supervised tasks by name. Importing a task happens when it is asked for; its settings come without torch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_gym.ground.errors import UserError
from agent_gym.ground.foreign import foreign_class

if TYPE_CHECKING:
    import torch

    from agent_gym.tasks.config import TaskConfig

TASKS = {
    "heights": ("agent_gym.tasks.lessons.toy", "HeightsConfig", "Heights"),
    "xor": ("agent_gym.tasks.lessons.toy", "XorConfig", "Xor"),
    "iris": ("agent_gym.tasks.tables.table", "IrisConfig", "Iris"),
    "breast-cancer": ("agent_gym.tasks.tables.table", "BreastCancerConfig", "BreastCancer"),
    "diabetes": ("agent_gym.tasks.tables.table", "DiabetesConfig", "Diabetes"),
    "table": ("agent_gym.tasks.tables.table", "TableConfig", "Table"),
    "digits": ("agent_gym.tasks.senses.digits", "DigitsConfig", "Digits"),
    "text": ("agent_gym.tasks.text.classify", "TextConfig", "Text"),
    "generate": ("agent_gym.tasks.text.generate", "GenerateConfig", "Generate"),
    "translate": ("agent_gym.tasks.text.translate", "TranslateConfig", "Translate"),
    "series": ("agent_gym.tasks.series.series", "SeriesConfig", "Series"),
    "gan": ("agent_gym.tasks.generation.gan", "GanConfig", "Gan"),
    "diffusion": ("agent_gym.tasks.generation.diffusion", "DiffusionConfig", "Diffusion"),
    "detect": ("agent_gym.tasks.senses.detect", "DetectConfig", "Detect"),
    "speech": ("agent_gym.tasks.senses.speech", "SpeechConfig", "Speech"),
    "lesson gradients": ("agent_gym.tasks.lessons.gradients", "GradientsConfig", "Gradients"),
    "lesson convolution": ("agent_gym.tasks.lessons.convolution", "ConvolutionConfig", "Convolution"),
    "lesson likelihood": ("agent_gym.tasks.lessons.likelihood", "LikelihoodConfig", "Likelihood"),
    "lesson batching": ("agent_gym.tasks.lessons.batching", "BatchingConfig", "Batching"),
    "lesson curves": ("agent_gym.tasks.lessons.curves", "CurvesConfig", "Curves"),
    "lesson memory": ("agent_gym.tasks.lessons.memory", "MemoryConfig", "Memory"),
}


def config_class(name: str) -> type:
    """The configuration dataclass of task `name`, or of module:Class. Raises UserError."""
    if ":" in name:
        return task_class(name).config_class
    module, settings, _ = TASKS[name]
    return getattr(import_module(f"{module.rpartition('.')[0]}.settings"), settings)


def task_class(name: str) -> type:
    """The class of task `name`, or of module:Class, built as task_class(name)(config, device). Raises UserError."""
    if ":" in name:
        return foreign_class(name, "config_class", "a task (a subclass of agent_gym.tasks.task.Task)")
    module, _, task = TASKS[name]
    return getattr(import_module(module), task)


def split_name(words: list[str]) -> tuple[str, list[str]]:
    """The longest name of a task that `words` begin with, such as "lesson gradients", and the words after it.

    ("", words) if there is none.
    """
    for count in (2, 1):
        if (name := " ".join(words[:count])) in TASKS:
            return name, words[count:]
    return "", words


def load_task(name: str, config: Any, weights: Any, device: torch.device | str = "cpu") -> Any:
    """The task with the weights of a checkpoint and the data that its configuration names. Raises UserError."""
    return task_class(name).restored(config, weights, device)


def predict(name: str, config: TaskConfig, weights: dict, data: Path, device: torch.device | str = "cpu"):
    """Predictions (a DataFrame, one row for each of `data`) and scores, empty where `data` holds no target.

    `weights` is the model of a checkpoint; the data that it was trained on is not needed. Raises UserError.
    """
    cls = task_class(name)
    if not cls.predicts:
        raise UserError(f"{name} predicts nothing for --data {data}: leave it out")
    return import_module(cls.__module__).predict(cls.network.restored(weights, config).to(device), config, data)
