"""Train an agent or a supervised task: python train.py [NAME] [--flags]. Without arguments: PPO on CartPole-v1."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import tyro

from agent_gym.agents import AGENTS, agent_class, config_class, others_for
from agent_gym.agents.presets.choose import preset
from agent_gym.agents.settings.base import parse_env_kwargs
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.failures import ErrorLog
from agent_gym.envs.make import is_atari, make_env, make_single, native_core, scoring_backend
from agent_gym.envs.origin import check_origin
from agent_gym.envs.vector import EnvFailure
from agent_gym.ground.budget import parameter_budget
from agent_gym.ground.errors import SMALLER, UserError, one_line, out_of_memory
from agent_gym.nets.encoders.make import has_image
from agent_gym.nets.learner.learner import NonFiniteError
from agent_gym.nets.summary import summary
from agent_gym.restore import check_num_envs, restore_config, starting_weights
from agent_gym.storage.charts import AGENT_CHARTS, TASK_CHARTS
from agent_gym.storage.run import Run
from agent_gym.tasks import TASKS, load_task, task_class
from agent_gym.tasks import config_class as task_config
from agent_gym.training.device import choose_device
from agent_gym.training.evaluation import EVAL_SEED, Score, play
from agent_gym.training.session import Conclusion, Session, run_session
from agent_gym.viewing.clip import Clip
from agent_gym.viewing.film import film, prepare_headless
from agent_gym.viewing.names import action_names
from agent_gym.viewing.overlay import Stage
from agent_gym.viewing.player import Show, frame_rate, make_tap

USER_ERRORS = (UserError, EnvFailure, NonFiniteError)


@dataclass(frozen=True)
class ResumeConfig:
    """Continue a run where it stopped."""

    resume: Path
    """The run directory."""
    total_steps: int = 0
    """A new end for an agent's run; 0: as planned."""
    epochs: int = 0
    """A new end for a task's run; 0: as planned."""
    device: Literal["", "auto", "cpu", "cuda"] = ""
    """Another device; empty: as before."""
    num_threads: int = 0
    """Another number of CPU threads of torch; 0: as before."""
    on_env_error: Literal["", "stop", "restart"] = ""
    """When an environment fails: stop, or replace it and go on; empty: as before."""
    track: Literal["", "none", "mlflow", "wandb"] = ""
    """Another tracker beside TensorBoard, which gets all that was logged so far; empty: as before."""
    quiet: bool = False
    """Print the result only."""


def main(argv: list[str]) -> int:
    try:
        with ExitStack() as stack:
            name, config, run, settings = parse(argv, stack)
            if config.freeze_encoder and not config.encoder_from and run is None:
                raise UserError("--freeze-encoder keeps what --encoder-from RUN loads: give both")
            return (train_task if name in TASKS else train_agent)(name, config, run, settings)
    except USER_ERRORS as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        print(f"error: not enough memory ({one_line(error, 160)}): {SMALLER}", file=sys.stderr)
        return 2


def parse(argv: list[str], stack: ExitStack):
    """The agent's name, its configuration, the run when resuming, and what the configuration comes from.

    `stack` closes the run.
    """
    if any(arg.split("=")[0] == "--resume" for arg in argv):
        return parse_resume(tyro.cli(ResumeConfig, args=argv), stack)
    if argv and argv[0] in ("-h", "--help"):
        print(f"{__doc__}\n\nagents: {' '.join(AGENTS)}\ntasks: {' '.join(TASKS)}\n")
        print("python train.py NAME --help lists the flags of one; python train.py --resume RUN continues a run.")
        raise SystemExit(0)
    if not argv or argv[0].startswith("-"):
        argv = ["ppo", *argv]
    name, flags = argv[0], argv[1:]
    if name in TASKS:
        config = tyro.cli(task_config(name), args=flags, prog=f"train.py {name}")
        return name, config, None, "settings: those of the task where you gave no flag"
    if name not in AGENTS:
        raise UserError(f"{name!r} is no agent or task: expected one of {', '.join((*AGENTS, *TASKS))}")
    defaults, label = config_class(name)(), ""
    if not {"-h", "--help"} & set(flags):
        env_id = flag_value(flags, "env", defaults.env)
        env_kwargs = parse_env_kwargs(flag_value(flags, "env-kwargs", defaults.env_kwargs))
        single = make_single(env_id, env_kwargs)
        label, settings = preset(name, env_id, single.action_space, flag_value(flags, "algo", "PPO"))
        single.close()
        defaults = replace(defaults, **settings)
    config = tyro.cli(config_class(name), default=defaults, args=flags, prog=f"train.py {name}")
    return name, config, None, f"settings: {label}; flags of yours win over them"


