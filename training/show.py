"""Playing for spectators: rounds of one episode in each environment, a picture a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch

from training.errors import UserError
from training.overlay import Stage, View

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
        self.picture = picture


def name_of(env: gymnasium.Env) -> str:
    return env.spec.id if env.spec else type(env.unwrapped).__name__


def draw(env: gymnasium.Env) -> Any:
    """The environment's picture. Raises UserError where the machine cannot draw it."""
    try:
        return env.render()
    except Exception as error:  # graphics libraries raise of every kind
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        hint = f"; {GL_HINT}" if "mujoco" in type(env.unwrapped).__module__ else ""
        raise UserError(f"{name_of(env)} cannot draw a picture on this machine ({reason}){hint}") from error


class Show:
    """An agent playing in `env`, whose single environments are `taps`.

    A round is an episode in each environment; one that has ended waits for the others. Nothing is drawn for steps
    between those that `draw_every` asks for.
    """

    def __init__(
        self,
        agent: Any,
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
        self.agent, self.env, self.taps, self.stage = agent, env, taps, stage
        self.seed, self.episodes, self.explore, self.before_round = seed, episodes, explore, before_round
        self.finished: list[tuple[float, int]] = []  # return and length
        self.draw_every = 1
        self.skip = False
        """Set to go on to the next round; the episodes left are not counted."""

    @torch.inference_mode()
    def pictures(self) -> Iterator[np.ndarray | None]:
        """The canvas for each observation; None where none was to be drawn. The last of a round is always drawn."""
        rounds = 0
        while not self.episodes or len(self.finished) < self.episodes:
            self.before_round()
            self.skip = False
            yield from self._round(self.seed + rounds)
            rounds += 1

    def _round(self, seed: int) -> Iterator[np.ndarray | None]:
        agent, env, taps = self.agent, self.env, self.taps
        for tap in taps:
            tap.ended, tap.wanted = False, True
        obs, state = env.reset(seed), agent.initial_state(env.num_envs)
        reset = torch.ones(env.num_envs, dtype=torch.bool, device=agent.device)
        first = len(self.finished) + 1
        views = [View(tap.picture, number=first + i) for i, tap in enumerate(taps)]
        step = 0
        while not self.skip:
            policy = {key: part.cpu().numpy() for key, part in agent.inspect(obs, state, reset).items()}
            action, state, _ = agent.act(obs, state, reset, self.explore)
            actions = action.cpu().numpy()
            for i, view in enumerate(views):
                if not view.ended:
                    view.action, view.policy = actions[i], {key: part[i] for key, part in policy.items()}
                    if "value" in policy:
                        view.values.append(float(policy["value"][i]))
            yield self.stage.draw(views) if taps[0].wanted else None
            step += 1
            for tap in taps:
                tap.wanted = step % self.draw_every == 0
            result = env.step(action)
            obs, reset = result.obs, result.terminated | result.truncated
            reward = result.reward.tolist()
            for view, tap, gain in zip(views, taps, reward, strict=True):
                if not view.ended:
                    view.picture, view.ended = tap.picture, tap.ended
                    view.episode_return, view.length = view.episode_return + gain, view.length + 1
                    if view.ended:
                        self.finished.append((view.episode_return, view.length))
            if all(view.ended for view in views):
                yield self.stage.draw(views)
                return
