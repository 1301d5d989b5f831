"""What spectators get to see: which picture, with which numbers, drawn how."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from painted import Painted, Watched, make_show

from agent_gym.agents.ppo import PPO
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.ground.errors import UserError
from agent_gym.storage import tensor_file
from agent_gym.training.evaluation import play
from agent_gym.viewing import bars
from agent_gym.viewing.bars import number, rows_of
from agent_gym.viewing.overlay import CURVE, Stage, View, scale_of
from agent_gym.viewing.player import Follower, make_tap, parse_grid


def test_every_observation_once_and_the_true_last_picture():
    """Two episodes of 3 and 5 steps: 4 and 6 pictures; the last shows the end, not the episode after it."""
    show = make_show((3, 5), episodes=2)
    views = [view for (view,) in show.pictures()]
    pixels = [int(view.picture[0, 0, 0]) for view in views]
    assert pixels == [0, 1, 2, 3, 10, 11, 12, 13, 14, 15]
    assert [view.length for view in views] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    assert [view.episode_return for view in views] == [0, 1, 3, 6, 0, 1, 3, 6, 10, 15]
    assert [view.ended for view in views] == [i in (3, 9) for i in range(10)]
    assert [view.values[-1] for view in views] == [100, 101, 102, 102, 100, 101, 102, 103, 104, 104]
    assert [view.number for view in views] == [1] * 4 + [2] * 6
    assert show.finished == [(1, 6.0, 3), (2, 15.0, 5)]


def test_an_episode_that_ended_waits_for_the_rest_of_the_grid():
    show = make_show((2,), (4,), episodes=2)
    rounds = list(show.pictures())
    assert [(int(a.picture[0, 0, 0]), int(b.picture[0, 0, 0])) for a, b in rounds] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (2, 3),
        (2, 4),
    ]
    assert rounds[-1][0].episode_return == 3.0 and show.finished == [(1, 3.0, 2), (2, 10.0, 4)]


def test_episodes_of_a_grid_are_numbered_by_place_and_not_by_their_end():
    show = make_show((4,), (2,), (3,), episodes=3)
    list(show.pictures())
    assert show.finished == [(1, 10.0, 4), (2, 3.0, 2), (3, 6.0, 3)]


def test_same_episode_as_the_score():
    env = SyncEnv([Painted((4,))], "Painted")
    score = play(Watched(), env, 1, seed=7)
    show = make_show((4,), episodes=1)
    list(show.pictures())
    assert show.finished == [(1, score.returns[0], score.lengths[0])]
    assert show.taps[0].unwrapped.seeds[0] == env.envs[0].seeds[0] is not None


def test_undrawn_steps_and_skipping():
    show = make_show((7, 7), episodes=1)
    show.draw_every = 3
    assert [picture is not None for picture in show.pictures()] == [True, False, False, True, False, False, True, True]
    show = make_show((9, 3), episodes=1)
    for count, _ in enumerate(show.pictures()):
        show.skip = count == 2
    assert count == 2 + 4 and show.finished == [(2, 6.0, 3)]  # the episode left is not counted


@pytest.mark.parametrize("size", [(8, 12), (210, 160), (400, 600), (1081, 1921), (31, 33)])
@pytest.mark.parametrize("grid", [(1, 1), (2, 3)])
def test_canvas_is_even_constant_and_not_enormous(size, grid):
    stage = Stage("An environment with a name that is far too long", Discrete(3), ["a", "b", "c"], grid)
    picture = np.full((*size, 3), 200, np.uint8)
    canvases = [stage.draw([View(picture, length=n, values=[1.0] * n)] * (grid[0] * grid[1])) for n in range(3)]
    assert len({canvas.shape for canvas in canvases}) == 1
    height, width = canvases[0].shape[:2]
    assert height % 2 == width % 2 == 0 and 64 <= height <= 1200 and width <= 1600
    assert (canvases[0] == 200).all(-1).sum() >= 6 * 8 * 12  # the picture is there


def test_bars_are_as_long_as_the_probabilities():
    stage = Stage("x", Discrete(3))
    view = View(np.zeros((400, 10, 3), np.uint8), action=np.int64(1), policy={"probs": np.array([0.25, 0.5, 0.0])})
    canvas = stage.draw([view])
    drawn = {colour: (canvas == colour).all(-1).sum(1).max() for colour in (bars.BAR, bars.CHOSEN)}
    assert drawn[bars.CHOSEN] == pytest.approx(2 * drawn[bars.BAR], abs=2) and drawn[bars.BAR] > 20


def test_rows_for_every_action_space():
    multi = rows_of(
        {"probs": np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])}, np.array([1, 2]), [], MultiDiscrete([2, 3])
    )
    assert [line.name for line in multi] == ["0: 0", "0: 1", "1: 0", "1: 1", "1: 2"]
    assert [line.chosen for line in multi] == [False, True, False, False, True]
    bits = rows_of({"bit_probs": np.array([0.9, 0.4])}, np.array([1, 0]), [], MultiBinary(2))
    assert [(line.text, line.chosen) for line in bits] == [("90%", True), ("40%", False)]
    box = Box(np.float32([-2, -np.inf]), np.float32([2, np.inf]))
    first, second = rows_of({"mean": np.array([1.0, 0.0]), "std": np.array([0.5, 9.0])}, np.array([2.0, 0.0]), [], box)
    assert (first.start, first.end, first.marks) == (0.625, 0.875, (1.0,))
    assert (second.start, second.end, second.marks) == (0.0, 1.0, (0.5,))
    named = rows_of({"mean": np.zeros(2), "std": np.ones(2)}, np.zeros(2), ["hip", "knee"], box)
    assert [line.name for line in named] == ["hip", "knee"]


def test_bars_of_action_values_show_the_difference_and_the_size():
    """Main bars run from the lowest value to the highest; thin ones start at zero, which lies where it must."""
    q = rows_of({"q": np.array([1.0, 3.0])}, np.int64(1), ["left", "right"], Discrete(2))
    assert [(line.name, line.end, line.text) for line in q] == [("left", 0.0, "1.00"), ("right", 1.0, "3.00")]
    near = rows_of({"q": np.array([99.0, 99.002, 100.0])}, np.int64(2), [], Discrete(3))
    assert [round(line.size[1], 3) for line in near] == [0.99, 0.99, 1.0] and near[0].size[0] == 0.0
    assert near[1].end == pytest.approx(0.002) and near[2].end == 1.0
    mixed = rows_of({"q": np.array([-1.0, 3.0, -np.inf])}, np.int64(1), [], Discrete(3))
    assert [line.size for line in mixed] == [(0.0, 0.25), (0.25, 1.0), (0.25, 0.25)]
    assert number(99.0, 0.002) == "99.0000" and number(99.0) == "99.00" and number(12345.6, 100.0) == "12,346"


def test_the_values_scale_is_the_episodes_and_shows_no_noise_as_a_curve():
    assert scale_of([3.0, -1.0, 2.0]) == (-1.0, 3.0)
    low, high = scale_of([100.0, 100.001])
    assert (high - low, (high + low) / 2) == pytest.approx((1.00001, 100.0005))
    stage = Stage("x", Discrete(3))
    lines = []
    for values in ([0.0] * 200, [0.0] * 199 + [50.0]):
        canvas = stage.draw([View(np.zeros((400, 10, 3), np.uint8), values=values)])
        lines.append((canvas == CURVE).all(-1)[80:].any(1).sum())  # rows of the picture that the curve touches
    assert lines[0] < 8 < lines[1]


def test_cells_of_a_grid_carry_their_place():
    """Cell 2 holds what cell 1 does, but for the digit."""
    stage = Stage("x", Discrete(3), (), (1, 2))
    view = View(np.zeros((300, 200, 3), np.uint8), episode_return=5.0)
    canvas = stage.draw([view, view])
    first, second = np.split(canvas, 2, axis=1)
    changed = np.argwhere((first != second).any(-1))
    assert len(changed) and changed[:, 0].min() >= 300 and changed[:, 1].max() < 20


class Blank(Painted):
    """Any action space."""

    def __init__(self, space):
        super().__init__((9,))
        self.action_space = space


@pytest.mark.parametrize("space", [Discrete(3), MultiDiscrete([2, 4]), MultiBinary(3), Box(-2, 6, (2,), np.float32)])
@pytest.mark.parametrize("sde_every", [0, 4])
def test_ppo_shows_how_often_it_would_act_so(space, sde_every):
    """`inspect` against frequencies and moments of 20,000 sampled actions."""
    torch.manual_seed(0)
    env = SyncEnv([Blank(space)], "Blank")
    agent = PPO(PPOConfig(num_envs=1, sde_every=sde_every, log_std_init=-2.0), env)
    torch.nn.init.normal_(agent.network.head.linear.weight, std=0.3)
    agent.return_scale.stats.scale.fill_(0.25)
    count = 20_000
    inputs = torch.zeros(count, 1), agent.policy.initial_state(count), torch.ones(count, dtype=torch.bool)
    action = agent.policy.act(*inputs, explore=True, generator=agent.generator)[0].double()
    one = agent.policy.inspect(*(part[:1] for part in inputs))
    assert one["value"] == pytest.approx(agent.policy.value(*(part[:1] for part in inputs)).item() / 0.25)
    near = {"abs": 0.015}
    if "mean" in one:
        assert one["mean"][0].tolist() == pytest.approx(action.mean(0).tolist(), **near)
        assert one["std"][0].tolist() == pytest.approx(action.std(0).tolist(), **near)
    elif "bit_probs" in one:
        assert one["bit_probs"][0].tolist() == pytest.approx(action.mean(0).tolist(), **near)
    else:
        probs, action = torch.atleast_2d(one["probs"][0]), action.view(count, -1)
        for i, row in enumerate(probs):
            assert row.tolist() == pytest.approx(
                [(action[:, i] == j).double().mean().item() for j in range(len(row))], **near
            )


def test_newer_checkpoints_are_loaded_between_episodes(tmp_path):
    file = tmp_path / "checkpoints" / "best.pt"
    file.parent.mkdir()
    policy, stage = torch.nn.Linear(1, 1), Stage("x", Discrete(2))

    def save(value: float, time: float):
        weights = {"weight": torch.full((1, 1), value), "bias": torch.zeros(1)}
        tensor_file.write(file, {"config": {}, "agent": {"model": weights, "steps": int(1000 * value)}})
        import os

        os.utime(file, (time, time))

    save(1.0, 100.0)
    follow = Follower(tmp_path, "best", policy, stage)
    show = make_show((2, 2, 2, 2, 2), episodes=5, agent=None, before_round=follow)
    seen = []
    for (view,) in show.pictures():
        if view.length == 1:
            seen.append((policy.weight.item(), stage.subtitle))
            if view.number == 2:
                save(2.0, 200.0)
            if view.number == 3:
                file.write_bytes(b"cut off")
            if view.number == 4:
                file.unlink()
    assert [weight for weight, _ in seen] == [1.0, 1.0, 2.0, 2.0, 2.0]
    assert seen[2][1] == "best.pt, step 2,000" and "cannot be read" in seen[3][1]


def test_grid_and_pictures_that_cannot_be():
    assert parse_grid("4x3") == (4, 3)
    for text in ("4", "0x3", "4x", "99x99", "-1x2", "ax2"):
        with pytest.raises(UserError, match="such as 4x4"):
            parse_grid(text)

    class Silent(Painted):
        metadata = {"render_modes": ["ansi"]}

    class Broken(Painted):
        def render(self):
            raise RuntimeError("no such\ncontext")

    class Flat(Painted):
        def render(self):
            return np.zeros((4, 4), np.uint8)

    for kind, says in ((Silent, "renders ansi"), (Broken, "cannot draw.*no such"), (Flat, r"renders \(4, 4\)")):
        with pytest.raises(UserError, match=says) as caught:
            make_tap(kind)
        assert "\n" not in str(caught.value)
