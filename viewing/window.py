"""A show in a window: pacing, keys, and the controls that a browser shares."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent_gym.ground.errors import UserError
from agent_gym.viewing.player import Show

SLOWEST, FASTEST = 1 / 16, 64.0
MAX_DRAWN = 60  # pictures a second
LAST_PICTURE = 0.7  # seconds for which the end of an episode stays
KEYS = "space pause, arrows speed\nN next episode, Q quit"


@dataclass
class Controls:
    """What spectators ask for. Written by them at any time, read by `present`."""

    paused: bool = False
    speed: float = 1.0
    next: bool = False
    quit: bool = False

    def apply(self, command: str) -> None:
        """pause, faster, slower, next or quit. Raises KeyError for anything else."""
        match command:
            case "pause":
                self.paused = not self.paused
            case "faster":
                self.speed = min(self.speed * 2, FASTEST)
            case "slower":
                self.speed = max(self.speed / 2, SLOWEST)
            case "next":
                self.next = True
            case "quit":
                self.quit = True
            case _:
                raise KeyError(command)

    @property
    def text(self) -> str:
        speed = f"{self.speed:g}" if self.speed >= 1 else f"1/{1 / self.speed:g}"
        return f"speed {speed}x" + (", paused" if self.paused else "")


def present(
    show: Show,
    controls: Controls,
    fps: float,
    put: Callable[[np.ndarray], None],
    wait: Callable[[float], None],
    keys: str = "",
) -> None:
    """Play at `fps` times the speed asked for until the show ends or someone quits.

    `put` displays a picture; `wait(seconds)` lets time pass and may change the controls; `keys` explains them.
    """
    due, text = time.monotonic(), controls.text

    def pass_time(seconds: float) -> None:
        nonlocal text
        wait(seconds)
        if controls.text != text:
            text = controls.text
            show.stage.status = f"{text}\n{keys}".rstrip()
            put(show.stage.redraw())

    show.stage.status = f"{text}\n{keys}".rstrip()
    for picture in show.pictures():
        show.draw_every = max(1, math.ceil(fps * controls.speed / MAX_DRAWN))
        if picture is not None:
            put(picture)
        pass_time(0.0)
        due = max(due + 1.0 / (fps * controls.speed), time.monotonic() - 0.1)
        if show.round_over:
            due += LAST_PICTURE
        while not (controls.quit or controls.next):
            left = due - time.monotonic()
            if controls.paused:
                due = time.monotonic()
                left = 0.05
            elif left <= 0:
                break
            pass_time(min(left, 0.05))
        if controls.quit:
            return
        if controls.next:
            show.skip, controls.next = True, False


class Window:
    """A pygame window of the size of the pictures; closing it quits."""

    def __init__(self, title: str, controls: Controls) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame  # nothing else needs it

        self.pygame, self.title, self.controls, self.screen = pygame, title, controls, None
        self.keys = {
            pygame.K_SPACE: "pause",
            pygame.K_RIGHT: "faster",
            pygame.K_UP: "faster",
            pygame.K_LEFT: "slower",
            pygame.K_DOWN: "slower",
            pygame.K_n: "next",
            pygame.K_q: "quit",
            pygame.K_ESCAPE: "quit",
        }
        try:
            pygame.display.init()
            driver = pygame.display.get_driver()
            if driver in ("dummy", "offscreen") and "SDL_VIDEODRIVER" not in os.environ:
                raise pygame.error(f"the display {os.environ.get('DISPLAY', '')} does not answer")
        except pygame.error as error:
            raise UserError(f"--watch cannot open a window ({error}): use --video out.mp4 or --web 8000") from error

    def put(self, picture: np.ndarray) -> None:
        height, width = picture.shape[:2]
        if self.screen is None:
            self.screen = self.pygame.display.set_mode((width, height))
            self.pygame.display.set_caption(self.title)
        surface = self.pygame.image.frombuffer(np.ascontiguousarray(picture), (width, height), "RGB")
        self.screen.blit(surface, (0, 0))
        self.pygame.display.flip()

    def wait(self, seconds: float) -> None:
        """Take in keys, then sleep."""
        for event in self.pygame.event.get():
            if event.type == self.pygame.QUIT:
                self.controls.apply("quit")
            elif event.type == self.pygame.KEYDOWN and event.key in self.keys:
                self.controls.apply(self.keys[event.key])
        time.sleep(seconds)

    def close(self) -> None:
        self.pygame.display.quit()


def watch(show: Show, title: str, fps: float) -> None:
    """The show in a window, until it ends or Q. Raises UserError without a display."""
    controls = Controls()
    window = Window(title, controls)
    try:
        present(show, controls, fps, window.put, window.wait, KEYS)
    finally:
        window.close()


def require_display() -> None:
    """Raise a UserError where no window can open."""
    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    ):
        raise UserError(
            "--watch needs a display and there is none: use --video out.mp4 to record, or --web 8000 for a browser"
        )
