"""Agents as Python objects: they learn in an environment and act anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from agent_gym.agents import config_class
from agent_gym.commands.line.opening import announce, origins
from agent_gym.composing.presets import preset
from agent_gym.composing.saved import Saved, open_saved
from agent_gym.composing.saved import save as write_saved
from agent_gym.composing.sources import GivenSource, NamedSource, name_of, plain_kwargs, require_open
from agent_gym.ground.errors import UserError, nearest
from agent_gym.ground.settings import check_effects
from agent_gym.predicting import Predictor


class Agent:
    """An agent that learns and acts; `PPO`, `SAC` and their like say which.

    `env` is an id, a class, a function without arguments, a `gymnasium.Env` or a `gymnasium.vector.VectorEnv`.
    Settings have the names of the flags (`learning_rate`, `num_envs`, …), and presets apply as on the command line.
    Whatever is wrong raises UserError with the command's own line.
    """

    name: ClassVar[str]
    """The agent, as on the command line."""

    def __init__(self, env: Any = None, **settings: Any) -> None:
        settings_class = config_class(self.name)
        known = {field.name for field in fields(settings_class)}
        for setting in settings:
            if setting not in known or setting == "env":
                raise UserError(f"{self.name} has no setting {setting!r}{nearest(setting, known)}")
        self._given = None
        kwargs = settings.pop("env_kwargs", {})
        if isinstance(env, str) or env is None:
            text = plain_kwargs(kwargs)
            if env:  # else that of the data or the run which others name, or the agent's own
                settings["env"] = env
            if text is None:  # objects: what is made from them cannot be written down
                import gymnasium

                made = env or settings_class().env
                self._given = lambda **more: gymnasium.make(made, disable_env_checker=True, **kwargs, **more)
            elif kwargs:
                settings["env_kwargs"] = text
            label, defaults = preset(
                self.name, settings_class, {k: v for k, v in settings.items() if isinstance(v, str)}
            )
        else:
            require_open(env)
            self._given = env
            settings["env"] = name_of(env)
            label, defaults = settings_class.preset(self.name, "", lambda: _spaces_of(env), settings)
            settings |= _environments(env, settings)
        for name in ("algo_kwargs", "zoo_kwargs"):
            if isinstance(settings.get(name), dict):
                settings[name] = json.dumps(settings[name])
        if isinstance(settings.get("encoder"), type):
            cls = settings["encoder"]
            settings["encoder"] = f"{cls.__module__}:{cls.__qualname__}"
        tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
        self.config = _checked(settings_class, self.name, defaults | tuples)
        self.run_dir: Path | None = None
        """The run directory, once it has learned."""
        self.result: dict | None = None
        """What result.json holds of the latest `learn`."""
        given = self._named = settings.keys() - {"env"}
        check_effects(self.config, given)
        self._notes = origins(self.config, given, label, defaults)
        self._saved: Saved | None = None
        self._predictor: Predictor | None = None

    # Learning

    def learn(self, total_steps: int | None = None, callbacks: Iterable[Any] = (), run_dir: str | Path = "") -> Agent:
        """Learn for `total_steps` environment steps (those of the settings by default), on from where it stands.

        Writes a run directory as the command does. Returns itself. Raises KeyboardInterrupt once a run that was
        stopped by Ctrl-C is saved, and what a callback raises.
        """
        from agent_gym.composing.agent_run import train_agent
        from agent_gym.composing.resume import reopen
        from agent_gym.training.callbacks import CallbackFailed

        steps = self.config.total_steps if total_steps is None else total_steps
        try:
            if self.run_dir is None:
                config = _checked(type(self.config), self.name, {"total_steps": steps}, self.config)
                config = replace(config, run_dir=str(run_dir or config.run_dir))
                announce(self.name, config)
                start = self._start if self._saved is not None else lambda agent: None
                ending, policy = train_agent(
                    self.name, config, self._source(config), notes=self._notes, callbacks=callbacks, prepare=start
                )
            else:
                if run_dir:
                    raise UserError(f"run_dir {run_dir}: the run goes on in {self.run_dir}")
                changes = {"total_steps": self.steps + steps, "quiet": self.config.quiet}
                resumed = reopen(self.run_dir, changes, given_env=self._given is not None)
                with closing(resumed.run):
                    config, note = resumed.config, f"settings: those of {self.run_dir}"
                    ending, policy = train_agent(
                        self.name, config, self._source(config), resumed.run, notes=[note], callbacks=callbacks
                    )
        except CallbackFailed as error:
            raise error.__cause__ from None
        self.run_dir, self.result = ending.path, ending.result
        if ending.code:
            raise KeyboardInterrupt
        self._hold(open_saved(ending.path, device=policy.device))
        return self

    @property
    def steps(self) -> int:
        """Environment steps learned from so far."""
        if self.result is not None:
            return int(self.result["total_steps"])
        return 0 if self._saved is None else self._saved.steps

    def _start(self, agent: Any) -> None:
        """Begin from weights that were loaded."""
        try:
            agent.policy.load_state_dict(self._saved.policy.state_dict())
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise UserError(f"the loaded weights do not fit {agent.env.id}: {reason[:200]}") from error
        agent.start_from_weights()

    def _source(self, config: Any) -> Any:
        return NamedSource(config) if self._given is None else GivenSource(self._given, config)

    # Acting

    def predict(
        self,
        obs: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:
        """The action for an observation as the environment gives it, or for a batch of them; and the memory.

        The action goes straight into `env.step`. `state` is the memory that came back before (None: none yet), and
        `episode_start` (a bool, or one an observation) forgets it, as in Stable-Baselines3. `action_masks`: the actions
        allowed, as in sb3-contrib; a part `action_mask` of the observation is found by itself.
        """
        return self._acting().predict(obs, state, episode_start, deterministic, action_masks)

    def inspect(self, obs: Any, state: Any = None, episode_start: Any = None) -> dict[str, Any]:
        """What a spectator sees for an observation: "value", and "probs", "q" or "mean" and "std", as NumPy arrays."""
        return self._acting().inspect(obs, state, episode_start)

    def evaluate(self, episodes: int = 100, *, stochastic: bool = False, seed: int | None = None) -> dict[str, Any]:
        """Play episodes; a dict with the fields of `evaluate.py --json`."""
        from agent_gym.composing.scores.playing import score
        from agent_gym.ground.settings import EVAL_SEED

        if episodes < 1:
            raise UserError(f"episodes {episodes}: expected at least 1")
        source = self._source(self._require().config)
        result = score(
            self._saved.policy,
            source,
            episodes,
            seed=EVAL_SEED if seed is None else seed,
            stochastic=stochastic,
            run=self.run_dir,
        )
        return {"env": source.id, "agent": self.name} | result.summary()

    def diagnose(self) -> Any:
        """Why it does not learn: the findings of its run directory, as `agent-gym diagnose` prints them."""
        from agent_gym.composing.looking.diagnosing import diagnosis

        if self.run_dir is None:
            raise UserError(f"{self.name} has no run to diagnose: call learn(steps) first, or load a run directory")
        return diagnosis(self.run_dir, None if self._given is None else self._source(self._require().config))

    def watch(self, episodes: int = 5, **how: Any) -> None:
        """Play in a window; `how`: grid, plain, stochastic, seed, action_names, drawing as for evaluate.py."""
        self._perform({"episodes": episodes, **how}, window=True)

    def record(self, file: str | Path, episodes: int = 1, **how: Any) -> Path:
        """Play for a film, .mp4 or .gif; needs no display. `how` as for `watch`."""
        self._perform({"episodes": episodes, **how}, video=str(file))
        return Path(file)

    def _perform(self, how: dict, **where: Any) -> None:
        from agent_gym.composing.seats.shows import Performance, perform

        known = {field.name for field in fields(Performance)}
        for name in how:
            if name not in known:
                raise UserError(f"no option {name!r}{nearest(name, known)}")
        perform(self.name, self._require().policy, self._source(self._saved.config), Performance(**how), **where)

    def save(self, path: str | Path) -> Path:
        """Write everything that acting needs to one file, which `load` reads. A run directory holds all of a run."""
        saved = self._require()
        write_saved(Path(path), saved, {"agent": self.name} | self._source(saved.config).plain())
        return Path(path)

    def export(self, path: str | Path, *, sampled: bool = False) -> Path:
        """Write the policy to one file for other programs, .onnx or .pt2 (docs/export.md).

        `sampled`: its actions are drawn, from noise that is an input.
        """
        from agent_gym.commands.export import export_policy

        saved = self._require()
        score = {} if self.result is None else self.result
        run = "" if self.run_dir is None else self.run_dir.resolve().name
        export_policy(saved, self._source(saved.config), Path(path), sampled, {"run": run, "score": score})
        return Path(path)

    def _require(self) -> Saved:
        if self._saved is None:
            raise UserError(f"{self.name} has learned nothing yet: call learn(steps) first, or load a run")
        return self._saved

    def _acting(self) -> Predictor:
        if self._predictor is None:
            saved = self._require()
            self._predictor = Predictor(saved.policy, saved.spaces, saved.config.seed)
        return self._predictor

    def _hold(self, saved: Saved) -> None:
        self._saved, self._predictor = saved, None

    def get_env(self) -> Any:
        """The environment as Stable-Baselines3's programs step it: a VecEnv."""
        from agent_gym.agents.sb3.agent import Bridge
        from agent_gym.envs.failures import ErrorLog

        source = self._source(self.config)
        return Bridge(source.training(torch.device("cpu"), ErrorLog(restart=False)), self.config.seed)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.config.env}, {self.steps:,} steps>"


