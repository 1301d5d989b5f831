"""Playing for spectators: rounds of one episode in each environment, a picture a step."""

from __future__ import annotations

import re
import traceback
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from agent_gym.ground.errors import UserError
from agent_gym.viewing.graphics import draw_plainly, draws_on_gpu
from agent_gym.viewing.overlay import Stage, View

MAX_CELLS = 100
GL_HINT = (
    "MuJoCo draws through OpenGL: without a display install libegl1 (apt install libegl1), or libosmesa6 and set "
    "MUJOCO_GL=osmesa"
)


class Tap(gymnasium.Wrapper):
    """Keeps the latest picture, and the last one of an episode through the reset that follows it."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.picture: np.ndarray | None = None
        self.ended = False
        self.wanted = True
        """Whether the next step is to be drawn; a last step always is."""

    def reset(self, **kwargs: Any):
        result = super().reset(**kwargs)
        if not self.ended:
            self._draw()
        return result

    def step(self, action: Any):
        result = super().step(action)
        if not self.ended:
            self.ended = bool(result[2] or result[3])
            if self.wanted or self.ended:
                self._draw()
        return result

    def _draw(self) -> None:
        picture = draw(self.env)
        if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] != 3:
            shape = getattr(picture, "shape", type(picture).__name__)
            raise UserError(f"{name_of(self.env)} renders {shape}, expected a picture [height, width, 3]")
        if picture.dtype.kind in "iu" and picture.dtype != np.uint8 and picture.min() >= 0 and picture.max() <= 255:
            picture = picture.astype(np.uint8)
        if picture.dtype != np.uint8:
            raise UserError(f"{name_of(self.env)} renders numbers of {picture.dtype}, expected uint8 from 0 to 255")
        self.picture = picture


def name_of(env: gymnasium.Env) -> str:
    return env.spec.id if env.spec else type(env.unwrapped).__name__


def draw(env: gymnasium.Env) -> Any:
    """The environment's picture. Raises UserError where the machine cannot draw it."""
    try:
        return env.render()
    except Exception as error:  # graphics libraries raise of every kind
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{name_of(env)} cannot draw a picture on this machine ({reason}){gl_hint(error)}") from error


def gl_hint(error: BaseException | None) -> str:
    """What to install where the error, or what led to it, comes out of MuJoCo's drawing; else nothing."""
    while error is not None:
        files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        if any("OpenGL" in file or "mujoco" in file.lower() for file in files):
            return f"; {GL_HINT}"
        error = error.__cause__
    return ""


class Episode(NamedTuple):
    """One that was played to its end."""

    number: int
    """From 1; in a grid the first round counts the cells by their places."""
    episode_return: float
    length: int


class Show:
    """A policy playing in `env`, whose single environments are `taps`.

    A round is an episode in each environment; one that has ended waits for the others. Nothing is drawn for steps
    between those that `draw_every` asks for.
    """

    def __init__(
        self,
        policy: Any,
        env: Any,
        taps: Sequence[Tap],
        stage: Stage,
        *,
        seed: int,
        episodes: int = 0,
        explore: bool = False,
        before_round: Callable[[], None] = lambda: None,
    ) -> None:
        """episodes: to play, a multiple of the environments; 0: no end. `before_round` may load other weights."""
        self.policy, self.env, self.taps, self.stage = policy, env, taps, stage
        self.seed, self.episodes, self.explore, self.before_round = seed, episodes, explore, before_round
        self.finished: list[Episode] = []  # in each round in the order of the environments
        self.draw_every = 1
        self.skip = False
        """Set to go on to the next round; the episodes left are not counted."""
        self.round_over = False

    def pictures(self) -> Iterator[np.ndarray | None]:
        """The canvas for each observation; None where none was to be drawn. The last of a round is always drawn."""
        rounds = 0
        while not self.episodes or len(self.finished) < self.episodes:
            self.before_round()
            self.skip = False
            yield from self._round(rounds)
            rounds += 1

    def _round(self, number: int) -> Iterator[np.ndarray | None]:
        import torch  # the show of an exported policy goes without

        policy, env, taps = self.policy, self.env, self.taps
        for tap in taps:
            tap.ended, tap.wanted = False, True
        obs, state = env.reset(self.seed + number), policy.initial_state(env.num_envs)
        members = env.num_envs // len(taps)  # agents in each, rows side by side
        reset = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        generator = torch.Generator(env.device).manual_seed(self.seed + number)
        first = number * len(taps) + 1
        views = [View(tap.picture, number=first + i) for i, tap in enumerate(taps)]
        step, self.round_over = 0, False
        while not self.skip:
            allowed = {} if env.mask is None else {"allowed": env.mask}
            inspected = policy.inspect(obs, state, reset, env.mask) | allowed
            seen = {key: part.cpu().numpy() for key, part in inspected.items()}
            acts, shown = env.acts, env.shown()
            action, after, _ = policy.act(obs, state, reset, env.mask, explore=self.explore, generator=generator)
            state = after if acts is None else torch.where(acts.unsqueeze(1), after, state)
            actions = action.cpu().numpy()
            for i, view in zip(shown, views, strict=True):
                if not view.ended:
                    view.action, view.policy = actions[i], {key: part[i] for key, part in seen.items()}
                    if "value" in seen:
                        view.values.append(float(seen["value"][i]))
            yield self.stage.draw(views) if taps[0].wanted else None
            step += 1
            for tap in taps:
                tap.wanted = step % self.draw_every == 0
            result = env.step(action)
            ended = result.terminated | result.truncated
            obs, reset = result.obs, ended if acts is None else ended | (reset & ~acts)
            reward = result.reward.view(-1, members).sum(1).tolist()
            for view, tap, gain in zip(views, taps, reward, strict=True):
                if not view.ended:
                    view.picture, view.ended = tap.picture, tap.ended
                    view.episode_return, view.length = view.episode_return + gain, view.length + 1
                    if view.ended:
                        insort(self.finished, Episode(view.number, view.episode_return, view.length))
            if all(view.ended for view in views):
                self.round_over = True
                yield self.stage.draw(views)
                return


