"""Score, watch or record an exported policy: agent-gym evaluate policy.onnx --env ID. Without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import numpy as np
import tyro

from agent_gym.commands.line.invocation import command
from agent_gym.commands.line.messages import reported
from agent_gym.export.exported import ExportedPolicy
from agent_gym.export.spaces import describe
from agent_gym.ground.errors import UserError, one_line
from agent_gym.ground.settings import EVAL_SEED
from agent_gym.ground.spaces import KEY, METHOD, Unfold, choices_of, flat_mask, is_nested
from agent_gym.training.score import Score, shown
from agent_gym.viewing.film import film, prepare_headless
from agent_gym.viewing.names import action_names
from agent_gym.viewing.overlay import Stage, View
from agent_gym.viewing.player import Episode, Show, Tap, frame_rate, make_tap


@dataclass(frozen=True)
class ExportedConfig:
    """Score, watch or record an exported policy."""

    file: tyro.conf.Positional[Path]
    """What agent-gym export wrote."""
    env: str = ""
    """Environment; empty: the one that it was trained in."""
    env_kwargs: str = ""
    """Its arguments, as JSON; empty: those of the training."""
    episodes: int = 0
    """Episodes to play; 0: 100 to score, 1 to record, 5 to watch, no end in a browser."""
    json: bool = False
    """Print the score as one JSON object and nothing else."""
    watch: bool = False
    """Open a window."""
    video: Annotated[str, tyro.conf.arg(metavar="FILE.mp4|FILE.gif")] = ""
    """Record to this file; needs no display."""
    web: Annotated[int, tyro.conf.arg(metavar="PORT")] = 0
    """Show in a browser on this machine, at http://127.0.0.1:PORT/."""
    deterministic: bool = False
    """Take the most likely action although the file was exported with --sampled."""
    seed: int = EVAL_SEED
    """Seed of the episodes."""


@reported
def main(argv: list[str]) -> int:
    return evaluate_file(tyro.cli(ExportedConfig, args=argv, prog=command("evaluate")))


def evaluate_file(args: ExportedConfig) -> int:
    if args.episodes < 0 or args.seed < 0:
        raise UserError(f"--episodes {args.episodes} --seed {args.seed}: expected 0 or more")
    policy = ExportedPolicy(args.file, args.seed)
    about = policy.about
    env_id = args.env or about.get("env", "")
    own = about.get("env_kwargs", {}) if env_id == about.get("env") else {}
    make = partial(make_single, env_id, parse_kwargs(args.env_kwargs) if args.env_kwargs else own)
    if args.watch or args.video or args.web:
        return perform(args, policy, env_id, make)
    env = make()
    require_spaces(policy, env, env_id)
    score = play(policy, env, args.episodes or 100, args.seed, args.deterministic)
    env.close()
    if args.json:
        print(json.dumps({"env": env_id, "agent": about.get("agent", "")} | score.summary()))
    else:
        print(f"{args.file} on {env_id}: {score.text()}")
    return 0


def make_single(env_id: str, env_kwargs: dict, render_mode: str | None = None) -> gymnasium.Env:
    """Gymnasium's own environment. Raises UserError. Atari games and native environments bring torch with them."""
    if not env_id:
        raise UserError("the file does not say where it acts: add --env with a Gymnasium id")
    if env_id.rpartition(":")[2].startswith(("AgentGym/", "ALE/")):
        from agent_gym.envs.make import make_single

        return make_single(env_id, env_kwargs, render_mode)
    try:
        return gymnasium.make(env_id, render_mode=render_mode, disable_env_checker=True, **env_kwargs)
    except Exception as error:  # of an environment that anybody may have written
        raise UserError(f"--env {env_id} cannot be made ({one_line(error, 300)})") from error


def parse_kwargs(text: str) -> dict:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UserError(f"--env-kwargs {text[:80]!r} is not a JSON object: write it like '{{\"continuous\": true}}'")
    return value


def require_spaces(policy: ExportedPolicy, env: gymnasium.Env, env_id: str) -> None:
    """Raise UserError unless the environment has the spaces that the file was made for; bounds may differ."""
    for name, space in (("obs_space", env.observation_space), ("action_space", env.action_space)):
        if isinstance(space, gymnasium.spaces.Dict) and policy.mask:  # a mask is an input of its own
            space = gymnasium.spaces.Dict({key: part for key, part in space.spaces.items() if key != KEY})
        here, there = (_form(part) for part in (describe(space), policy.about.get(name)))
        if here != there:
            raise UserError(
                f"{policy.file.path} was exported for another {name.replace('_', ' ')} than that of {env_id}: "
                f"expected {json.dumps(there)[:200]}, got {json.dumps(here)[:200]}"
            )