def flag_value(flags: list[str], name: str, default: str) -> str:
    """The value of --name in raw flags, in either spelling."""
    for flag, following in zip(flags, [*flags[1:], default], strict=False):
        key, equals, value = flag.partition("=")
        if key.lstrip("-").replace("_", "-") == name and key.startswith("--"):
            return value if equals else following
    return default


def parse_resume(args: ResumeConfig, stack: ExitStack):
    run = stack.enter_context(closing(Run.reopen(args.resume)))
    stored = dict(run.state["config"])
    task = "task" in stored
    name = stored.pop("task" if task else "agent", None)
    stored |= {"run_dir": str(args.resume), "quiet": args.quiet}
    end, other = ("epochs", "total_steps") if task else ("total_steps", "epochs")
    if getattr(args, other):
        raise UserError(f"--{other.replace('_', '-')} does not fit {name}: expected --{end.replace('_', '-')}")
    if getattr(args, end):
        stored[end] = getattr(args, end)
    if args.device:
        stored["device"] = args.device
    if args.num_threads:
        stored["num_threads"] = args.num_threads
    if args.track:
        stored["track"] = args.track
    if args.on_env_error:
        if task:
            raise UserError(f"--on-env-error is for agents, and {name} has no environment")
        stored["on_env_error"] = args.on_env_error
    config = restore_config("task" if task else "agent", name, stored)
    if not task:
        check_origin(config.env, args.resume)
        check_num_envs(config, run.state["agent"])
    return name, config, run, f"settings: those of {args.resume}"


def train_agent(name: str, config, run: Run | None, settings: str) -> int:
    """Build the environments and the agent, and run the session."""
    game = is_atari(config.env)
    env_kwargs = config.make_kwargs(game)
    device = choose_device(config.device, native=native_core(config.env) is not None)
    torch.set_num_threads(1)  # until worker processes are forked
    torch.manual_seed(config.seed)
    failures = ErrorLog(config.on_env_error == "restart")
    make = partial(
        make_env,
        config.env,
        env_kwargs=env_kwargs,
        device=device,
        seed=config.seed,
        on_error=config.on_env_error,
        report=failures,
    )
    env = make(config.num_envs, backend=config.backend, training=True)
    torch.set_num_threads(config.threads(has_image(env.obs_space)))
    with starting_weights(config.encoder_from), nullcontext() if run is None else parameter_budget(run.state["agent"]):
        refuse_actions(name, config, env)
        agent = agent_class(name)(config, env, device)
    if config.log_layers:
        agent.watch_layers()
    camera = partial(make_tap, partial(make_single, config.env, env_kwargs))
    if config.video_every:
        prepare_headless()
        camera().close()  # learn now, not in the middle, that pictures cannot be drawn
    if config.summary:
        print(summary(agent.policy.networks(), env.obs_space))
        env.close()
        return 0

    def score(episodes: int, num_envs: int, seed: int) -> Score:
        eval_env = make(min(episodes, num_envs), backend=scoring_backend(config.env))
        try:
            return play(agent.policy, eval_env, episodes, seed=seed, explore=game)
        finally:
            eval_env.close()

    def evaluate() -> tuple[float, dict[str, float]]:
        result = score(20, 20, config.seed)
        mean = float(result.returns.mean())
        return mean, {"eval/episode_return": mean, "eval/episode_length": float(result.lengths.mean())}

    def conclude() -> Conclusion:
        result = score(config.eval_episodes, 25, EVAL_SEED)
        fields = {"env": config.env, "agent": name} | result.summary()
        return Conclusion(fields, "final/episode_return", fields["return_mean"], result.text())

    def record(path: Path) -> Clip | None:
        tap = camera()
        filmed = SyncEnv([tap], config.env, device)
        filmed.recovery.report = failures
        try:
            stage = Stage(config.env, tap.action_space, action_names(tap, tap.action_space))
            stage.subtitle = f"step {agent.steps:,}"
            show = Show(agent.policy, filmed, [tap], stage, seed=config.seed, episodes=1)
            clip = Clip(frame_rate(tap))
            film(show, path, frame_rate(tap), clip, quiet=True)
            return clip
        except EnvFailure:
            if config.on_env_error == "stop":
                raise
            return None
        finally:
            filmed.close()

    session = Session(
        name=name,
        subject=config.env,
        group=config.env,
        charts=AGENT_CHARTS,
        config={"agent": name} | config.plain(game),
        trainee=agent,
        evaluate=evaluate,
        conclude=conclude,
        film=record,
        video_every=config.video_every,
        commands=(
            ("python evaluate.py {run}", "score it again; --watch opens a window, --video out.mp4 records"),
            ("tensorboard --logdir runs", "curves"),
            ("python train.py --resume {run} --total-steps {steps}", "train on"),
        ),
        headline="rollout/episode_return",
        eval_every=config.eval_every,
        checkpoint_every=config.checkpoint_every,
        notes=(settings, f"{env.backend} environments: {env.choice}", hardware(device)),
        log_failures=failures.open,
        layers=lambda: summary(agent.networks(), env.obs_space),
        recoverable=(EnvFailure,),
    )
    try:
        return run_session(session, run, device)
    finally:
        env.close()


