"""Each problem of the suite against its rules, worked out by other means than the environment's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from agent_gym.envs.native import driving, obstacles, recommender, repeat_previous, snake, tanks, tmaze
from agent_gym.envs.native.vector import NativeVectorEnv
from benchmarks.learning.baselines import SCRIPTED, returns

CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class PlainSnake:
    """The game with lists and tuples."""

    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))

    def __init__(self, body, direction, apple):
        self.body, self.direction, self.apple = body, direction, apple  # head first

    def step(self, action):
        if (action + 2) % 4 != self.direction:
            self.direction = action
        row, column = (a + b for a, b in zip(self.body[0], self.moves[self.direction], strict=True))
        ate = (row, column) == self.apple
        rest = self.body if ate else self.body[:-1]
        if not (0 <= row < 8 and 0 <= column < 8) or (row, column) in rest:
            return -1.0, True
        self.body = [(row, column), *rest]
        return float(ate), len(self.body) == 64


def test_snake_plays_as_a_plain_game_does():
    env = NativeVectorEnv(snake.SNAKE, 16, seed=1)
    games, obs, eaten = [None] * 16, env.reset(1), 0
    rng = np.random.default_rng(0)
    for _ in range(400):
        for index in range(16):
            if games[index] is None:
                life = env.state[:64, index].tolist()
                cells = sorted((c for c in range(64) if life[c]), key=lambda c: -life[c])
                apple = divmod(int(env.state[snake.APPLE, index]), 8)
                games[index] = PlainSnake([divmod(c, 8) for c in cells], int(env.state[snake.DIRECTION, index]), apple)
                assert len(cells) == 2
        greedy, _ = SCRIPTED["AgentGym/Snake-v0"](obs, None, None)
        action = torch.where(torch.from_numpy(rng.random(16) < 0.1), torch.from_numpy(rng.integers(0, 4, 16)), greedy)
        step = env.step(action)
        for index, game in enumerate(games):
            reward, ended = game.step(int(action[index]))
            assert (reward, ended) == (step.reward[index].item(), bool(step.terminated[index]))
            if ended or step.truncated[index]:
                games[index] = None
                continue
            apple, body, head = (step.obs[index, ..., k].nonzero().tolist() for k in range(3))
            assert head == [list(game.body[0])] and sorted(body) == sorted(map(list, game.body))
            shades = [int(step.obs[index, r, c, 1]) for r, c in game.body]
            assert shades == sorted(shades, reverse=True) and shades[0] == 255
            assert (tuple(apple[0]) == game.apple) == (reward == 0.0) and tuple(apple[0]) not in game.body
            game.apple = tuple(apple[0])
            eaten += reward > 0
        obs = step.obs
    assert eaten > 300


def test_apples_lie_on_every_free_cell_alike():
    body = torch.zeros(64, 30_000, dtype=torch.int64)
    body[10:40] = 1
    counts = torch.bincount(snake._free_cell(body, generator()), minlength=64).numpy()
    assert (counts[10:40] == 0).all()
    free = np.delete(counts, range(10, 40))
    assert ((free - free.mean()) ** 2 / free.mean()).sum() < 60  # chi-squared with 33 degrees of freedom


def test_a_full_board_wins():
    state = torch.zeros(68, 1, dtype=torch.int64)
    path = [r * 8 + (c if r % 2 == 0 else 7 - c) for r in range(8) for c in range(8)]  # boustrophedon
    state[path[:-1], 0] = torch.arange(1, 64)
    state[64:, 0] = torch.tensor([path[-2], 3, 63, path[-1]])
    _, reward, terminated = snake.step(state, torch.tensor([3]), generator())
    assert reward.item() == 1.0 and terminated.item()


def test_obstacle_ranges_are_those_of_small_steps_along_each_ray():
    state = obstacles.initial(6, generator(2), CPU)
    state[0].uniform_(0.5, 9.5, generator=generator(3))
    seen = obstacles.ranges(state).numpy()
    travel = np.arange(0.0, 4.0, 0.002)
    for index, (x, y, heading) in enumerate(state[:3].T.tolist()):
        pillars = state[7:, index].view(3, 9).numpy()
        if (np.hypot(pillars[0] - x, pillars[1] - y) < pillars[2]).any():
            continue  # within a pillar
        for ray in range(16):
            angle = heading + ray * math.pi / 8
            px, py = x + travel * math.cos(angle), y + travel * math.sin(angle)
            free = (px > 0) & (px < 10) & (py > 0) & (py < 10)
            free &= (np.hypot(px[:, None] - pillars[0], py[:, None] - pillars[1]) > pillars[2]).all(1)
            assert seen[ray, index] == pytest.approx(4.0 if free.all() else travel[free.argmin()], abs=0.01)


def test_obstacles_rewards_the_way_the_goal_and_the_touch():
    state = obstacles.initial(3, generator(), CPU)
    state[:5] = torch.tensor([[5.0, 8.0, 9.9], [9.0, 5.0, 5.0], [0.0] * 3, [1.0] * 3, [0.0] * 3])
    state[5:7] = torch.tensor([[9.0, 8.5, 9.0], [9.0, 5.0, 5.0]])
    state[7:16] = 20.0  # no pillars
    _, reward, terminated = obstacles.step(state, torch.tensor([[1.0, 0.0]]).expand(3, 2), None)
    assert terminated.tolist() == [False, True, True]
    assert reward.tolist() == pytest.approx([0.2, 0.2 + 10.0, -0.2 - 10.0], abs=1e-5)


def test_pillars_always_leave_a_way():
    x, y, radius = obstacles.initial(500, generator(), CPU)[7:].view(3, 3, 3, 500)
    between = (x - radius)[1:].amin(1) - (x + radius)[:-1].amax(1)
    assert between.min() >= 2 * obstacles.ROBOT - 1e-5
    covered = (2 * radius).sum(1)  # of a column's 10 m
    assert (10.0 - covered).min() / 4 > 2 * obstacles.ROBOT
    assert torch.isfinite(y).all()


def radius_by_cosines(state, angle):
    """The centreline with cosines instead of complex powers; state of one environment."""
    waves = state[5:10].double().numpy() + 1j * state[10:15].double().numpy()
    k = np.array(driving.WAVES)
    return 50 * (1 + (np.abs(waves) * np.cos(k * angle[..., None] + np.angle(waves))).sum(-1))


def test_driving_ranges_are_those_of_small_steps_along_each_ray():
    state = driving.initial(8, generator(4), CPU)
    state[2] += torch.linspace(-0.5, 0.5, 8)
    seen = driving.ranges(state).numpy()
    travel = np.arange(0.0, 60.0, 0.02)
    errors = []
    for index in range(8):
        x, y, heading = state[:3, index].tolist()
        for ray, angle in enumerate(driving.ANGLES):
            px, py = x + travel * math.cos(heading + angle), y + travel * math.sin(heading + angle)
            radius = radius_by_cosines(state[:, index], np.arctan2(py, px))
            on_road = np.abs(np.hypot(px, py) - radius) < 5.0
            errors.append(seen[ray, index] - (60.0 if on_road.all() else travel[on_road.argmin()]))
    assert np.median(np.abs(errors)) < 0.1 and np.mean(np.abs(errors) < 1.0) > 0.95  # it interpolates between points


def test_the_car_starts_along_the_road():
    state = driving.initial(5, generator(), CPU)
    for index in range(5):
        x, y, heading = state[:3, index].tolist()
        angle = math.atan2(y, x)
        assert math.hypot(x, y) == pytest.approx(float(radius_by_cosines(state[:, index], np.array(angle))), rel=1e-5)
        ends = [radius_by_cosines(state[:, index], np.array(angle + d)) * np.exp(1j * (angle + d)) for d in (0, 1e-5)]
        assert math.cos(np.angle(ends[1] - ends[0]) - heading) == pytest.approx(1.0, abs=1e-5)


def test_a_car_too_fast_for_a_bend_runs_wide():
    state = torch.zeros(15, 2)
    state[0], state[2], state[3] = 50.0, math.pi / 2, torch.tensor([5.0, 25.0])
    state[4] = 0.4
    after, reward, _ = driving.step(state, torch.tensor([[0.8, 0.0]]).expand(2, 2), None)
    turned = (after[2] - state[2]) / driving.TAU
    assert turned[0].item() == pytest.approx(5.0 * math.tan(0.4) / 2.7, rel=1e-4)  # as the wheels point
    assert turned[1].item() == pytest.approx(9.0 / 25.0, rel=1e-4)  # as the tyres hold
    assert reward.tolist() == pytest.approx([0.05, 0.25], rel=0.01)


def test_tanks_rest_where_johansson_says():
    """The paper's table: at P+ with 3.15 V on both pumps the levels are 12.6, 13.0, 4.8 and 4.9 cm."""
    rest = tanks.levels_at_rest(torch.full((2, 1), 3.15))
    np.testing.assert_allclose(rest[:, 0], [12.6, 13.0, 4.8, 4.9], rtol=0.02)  # the table is rounded
    state = torch.cat((rest, rest[:2], torch.full((2, 1), 3.15)))
    after, reward, _ = tanks.step(state, torch.full((1, 2), 3.15), None)
    torch.testing.assert_close(after[:4], rest, atol=1e-4, rtol=0)
    assert reward.item() == pytest.approx(0.0, abs=1e-4)


