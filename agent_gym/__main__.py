"""The command: agent-gym train | evaluate | list | runs …; also python -m agent_gym."""

from __future__ import annotations

import sys
from importlib import import_module

from agent_gym.commands.line.messages import leave_until_ready

COMMANDS = {
    "train": ("train", "train an agent or a task: agent-gym train ppo --env CartPole-v1"),
    "evaluate": ("playing.evaluate", "score, watch or record a run: agent-gym evaluate runs/x"),
    "export": ("export", "a run as one file for other programs: agent-gym export runs/x policy.onnx"),
    "record": ("playing.record", "play and keep what was seen: agent-gym record runs/x --dataset pole/expert-v0"),
    "list": ("listing", "agents, tasks, environments and presets"),
    "check": ("check", "an environment before training: agent-gym check ENV"),
    "diagnose": ("diagnose", "why a run does not learn: agent-gym diagnose RUN"),
    "runs": ("runs", "a table of the runs in a folder: agent-gym runs [DIR]"),
    "compare": ("compare", "two groups of runs: agent-gym compare RUNS_A RUNS_B --report out.html"),
    "sweep": ("sweep", "a search over settings: agent-gym sweep ppo --env ID --trials 100 --time 30m"),
    "sentiment": ("pipelines.sentiment", 'of what mood a text is: agent-gym sentiment "TEXT"'),
    "question-answering": ("pipelines.question_answering", "what in a text answers: --question Q --context TEXT"),
    "text-generation": ("pipelines.text_generation", 'how a text goes on: agent-gym text-generation "PROMPT"'),
}


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__ + "\n\n" + "\n".join(f"  {name:<20} {purpose}" for name, (_, purpose) in COMMANDS.items()))
        return 0
    if argv[0] not in COMMANDS:
        from agent_gym.ground.errors import nearest

        known = ", ".join(COMMANDS)
        print(f"error: {argv[0]!r} is no command: expected one of {known}{nearest(argv[0], COMMANDS)}", file=sys.stderr)
        return 2
    return import_module(f"agent_gym.commands.{COMMANDS[argv[0]][0]}").main(argv[1:])


def console() -> int:
    """The installed command."""
    if sys.argv[1:2] == ["train"]:  # the others have nothing to lose, and windows and films to close
        leave_until_ready()
    return main()


if __name__ == "__main__":
    sys.exit(console())