def refuse_actions(name: str, config, env) -> None:
    """Name the agents that can, where `name` cannot take an environment's actions. Raises UserError."""
    kinds = agent_class(name).action_spaces
    if not isinstance(env.action_space, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(
            f"{name} cannot act in {env.action_space} of {config.env}: expected {expected}; "
            f"{', '.join(others_for(env.action_space, name))} can"
        )


def train_task(name: str, config, run: Run | None, settings: str) -> int:
    """Load the data, build the network and run the session."""
    device = choose_device(config.device, native=name in ("digits", "series"))
    torch.set_num_threads(config.num_threads or 1)
    torch.manual_seed(config.seed)
    weights = None if run is None else run.state["agent"].get("model")
    with starting_weights(config.encoder_from):
        task = task_class(name)(config, device) if run is None else load_task(name, config, weights, device)
    if config.log_layers:
        task.watch_layers()
    layers = summary(task.model, task.model.spec.space())
    if config.summary:
        print(layers)
        return 0

    def conclude() -> Conclusion:
        metrics = task.test()
        score = metrics[task.headline]
        fields = {"task": name, "metrics": metrics}
        return Conclusion(fields, f"test/{task.headline}", score, task.report(metrics), task.images())

    session = Session(
        name=name,
        subject=task.subject,
        group=name if task.subject == "bundled" else task.subject,
        charts=TASK_CHARTS,
        config={"task": name} | asdict(config),
        trainee=task,
        evaluate=task.evaluate,
        conclude=conclude,
        commands=(
            ("python evaluate.py {run} --data NEW.csv --predict OUT.csv", "predict; without flags: score again"),
            ("tensorboard --logdir runs", "curves and pictures"),
            (f"python train.py --resume {{run}} --epochs {2 * task.epochs}", "train on"),
        ),
        headline="train/loss",
        eval_every=task.steps_per_epoch * (config.eval_every or max(1, task.epochs // 100)),
        checkpoint_every=task.steps_per_epoch * config.checkpoint_every,
        notes=(settings, *task.data.notes, hardware(device), layers),
        layers=lambda: layers,
    )
    return run_session(session, run, device)


def hardware(device: torch.device) -> str:
    return f"device {device}, {torch.get_num_threads()} thread(s)"