def test_tanks_follow_the_papers_differential_equations():
    def johansson(_, h, v):
        q1, q2, q3, q4 = (a * math.sqrt(2 * 981 * max(x, 0)) for a, x in zip((0.071, 0.057) * 2, h, strict=True))
        (g1, g2), (p1, p2) = (0.43, 0.34), (3.14 * v[0], 3.29 * v[1])
        flows = (q3 - q1 + g1 * p1, q4 - q2 + g2 * p2, (1 - g2) * p2 - q3, (1 - g1) * p1 - q4)
        return [flow / area for flow, area in zip(flows, (28, 32) * 2, strict=True)]

    state = tanks.initial(1, generator(), CPU)
    levels, rng = state[:4, 0].double().numpy(), np.random.default_rng(0)
    for _ in range(40):
        volts = rng.uniform(1.0, 5.0, 2)
        state, reward, _ = tanks.step(state, torch.from_numpy(volts[None]).float(), None)
        levels = solve_ivp(johansson, (0, 5), levels, args=(volts,), rtol=1e-8).y[:, -1]
        np.testing.assert_allclose(state[:4, 0], levels, atol=0.1)  # Euler's steps of a second
        errors = (state[:2, 0] - state[4:6, 0]).abs().sum().item()
        assert reward.item() == pytest.approx(-errors / 20, abs=1e-5)


