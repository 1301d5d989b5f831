"""An agent's run put together: environments, agent, scores and films around the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from agent_gym.agents import agent_class, others_for
from agent_gym.agents.off_policy.acting import Acting
from agent_gym.agents.on_policy import OnPolicy
from agent_gym.attention import attention_pictures
from agent_gym.commands.line.invocation import after_agent, resume
from agent_gym.composing.cost import cost
from agent_gym.composing.presets import usual_settings
from agent_gym.composing.restore import starting_weights
from agent_gym.composing.scores.scoring import Scorer
from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.environment.actions import describe_actions
from agent_gym.diagnosis.watch import Watcher
from agent_gym.envs.adapters.boundary.space_data import space_data
from agent_gym.envs.failures import ErrorLog
from agent_gym.envs.vector import EnvFailure, VectorEnv, slow_step
from agent_gym.ground.budget import parameter_budget
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import EVAL_SEED
from agent_gym.nets.encoders.make import has_image, largest_image
from agent_gym.nets.ranks import RANKS
from agent_gym.nets.summary import summary
from agent_gym.offline.start import equip
from agent_gym.storage.charts import AGENT_CHARTS
from agent_gym.storage.run import Run
from agent_gym.training.callbacks import Callbacks
from agent_gym.training.device import Choice, choose_device
from agent_gym.training.evaluation import Watch
from agent_gym.training.loop import Moment
from agent_gym.training.running import run_session
from agent_gym.training.session import Conclusion, Ending, Session
from agent_gym.training.stopwatch import Stopwatch

if TYPE_CHECKING:
    from agent_gym.offline.recording import Recording
    from agent_gym.viewing.clip import Clip


class AgentRun:
    """An agent in its environments, ready to train. `source` is one of agent_gym.composing.sources."""

    def __init__(self, name: str, config: Any, source: Any, run: Run | None = None) -> None:
        """`run`: the one to go on with. Raises UserError."""
        self.name, self.config, self.source, self.run = name, config, source, run
        torch.set_num_threads(1)  # until worker processes are forked
        torch.manual_seed(config.seed)
        self.failures = ErrorLog(config.on_env_error == "restart")
        self.env, (self.device, self.why) = self.placed()
        self.stopwatch = Stopwatch()
        self.env.step = self.stopwatch.timed("environment", self.env.step)
        torch.set_num_threads(config.threads(largest_image(self.env.obs_space)))
        budget = nullcontext() if run is None else parameter_budget(run.state["agent"])
        with starting_weights(config.encoder_from), budget:
            self.agent = agent_class(name)(config, self.env, self.device)
        equip(self.agent, config, fresh=run is None)
        self.recording = self.recorded() if config.record else None
        if RANKS.size > 1:
            refuse_ranks(self.agent, self.recording)
        self.scorer = Scorer(name, config, source, self.agent, self.failures)
        if config.log_layers:
            self.agent.watch_layers()
        if config.video_every:
            from agent_gym.composing.seats.shows import require_pictures

            require_pictures(source)  # learn now, not in the middle

    def recorded(self) -> Recording:
        """Keeps what the training sees."""
        from agent_gym.offline.recording import Recording

        path, state = (None, {}) if self.run is None else (self.run.path, self.run.state)
        return Recording(self.config.record, self.agent, self.env, path, state)

    def placed(self) -> tuple[VectorEnv, Choice]:
        """The environments, on the device that is asked for or costs less. Raises UserError."""
        config, source = self.config, self.source
        former = "" if self.run is None else str(self.run.state.get("made_with", {}).get("device", ""))
        env = source.training(torch.device("cpu"), self.failures)
        # Others stay where they are stepped, for agents that take it from there.
        moves = env.backend == "native" or not agent_class(self.name).reaches
        refuse_actions(self.name, env)

        def measured(device: torch.device) -> float:
            if moves and not env.move(device):
                return math.inf
            return cost(self.name, config, env, device)

        unit = "step with its share of learning"
        choice = choose_device(config.device, measured if config.learning() else None, former=former, unit=unit)
        if moves and env.device.type != choice.device.type and not env.move(choice.device):
            raise UserError(
                f"the environments of {env.id} ({env.backend}) stay on the {env.device.type}, where {self.name} cannot "
                f"reach them from the {choice.device.type}: --device {env.device.type}"
            )
        return env, choice

    def train(self, notes: Iterable[str] = (), callbacks: Iterable[Any] = ()) -> Ending:
        """Train to the end or until stopped. Raises UserError."""
        config, agent = self.config, self.agent
        stored = 0 if self.run is None else self.run.state["agent"].get("steps", 0)
        begun = stored if isinstance(stored, int) else 0  # what is none is refused where the agent takes it
        ending = run_session(self.session(notes, callbacks), self.run, self.device)
        if self.recording is not None and ending.code == 0:
            self.recording.write(self.source)
        if config.profile != "no" and ending.code == 0:
            from agent_gym.composing.looking.profiling import measure_agent, profile_of, tell

            count = sum(parameter.numel() for parameter in agent.policy.parameters())
            steps = agent.steps - begun
            profile = profile_of(config, self.stopwatch, steps, count, self.env.backend)
            tell(profile, config, partial(measure_agent, profile, self.name, config, self.source))
        return ending

    def session(self, notes: Iterable[str] = (), callbacks: Iterable[Any] = ()) -> Session:
        """What the training loop needs to know."""
        config, agent, env = self.config, self.agent, self.env
        obs_space, action_space = env.raw_spaces
        return Session(
            name=self.name,
            subject=self.source.id,
            group=self.source.id,
            charts=AGENT_CHARTS,
            config={"agent": self.name} | self.source.plain(),
            trainee=agent,
            evaluate=self.scorer.evaluate,
            conclude=self.conclude,
            film=self.film,
            video_every=config.video_every,
            commands=lambda run: after_agent(run, agent.steps, config.scheduled),
            resume=resume,
            headline=agent.headline,
            stand_in="rollout/reward_per_step",
            scored=True,
            eval_every=config.evaluation_interval(),
            checkpoint_every=config.checkpoint_every,
            notes=(*notes, f"auto: {self.choices()}", saving(env)),
            busy=lambda seconds: slow_step((env, *self.scorer.envs.values()), seconds),
            log_failures=self.open_at,
            position=dict if self.recording is None else self.recording.state,
            layers=self.layers,
            callbacks=Callbacks((Watcher(self.case()), *callbacks)),
            stopwatch=self.stopwatch,
            extra={"spaces": {"obs": space_data(obs_space), "action": space_data(action_space)}},
            recoverable=(EnvFailure,),
        )

    def open_at(self, log: Path) -> None:
        """Told where failures are written down, in the run directory."""
        self.failures.open(log)
        if self.recording is not None:
            self.recording.lies_in(log.parent)

    def case(self) -> Case:
        """What is known of the run before it begins, for whoever watches it."""
        usual = usual_settings(self.name, self.config, self.env.raw_spaces)
        env = {"actions": describe_actions(self.env.raw_spaces[1])}
        return Case("agent", self.name, asdict(self.config), usual, env=env, live=True)

    def conclude(self, moment: Moment) -> Conclusion:
        """The final score, and where a transformer looks in an episode of the final environments."""
        conclusion = self.scorer.conclude(moment)
        for env in self.scorer.envs.values():
            return conclusion._replace(images=attention_pictures(self.agent.policy, env, EVAL_SEED))
        return conclusion

    def choices(self) -> str:
        """What was left open and became of it."""
        config, env = self.config, self.env
        found = [f"backend {env.backend} ({env.choice})"] if config.backend == "auto" else []
        if config.encoder == "auto":
            found.append(f"encoder {'cnn' if has_image(env.obs_space) else 'mlp'}")
        if config.device == "auto":
            found.append(f"device {self.device}{f' ({self.why})' if self.why else ''}")
        if not config.num_threads:
            found.append(threads())
        count = sum(parameter.numel() for parameter in self.agent.policy.parameters())
        return f"{', '.join(found)}; {count:,} parameters"

    def layers(self) -> str:
        """The networks layer by layer."""
        return summary(self.agent.policy.networks(), self.env.obs_space)

    def film(self, path: Path, watch: Watch) -> Clip | None:
        """Record an episode; None where its environment failed and that is let be. Raises Interrupted."""
        from agent_gym.composing.seats.shows import film_episode  # with what draws and writes films

        agent, how = self.agent, {"seed": self.config.seed, "report": self.failures, "interrupted": watch.interrupted}
        try:
            return film_episode(agent.policy, self.source, path, steps=agent.steps, **how)
        except EnvFailure:
            if self.config.on_env_error == "stop":
                raise
            return None

    def close(self) -> None:
        """Give back the environments, but for those that a program has handed over."""
        for env in (
            *self.scorer.envs.values(),
            *(() if self.source.lent else (self.env,)),
        ):
            env.close()


def refuse_ranks(agent: Any, recording: Any) -> None:
    """Raise UserError where several ranks cannot train one agent."""
    config, words = agent.config, ""
    if not isinstance(agent, OnPolicy | Acting) or any(getattr(config, n, "") for n in ("data", "teacher")):
        name = type(agent).__name__.lower()
        words = f"{name} trains on one rank; agents of this library that learn from what they do on several"
    elif agent.env.members > 1 or getattr(config, "self_play", False):
        words = "many agents and self-play are trained on one rank"
    elif (config.on_env_error, config.profile, recording) != ("stop", "no", None) or config.eval_env == "shared":
        words = "--on-env-error restart, --record, --profile and --eval-env shared are for one rank"
    if words:
        raise UserError(f"{words}: start it without torchrun")


def refuse_actions(name: str, env: VectorEnv) -> None:
    """Name the agents that can, where `name` cannot take an environment's actions. Raises UserError."""
    kinds = agent_class(name).action_spaces
    if not isinstance(env.action_space, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(
            f"{name} cannot act in {env.action_space} of {env.id}: expected {expected}; "
            f"{', '.join(others_for(env.action_space, name))} can"
        )


def threads() -> str:
    count = torch.get_num_threads()
    return f"{count} thread{'s' if count > 1 else ''}"


def saving(env: VectorEnv) -> str:
    """What becomes of running episodes when a run goes on, in words."""
    return f"checkpoints: when a run goes on, its running episodes are {env.saving or 'begun anew'}"


def train_agent(
    name: str,
    config: Any,
    source: Any,
    run: Run | None = None,
    notes: Iterable[str] = (),
    callbacks: Iterable[Any] = (),
    prepare: Callable[[Any], None] = lambda agent: None,
) -> tuple[Ending, Any]:
    """Build everything and train; the ending and the policy with its best weights. `prepare` may set first weights."""
    made = AgentRun(name, config, source, run)
    try:
        prepare(made.agent)
        return made.train(notes, callbacks), made.agent.policy
    finally:
        made.close()