def _checked(settings_class: type, name: str, settings: dict, base: Any = None) -> Any:
    """Settings of a program, every value checked as those of a checkpoint are. Raises UserError."""
    from agent_gym.ground.plain import fitted_fields

    try:
        values = fitted_fields(settings_class, settings)
    except TypeError as error:
        raise UserError(f"{name}: setting {error}") from None
    return settings_class(**values) if base is None else replace(base, **values)


def _spaces_of(env: Any) -> Any:
    import gymnasium

    if isinstance(env, gymnasium.vector.VectorEnv):
        return env.single_observation_space, env.single_action_space
    made = env if isinstance(env, gymnasium.Env) else env()
    spaces = []
    for name in ("observation_space", "action_space"):
        space = getattr(made, name, None)
        if not isinstance(space, gymnasium.Space):
            raise UserError(f"{name_of(env)} has no {name}: expected a gymnasium.Env with its spaces")
        spaces.append(space)
    if made is not env:
        made.close()
    return tuple(spaces)


def _environments(env: Any, settings: dict) -> dict:
    """How many environments an object is. Raises UserError for another number."""
    import gymnasium

    if isinstance(env, gymnasium.vector.VectorEnv):
        count = env.num_envs
    elif isinstance(env, gymnasium.Env):
        count = 1
    else:
        return {}
    if settings.get("num_envs", count) != count:
        raise UserError(f"num_envs {settings['num_envs']}: the environment that was handed over is {count}")
    return {"num_envs": count}