def test_recommender_engages_as_often_as_its_model_says():
    state = recommender.initial(1, generator(1), CPU).expand(-1, 20_000).clone()
    state[recommender.SHOWN] = 0.5
    for topic in (0, 5):
        appeal = 3.0 * state[topic, 0] - 1.2 * 0.5 - 0.2
        after, reward, _ = recommender.step(state, torch.full((20_000,), topic), generator(2))
        assert reward.mean().item() == pytest.approx(torch.sigmoid(appeal).item(), abs=0.012)
        assert torch.equal(after[recommender.SUCCESS], reward) and (after[recommender.LAST][topic] == 1).all()
        assert after[recommender.SHOWN][topic, 0].item() == pytest.approx(0.85 * 0.5 + 1)


def test_interests_drift_but_stay_standard_normal():
    state = start = recommender.initial(20_000, generator(), CPU)
    noise = generator(3)
    for _ in range(20):
        state, _, _ = recommender.step(state, torch.zeros(20_000, dtype=torch.int64), noise)
    first, last = start[0], state[0]
    assert last.std().item() == pytest.approx(1.0, abs=0.02) and last.mean().item() == pytest.approx(0.0, abs=0.03)
    kept = torch.cov(torch.stack((first, last)))[0, 1].item()
    assert kept == pytest.approx(0.99**10, abs=0.03)  # (1 - 0.1²)^(20 / 2)


def test_a_user_ignored_ten_times_leaves():
    state = recommender.initial(1, generator(), CPU)
    state[:8] = -50.0
    lengths = []
    for length in range(1, 12):
        state, reward, gone = recommender.step(state, torch.tensor([length % 8]), generator())
        assert reward.item() == 0.0
        lengths += [length] if gone else []
    assert lengths[0] == 10


def test_tmaze_by_hand():
    up, right, down, left = range(4)
    for goal, other in ((up, down), (down, up)):
        state = torch.tensor([[0], [0 if goal == up else 1]])
        assert tmaze.observe(state)[0].tolist() == ([1, 0, 0, 0] if goal == up else [0, 1, 0, 0])
        expected = [(left, -0.1), (up, -0.1)] + [(right, 0.0)] * 10 + [(right, -0.1), (left, 0.0), (right, 0.0)]
        for action, wanted in expected:
            state, reward, ended = tmaze.step(state, torch.tensor([action]), None)
            assert reward.item() == pytest.approx(wanted) and not ended
        assert tmaze.observe(state)[0].tolist() == [0, 0, 0, 1]
        for action, wanted in ((goal, 4.0), (other, -0.1)):
            _, reward, ended = tmaze.step(state, torch.tensor([action]), None)
            assert reward.item() == pytest.approx(wanted) and ended
    corridor = torch.tensor([[4, 4], [0, 1]])
    assert torch.equal(*tmaze.observe(corridor).unbind(0))  # nothing there tells the goal


def test_repeat_previous_pays_for_a_delay_line():
    def remember(obs, memory, reset):
        memory = torch.cat((obs.unsqueeze(0), memory[:4])) if memory is not None else obs.expand(5, -1)
        return memory[4], memory

    env = NativeVectorEnv(repeat_previous.REPEAT_PREVIOUS, 20)
    assert returns(env, remember, 40) == pytest.approx(np.ones(40), abs=1e-4)


def test_repeat_previous_does_not_pay_without_memory():
    """Cards are independent: whatever is answered from the card now is right once in four."""
    env = NativeVectorEnv(repeat_previous.REPEAT_PREVIOUS, 100)
    scores = returns(env, lambda obs, memory, reset: (obs, None), 400)
    assert scores.mean() == pytest.approx(-0.5, abs=0.03)
