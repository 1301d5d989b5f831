"""Films read back picture by picture, and films in the course of training."""

from __future__ import annotations

import io
import re

import gymnasium
import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from painted import Painted
from PIL import Image, ImageSequence
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import train
from agent_gym.ground.errors import UserError
from agent_gym.viewing.bars import BAR, CHOSEN
from agent_gym.viewing.clip import Clip, portrait
from agent_gym.viewing.film import Film
from agent_gym.viewing.overlay import Stage, View

SMALL = [
    "--env",
    "painted:Painted/Plain-v0",
    "--total-steps",
    "2048",
    "--num-envs",
    "8",
    "--num-steps",
    "32",
    "--eval-episodes",
    "4",
    "--num-epochs",
    "2",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short finished run."""
    path = tmp_path_factory.mktemp("runs") / "x"
    assert train.main(["ppo", *SMALL, "--run-dir", str(path), "--quiet", "--seed", "3"]) == 0
    return path


def pictures(count: int) -> list[np.ndarray]:
    """Each of one grey level of its own."""
    return [np.full((32, 48, 3), 5 * n, np.uint8) for n in range(count)]


def test_mp4_holds_every_picture(tmp_path):
    with Film(tmp_path / "a.mp4", 25) as film:
        for picture in pictures(40):
            film.add(picture)
    reader = imageio.get_reader(tmp_path / "a.mp4")
    assert reader.get_meta_data()["fps"] == 25
    levels = [float(frame.mean()) for frame in reader]
    assert levels == pytest.approx([5.0 * n for n in range(40)], abs=4.0)


@pytest.mark.parametrize(("fps", "stride"), [(20, 1), (30, 1), (50, 1), (125, 3)])
def test_gif_keeps_the_pace_that_browsers_can(tmp_path, fps, stride):
    with Film(tmp_path / "a.gif", fps) as film:
        for picture in pictures(31):
            film.add(picture)
    image = Image.open(tmp_path / "a.gif")
    assert image.info["loop"] == 0
    frames = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(image)]
    assert sum(duration for _, duration in frames) == pytest.approx(1000 * stride * len(frames) / fps, abs=5)
    assert min(duration for _, duration in frames) >= 20
    levels = [frame.mean() for frame, _ in frames]
    assert levels == pytest.approx([5.0 * n for n in range(0, 31, stride)], abs=1.0)


def test_gif_draws_what_changed_where_it_changed(tmp_path):
    """Also where nothing did."""
    rng = np.random.default_rng(0)
    scenes = [np.zeros((40, 60, 3), np.uint8)]
    for row, column in ((3, 50), (30, 2), (30, 2), (0, 0)):
        scenes.append(scenes[-1].copy())
        scenes[-1][row : row + 5, column : column + 7] = rng.integers(0, 256, 3)
    scenes.append(scenes[-1])
    with Film(tmp_path / "a.gif", 20) as film:
        for scene in scenes:
            film.add(scene)
    read = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(Image.open(tmp_path / "a.gif"))]
    assert len(read) == len(scenes)
    for frame, scene in zip(read, scenes, strict=True):
        assert np.abs(frame.astype(int) - scene).max() <= 4  # colours are rounded


def test_a_film_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), Film(tmp_path / "a.mp4", 25) as film:
        film.add(pictures(1)[0])
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    for name, says in (("a.avi", "expected .mp4 or .gif"), ("no/a.mp4", "there is no folder")):
        with pytest.raises(UserError, match=says):
            Film(tmp_path / name, 25)
    (tmp_path / ".b.partial.gif").mkdir()  # in the way
    with pytest.raises(UserError, match="cannot write the film.*choose another folder"), Film(tmp_path / "b.gif", 25):
        pass


def test_clip_is_short_in_real_time_and_as_wide_as_a_card_of_tensorboard():
    """A card has about 350 pixels: text of 11 and more is drawn at its own size."""
    stage, policy = Stage("x", Discrete(2), ["left", "right"]), {"probs": np.array([0.25, 0.75])}
    stage.views = [View(np.full((400, 600, 3), 9, np.uint8), values=[1.0], action=np.int64(1), policy=policy)]
    clip = Clip(50.0)
    for _ in range(1500):  # half a minute
        clip.add(stage)
    data, width, height = clip.gif()
    assert (width, height) == (340, 227 + 34 + 20 + 2 * 17 + 4) and len(clip.pictures) == 250
    assert clip.milliseconds == 80 and Image.open(io.BytesIO(data)).size == (340, height)
    canvas = np.asarray(portrait(stage, stage.views[0]))
    assert (canvas[:227] == 9).all()
    drawn = [(canvas == colour).all(-1).sum(1).max() for colour in (CHOSEN, BAR)]
    assert drawn[0] == pytest.approx(3 * drawn[1], abs=3) and drawn[1] > 40


@pytest.mark.parametrize("size", [(8, 12), (210, 160), (1081, 1921), (600, 31)])
def test_clips_of_every_shape_and_of_many_actions(size):
    stage = Stage("x", Discrete(18))
    view = View(np.zeros((*size, 3), np.uint8), policy={"q": np.arange(18.0)})
    image = portrait(stage, view)
    assert image.width == 340 and image.height <= 340


def test_evaluate_records_what_it_scores(finished, tmp_path, capsys):
    out = tmp_path / "a.mp4"
    assert evaluate.main([str(finished), "--video", str(out), "--episodes", "2"]) == 0
    *episodes, last = capsys.readouterr().out.splitlines()
    steps = [int(line.split()[-2]) for line in episodes]
    assert last == f"recorded {out}" and len(steps) == 2
    frames = list(imageio.get_reader(out).iter_data())
    assert len(frames) == sum(steps) + 2  # the first picture of each episode comes before its first step
    assert frames[0].shape == (400, 850, 3)  # 8 × 12 pixels, enlarged 50 times, and the panel
    assert evaluate.main([str(finished), "--video", str(tmp_path / "b.gif"), "--grid", "2x2", "--plain"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert Image.open(tmp_path / "b.gif").size == (2 * 300, 2 * 200)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--video", "x.avi"], "unknown file type '.avi', expected .mp4 or .gif"),
        (["--video", "x.mp4", "--web", "8000"], "give one of them"),
        (["--video", "x.mp4", "--grid", "4"], "such as 4x4"),
        (["--web", "99999"], "a port is a number from 1 to 65535"),
        (["--watch"], "needs a display.*--video out.mp4"),
    ],
)
def test_bad_requests_are_one_line(finished, flags, says, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert evaluate.main([str(finished), *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ")
    assert re.search(says, error)


def test_video_every_records_and_changes_nothing(finished, tmp_path):
    """The same run with films: videos/, moving pictures in TensorBoard, and the same weights in the end."""
    run = tmp_path / "filmed"
    flags = ["--run-dir", str(run), "--quiet", "--seed", "3", "--video-every", "1000"]
    assert train.main(["ppo", *SMALL, *flags]) == 0
    assert sorted(path.name for path in (run / "videos").iterdir()) == ["step-1024.mp4", "step-2048.mp4"]
    weights = [
        torch.load(each / "checkpoints" / "last.pt", weights_only=True)["agent"]["model"] for each in (finished, run)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    events = EventAccumulator(str(run), {"images": 0}).Reload()
    films = events.Images("video/episode")
    assert [film.step for film in films] == [1024, 2048]
    moving = [Image.open(io.BytesIO(film.encoded_image_string)) for film in films]
    assert [(image.format, image.n_frames) for image in moving] == [("GIF", 3)] * 2  # every other of 6 pictures


def test_training_with_films_of_what_cannot_be_drawn_does_not_begin(tmp_path, capsys):
    silent = type("Silent", (Painted,), {"metadata": {"render_modes": ["ansi"]}})
    gymnasium.register("Painted/Silent-v1", silent, disable_env_checker=True)
    run = tmp_path / "never"
    assert (
        train.main(["ppo", *SMALL, "--env", "Painted/Silent-v1", "--run-dir", str(run), "--video-every", "1000"]) == 2
    )
    assert "renders ansi" in capsys.readouterr().err and not run.exists()
