"""What drawing costs and how far a film is."""

from __future__ import annotations

import io
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from painted import Painted, make_show

from agent_gym.viewing import filming, graphics
from agent_gym.viewing.film import film
from agent_gym.viewing.overlay import Stage
from agent_gym.viewing.player import make_tap


def test_plain_drawing_changes_nothing_that_moves():
    plain, full = (gymnasium.make("HalfCheetah-v5") for _ in range(2))
    assert graphics.draw_plainly(plain)
    model, untouched = plain.unwrapped.model, full.unwrapped.model
    assert not model.light_castshadow.any() and not model.mat_reflectance.any() and model.vis.quality.offsamples == 0
    assert untouched.light_castshadow.any() and untouched.mat_reflectance.any()
    for env in (plain, full):
        env.reset(seed=4)
    for action in np.random.default_rng(0).uniform(-1, 1, (50, 6)):
        (a, *_), (b, *_) = plain.step(action), full.step(action)
        assert np.array_equal(a, b)


def test_models_behind_dm_controls_adapter_and_environments_without_one():
    quality = SimpleNamespace(offsamples=4)
    model = SimpleNamespace(
        light_castshadow=np.ones(2), mat_reflectance=np.ones(3), vis=SimpleNamespace(quality=quality)
    )
    behind = Painted()
    behind._env = SimpleNamespace(physics=SimpleNamespace(model=model))
    assert graphics.draw_plainly(behind) and model.light_castshadow.sum() == quality.offsamples == 0
    behind._env.physics = None
    assert not graphics.draw_plainly(behind)
    behind.model = "a policy network, perhaps"
    assert not graphics.draw_plainly(behind)


@pytest.mark.parametrize(("drawing", "gpu", "plain"), [("auto", False, True), ("auto", True, False)])
def test_auto_looks_for_a_graphics_card_and_the_user_may_choose(monkeypatch, tmp_path, drawing, gpu, plain):
    done = []
    monkeypatch.setattr("agent_gym.viewing.player.draw_plainly", done.append)
    monkeypatch.setattr(graphics.sys, "platform", "linux")
    monkeypatch.setattr(graphics, "GPU_FILES", (str(tmp_path / "renderD*"),))
    for name in ("MUJOCO_GL", "LIBGL_ALWAYS_SOFTWARE"):
        monkeypatch.delenv(name, raising=False)
    if gpu:
        (tmp_path / "renderD128").touch()
    assert graphics.draws_on_gpu() is gpu
    for choice in (drawing, "full", "plain"):
        make_tap(lambda render_mode=None: Painted(render_mode=render_mode), choice)
    assert len(done) == plain + 1
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert not graphics.draws_on_gpu()


def test_how_far_a_film_is_where_there_is_no_terminal(tmp_path, monkeypatch, capsys):
    """Episodes of 3 and 5 steps have 4 and 6 pictures."""
    monkeypatch.setattr(filming, "SECONDS", 0.0)
    film(make_show((3, 5), stage=Stage("x", Discrete(3)), episodes=2), tmp_path / "a.gif", 20)
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert output.out == "" and len(lines) == 10
    assert [line.split(" pictures")[0] for line in lines[:5]] == [
        *(f"filming episode 1 of 2: {n}" for n in (1, 2, 3, 4)),
        "filming episode 2 of 2: 5",
    ]
    film(make_show((3,), (2,), stage=Stage("x", Discrete(3), (), (1, 2)), episodes=2), tmp_path / "b.gif", 20)
    assert capsys.readouterr().err.startswith("filming episodes 1 to 2 of 2: 1 pictures")
    film(make_show((3,), stage=Stage("x", Discrete(3)), episodes=1), tmp_path / "c.gif", 20, quiet=True)
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_of_a_film_on_a_terminal(tmp_path, monkeypatch):
    """With a time limit of 50 and an episode that ends after 3 steps, the bar is full after it."""
    show = make_show((3,), episodes=1)
    show.taps[0] = make_tap(lambda render_mode=None: gymnasium.make("Painted/Plain-v0", render_mode=render_mode))
    monkeypatch.setattr(filming.sys, "stderr", Terminal())
    progress = filming.FilmProgress(show)
    show.taps.clear()
    show = make_show((3,), episodes=1)
    progress.show = show
    shares = []
    for _ in show.pictures():
        progress()
        shares.append(progress.bar.tasks[0].percentage)
    assert shares == [2.0, 4.0, 6.0, 100.0]
