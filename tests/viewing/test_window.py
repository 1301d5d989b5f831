"""The window and its keys, on a clock that the test moves."""

from __future__ import annotations

import pytest
from painted import make_show

from agent_gym.ground.errors import UserError
from agent_gym.viewing import window as viewer
from agent_gym.viewing.overlay import Stage
from agent_gym.viewing.window import Controls, present, require_display, watch


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self, monkeypatch):
        self.now = 50.0
        monkeypatch.setattr(viewer.time, "monotonic", lambda: self.now)

    def wait(self, seconds):
        self.now += seconds


def shown_until(monkeypatch, seconds, press=lambda elapsed, controls: None, fps=10.0, lengths=(100_000,)):
    """(time, view) of all pictures put on the screen within `seconds`."""
    clock, controls, shown = Clock(monkeypatch), Controls(), []

    def wait(amount):
        clock.wait(amount)
        press(round(clock.now - 50.0, 6), controls)
        controls.quit |= clock.now - 50.0 >= seconds

    present(make_show(lengths), controls, fps, lambda views: shown.append((clock.now - 50.0, views and views[0])), wait)
    return shown


def test_the_environments_own_speed(monkeypatch):
    shown = shown_until(monkeypatch, 10.0)
    assert len(shown) == pytest.approx(100, abs=2)
    assert all(view.length / 10 == pytest.approx(time, abs=0.06) for time, view in shown)


@pytest.mark.parametrize(("command", "times", "speed"), [("faster", 2, 4.0), ("slower", 1, 0.5), ("faster", 20, 64.0)])
def test_arrows_change_the_speed(monkeypatch, command, times, speed):
    pressed = []

    def press(elapsed, controls):
        while len(pressed) < times:
            pressed.append(controls.apply(command))

    shown = [view for _, view in shown_until(monkeypatch, 10.0, press) if view is not None]
    assert shown[-1].length == pytest.approx(100 * speed, rel=0.03, abs=3)
    assert len(shown) < 10 * viewer.MAX_DRAWN + 5  # fast ones leave pictures out


def test_pause_next_and_quit(monkeypatch):
    done = []

    def press(elapsed, controls):
        for at, command in ((2.0, "pause"), (5.0, "pause"), (7.0, "next"), (8.0, "quit")):
            if elapsed >= at and at not in done:
                done.append(at)
                controls.apply(command)

    shown = [(time, view) for time, view in shown_until(monkeypatch, 60.0, press) if view is not None]
    assert not [time for time, view in shown if 2.2 < time < 4.9]
    lengths = [view.length for _, view in shown]
    skipped = lengths.index(0, 1)
    assert lengths[:skipped] == list(range(skipped)) and skipped == pytest.approx(40, abs=3)
    assert (
        lengths[skipped:][:3] == [0, 1, 2] and shown[skipped][0] == pytest.approx(7.0, abs=0.1) and shown[-1][0] < 8.2
    )


def test_keys_in_a_window(monkeypatch):
    """Real key events in SDL's dummy window."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    keys = [
        pygame.K_SPACE,
        pygame.K_SPACE,
        pygame.K_RIGHT,
        pygame.K_n,
        pygame.K_UP,
        pygame.K_LEFT,
        pygame.K_DOWN,
        pygame.K_q,
    ]
    log = []
    apply = Controls.apply
    monkeypatch.setattr(Controls, "apply", lambda self, command: (log.append(command), apply(self, command)))
    flip = pygame.display.flip

    def press_next():
        flip()
        if keys:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=keys.pop(0)))

    monkeypatch.setattr(pygame.display, "flip", press_next)
    show = make_show((1000,), stage=Stage("Painted", make_show((1,)).taps[0].action_space))
    watch(show, "title", fps=200.0)
    assert log == ["pause", "pause", "faster", "next", "faster", "slower", "slower", "quit"]
    assert not pygame.display.get_init() and show.finished == []


def test_closing_the_window_ends_the_show(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    show = make_show((1000,), stage=Stage("Painted", make_show((1,)).taps[0].action_space))
    show.before_round = lambda: pygame.event.post(pygame.event.Event(pygame.QUIT))
    watch(show, "title", fps=200.0)
    assert not pygame.display.get_init()


def test_no_display(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="--video out.mp4"):
        require_display()
    monkeypatch.setenv("DISPLAY", ":4321")  # nobody answers there
    require_display()
    with pytest.raises(UserError, match="cannot open a window"):
        watch(make_show((3,)), "title", fps=10.0)
