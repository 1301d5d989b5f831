"""Score, watch or record a trained run: python evaluate.py runs/x [--json] [--watch] [--video out.mp4].

A model of Stable-Baselines3: python evaluate.py MODEL.zip --env ID --algo PPO --trust.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agent_gym.commands.line.flags import read_flags
from agent_gym.commands.line.invocation import command
from agent_gym.commands.line.messages import reported
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import EVAL_SEED, flag
from agent_gym.ground.stdout import reserved_stdout


@dataclass(frozen=True)
class EvaluateConfig:
    """Score, watch or record a run."""

    run: tyro.conf.Positional[Path]
    """The run directory that train.py made, or a .zip that Stable-Baselines3 saved."""
    episodes: int = 0
    """Episodes to play; 0: 100 to score, 1 to record, 5 to watch, and no end in a browser or while the run trains."""
    json: bool = False
    """Print the score as one JSON object and nothing else."""
    watch: bool = False
    """Open a window: space pauses, arrows change the speed, N goes to the next episode, Q quits."""
    against: Annotated[str, tyro.conf.arg(metavar="RUN|random|greedy|mcts-N")] = ""
    """A match at a two-player game, with both colours, against another run or a player by name."""
    play: bool = False
    """Play against it yourself: in the terminal, with --watch in a window, with --web PORT in a browser."""
    side: Literal["first", "second"] = "first"
    """Whether you begin."""
    video: Annotated[str, tyro.conf.arg(metavar="FILE.mp4|FILE.gif")] = ""
    """Record to this file; needs no display."""
    web: Annotated[int, tyro.conf.arg(metavar="PORT")] = 0
    """Show in a browser on this machine, at http://127.0.0.1:PORT/."""
    grid: Annotated[str, tyro.conf.arg(metavar="ROWSxCOLUMNS")] = "1x1"
    """Play this many episodes at once, side by side."""
    plain: bool = False
    """The picture alone, without return, value and action probabilities."""
    action_names: Annotated[str, tyro.conf.arg(metavar="NAME,NAME,…")] = ""
    """What the panel calls the actions, or the parts of one; empty: as the environment or its documentation does."""
    drawing: Literal["auto", "full", "plain"] = "auto"
    """MuJoCo with shadows and reflections or without them; auto: without them where no graphics card is."""
    stochastic: bool = False
    """Sample actions as in training instead of taking the most likely; Atari games are always played so, since a
    fixed action can keep a game from ever starting."""
    checkpoint: Literal["best", "last"] = "best"
    """The best by evaluation during training, or the latest."""
    eval_max_steps: int = 0
    """Steps after which an episode is cut and counted; 0: 10 times the longest in training, at least 10,000; never
    where the environment has a limit of its own."""
    seed: int = EVAL_SEED
    """Seed of the episodes."""
    diagnose: bool = False
    """Say why it does not learn, instead of a score (agent-gym diagnose)."""
    report: Annotated[str, tyro.conf.arg(metavar="OUT.html")] = ""
    """Write the diagnosis as a page with the curves."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where the networks run."""
    env: str = ""
    """Environment of a .zip; a run knows its own."""
    env_kwargs: str = "{}"
    """Arguments of the environment of a .zip, as JSON."""
    algo: str = ""
    """Algorithm that made the .zip: PPO, SAC, …"""
    trust: bool = False
    """Open a .zip although its format can run code: only for files whose origin you know."""
    data: str = ""
    """New rows for the model of a task: a file as the task takes it."""
    predict: Annotated[str, tyro.conf.arg(metavar="OUT.csv")] = ""
    """Write the predictions for --data to this file."""


SHOWING = ("watch", "video", "web")
ONLY = {  # flags and those of which one must be there
    **dict.fromkeys(("grid", "plain", "action_names", "drawing"), SHOWING),
    "predict": ("data",),
    "side": ("play",),
    "report": ("diagnose",),
}


@reported
def main(argv: list[str]) -> int:
    if any(argument.endswith(".onnx") for argument in argv):
        from agent_gym.composing.scores.exported import main as exported  # without torch

        return exported(argv)
    args, given = read_flags(EvaluateConfig, argv, prog=command("evaluate"))
    refuse_idle(args, given)
    if args.diagnose:
        from agent_gym.commands.diagnose import diagnose

        return diagnose(args.run, args.json, args.report)
    with reserved_stdout() if args.json else nullcontext():
        from agent_gym.commands.playing.evaluating import run  # with what libraries print when they are imported

        found = run(args)
    if args.json and found is not None:
        print(json.dumps(found))
    return 0


def refuse_idle(args: EvaluateConfig, given: set[str]) -> None:
    """Raise UserError for flags that change nothing."""
    if args.run.suffix != ".zip" and not args.algo and (idle := given & {"env", "env_kwargs", "trust"}):
        raise UserError(f"{flag(min(idle))} is for a .zip of Stable-Baselines3, and {args.run} knows its own")
    for name in sorted(given & ONLY.keys()):
        if not given & set(ONLY[name]):
            raise UserError(f"{flag(name)} has no effect without {' or '.join(map(flag, ONLY[name]))}")
    if args.diagnose and (others := given - {"run", "json", "diagnose", "report"}):
        raise UserError(f"{flag(min(others))} has no effect with --diagnose: leave one of them out")
    if "play" in given and (idle := given & {"grid", "plain", "action_names", "drawing", "episodes", "stochastic"}):
        raise UserError(f"{flag(min(idle))} has no effect with --play")
    if "json" in given and given & {*SHOWING, "play"}:
        raise UserError("--json prints a score, and --watch, --video, --web and --play show episodes: give one of them")