class Follower:
    """Loads a run's checkpoint into a policy anew whenever its file has changed, and tells the stage which it is."""

    def __init__(self, run: Path, name: str, policy: Any, stage: Stage) -> None:
        self.run, self.name, self.policy, self.stage = run, name, policy, stage
        self.file = run / "checkpoints" / f"{name}.pt"
        self.changed = 0.0

    def __call__(self) -> None:
        """Called between episodes. A checkpoint that cannot be read leaves the policy as it is."""
        try:
            changed = self.file.stat().st_mtime
            if changed == self.changed:
                return
            from agent_gym.storage.checkpoint import open_checkpoint

            state = open_checkpoint(self.run, self.name)["agent"]
            self.policy.load_state_dict(state["model"])
            steps = state.get("steps")
        except FileNotFoundError:  # not yet: the first evaluation is still to come
            self.stage.subtitle = f"there is no {self.name}.pt yet; playing on as before"
            return
        except Exception:  # whatever a damaged or foreign file leads to
            self.stage.subtitle = f"{self.name}.pt cannot be read; playing on as before"
            return
        self.changed = changed
        self.stage.subtitle = f"{self.name}.pt" + (f", step {steps:,}" if isinstance(steps, int) else "")


def parse_grid(text: str) -> tuple[int, int]:
    """Rows and columns from "4x4". Raises UserError."""
    match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text)
    if not match or int(match[1]) * int(match[2]) > MAX_CELLS:
        raise UserError(f"--grid {text!r}: expected rows and columns such as 4x4, {MAX_CELLS} environments at most")
    return int(match[1]), int(match[2])


def make_tap(make: Callable[..., gymnasium.Env], drawing: str = "auto") -> Tap:
    """`make(render_mode="rgb_array")` behind a tap, its first picture drawn. Raises UserError where that cannot be.

    `drawing`: "full", "plain" (see viewing.graphics), or "auto", which is plain where no graphics card is.
    """
    try:
        env = make()
        env.close()
        pictured = make(render_mode="rgb_array") if "rgb_array" in env.metadata.get("render_modes", []) else None
    except (ValueError, UserError) as error:
        if not gl_hint(error):
            raise
        raise UserError(f"{error}{gl_hint(error)}") from error
    offered = env.metadata.get("render_modes", [])
    if pictured is None:
        modes = ", ".join(map(str, offered)) or "nothing"
        raise UserError(f"{name_of(env)} renders {modes}, and pictures need its mode 'rgb_array'")
    if drawing == "plain" or (drawing == "auto" and not draws_on_gpu()):
        draw_plainly(pictured)
    tap = Tap(pictured)
    tap.reset(seed=0)
    return tap


def frame_rate(env: gymnasium.Env) -> float:
    """Pictures a second that the environment asks for, 30 if it does not say."""
    return float(env.metadata.get("render_fps") or 30)
