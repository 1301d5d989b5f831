"""How a text goes on: agent-gym text-generation "PROMPT"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from agent_gym.commands.line.messages import reported
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import NOT_NEGATIVE, Count, check_ranges


@dataclass(frozen=True)
class GenerationConfig:
    """A text and what comes after it: by a run of the task `generate`, by a model of Hugging Face in a local folder,
    or by a small language model that learns Python's own reference for some seconds first."""

    prompt: tyro.conf.Positional[str]
    """What is gone on with."""
    run: str = ""
    """Directory of a run of the task generate."""
    model: str = ""
    """Folder of a model of Hugging Face (AutoModelForCausalLM)."""
    length: Count = 200
    """Characters or tokens to add."""
    temperature: Annotated[float, NOT_NEGATIVE] = 0.7
    """1 draws as the model says, lower prefers what is likely, 0 takes the likeliest."""
    seed: Annotated[int, NOT_NEGATIVE] = 0
    """Seed of the draws."""

    def __post_init__(self) -> None:
        check_ranges(self)


@reported
def main(argv: list[str]) -> int:
    args = tyro.cli(GenerationConfig, args=argv, prog="agent-gym text-generation")
    if not args.prompt:
        raise UserError("the prompt is empty: expected a text to go on with")
    if args.run and args.model:
        raise UserError("--run and --model: give one of them")
    if args.model:
        from agent_gym.tasks.text.hugging_face import go_on

        print(go_on(args.model, args.prompt, args.length, args.temperature, args.seed))
        return 0
    import torch

    from agent_gym.tasks.text.alphabet import Alphabet

    model = _of_run(args.run) if args.run else _learned()
    alphabet = Alphabet.restored(model.spec.text)
    generator = torch.Generator().manual_seed(args.seed)
    drawn = model.go_on(alphabet.numbers(args.prompt), args.length, args.temperature, generator)
    print(args.prompt + alphabet.text(drawn))
    return 0


def _of_run(run: str):
    from agent_gym.commands.pipelines.runs import open_text_run

    return open_text_run(Path(run), "generate")[0]


def _learned():
    import torch

    from agent_gym.tasks.text.generate import Generate
    from agent_gym.tasks.text.settings import GenerateConfig

    torch.manual_seed(0)
    task = Generate(GenerateConfig(recurrent_size=128, epochs=3))
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    return task.model