def _form(space: Any) -> Any:
    """A described space without its bounds."""
    if isinstance(space, dict):
        return {key: _form(part) for key, part in space.items() if key not in ("low", "high")}
    return [_form(part) for part in space] if isinstance(space, list) else space


def play(policy: ExportedPolicy, env: gymnasium.Env, episodes: int, seed: int, deterministic: bool = False) -> Score:
    """Whole episodes one after the other, the first from `seed`."""
    returns, lengths = np.zeros(episodes), np.zeros(episodes, dtype=np.int64)
    for episode in range(episodes):
        obs, info = env.reset(seed=seed + episode)
        state, started, over = None, True, False
        while not over:
            action, state = policy.predict(obs, state, started, deterministic, mask_of(policy, env, obs, info))
            obs, reward, terminated, truncated, info = env.step(for_env(action, env.action_space))
            returns[episode] += reward
            lengths[episode] += 1
            started, over = False, terminated or truncated
    return Score(returns, lengths)


def mask_of(policy: ExportedPolicy, env: gymnasium.Env, obs: Any, info: dict) -> np.ndarray | None:
    """The actions that the environment allows now, where the policy knows masks. Raises UserError for no mask."""
    if not policy.mask:
        return None
    if env.has_wrapper_attr(METHOD):
        told = env.get_wrapper_attr(METHOD)()
    else:
        told = obs[KEY] if isinstance(obs, dict) and KEY in obs else info.get(KEY)
    try:
        return None if told is None else flat_mask(told, env.action_space, choices_of(env.action_space))
    except ValueError as error:
        raise UserError(f"{policy.file.path}: {error}") from None


def for_env(action: np.ndarray, space: gymnasium.Space) -> Any:
    """An action as the space holds it."""
    if is_nested(space):
        return Unfold(space)(action)
    return int(action) if isinstance(space, gymnasium.spaces.Discrete) else action.astype(space.dtype)


class ExportedShow(Show):
    """An exported policy before spectators, one environment."""

    def __init__(self, policy: ExportedPolicy, tap: Tap, stage: Stage, **options: Any) -> None:
        super().__init__(policy, None, [tap], stage, **options)

    def _round(self, number: int) -> Iterator[np.ndarray | None]:
        (tap,) = self.taps
        tap.ended, tap.wanted = False, True
        obs, info = tap.reset(seed=self.seed + number)
        view, state, step, self.round_over = View(tap.picture, number=number + 1), None, 0, False
        while not self.skip:
            mask = mask_of(self.policy, tap, obs, info)
            action, state = self.policy.predict(obs, state, step == 0, not self.explore, mask)
            view.action = action
            yield self.stage.draw([view]) if tap.wanted else None
            step += 1
            tap.wanted = step % self.draw_every == 0
            obs, reward, terminated, truncated, info = tap.step(for_env(action, tap.action_space))
            view.picture, view.ended = tap.picture, bool(terminated or truncated)
            view.episode_return, view.length = view.episode_return + float(reward), view.length + 1
            if view.ended:
                self.finished.append(Episode(view.number, view.episode_return, view.length))
                self.round_over = True
                yield self.stage.draw([view])
                return


def perform(args: ExportedConfig, policy: ExportedPolicy, env_id: str, make: partial) -> int:
    """Play in a window, for a film or in a browser."""
    if sum(map(bool, (args.watch, args.video, args.web))) > 1:
        raise UserError("--watch, --video and --web: give one of them")
    if args.watch:
        from agent_gym.viewing.window import require_display

        require_display()
    prepare_headless()
    tap = make_tap(make)
    require_spaces(policy, tap, env_id)
    stage = Stage(env_id, tap.action_space, action_names(tap, tap.action_space))
    sampled = policy.noise is not None and not args.deterministic
    show = ExportedShow(policy, tap, stage, seed=args.seed, episodes=args.episodes, explore=sampled)
    title, fps = f"{args.file.name} on {env_id}", frame_rate(tap)
    if args.video:
        show.episodes = args.episodes or 1
        film(show, Path(args.video), fps)
    elif args.web:
        from agent_gym.viewing.browser import serve

        serve(show, title, fps, args.web)
    else:
        from agent_gym.viewing.window import watch

        show.episodes = args.episodes or 5
        watch(show, title, fps)
    tap.close()
    for number, episode_return, length in show.finished:
        print(f"episode {number}: return {shown(episode_return)}, {length} steps")
    if args.video:
        print(f"recorded {args.video}")
    return 0
