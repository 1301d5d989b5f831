"""The native MinAtar games are the published package's: both play on, draw by draw, with the same chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agent_gym.envs.native.core import NATIVE
from agent_gym.envs.native.minatar import asterix, breakout, freeway, seaquest, space_invaders

minatar = pytest.importorskip("minatar", exc_type=ImportError)

COPIES = 6


class Draws:
    """Stands in for NumPy's generator: gives numbers that are uniform in [0, 1) in their order."""

    def __init__(self, row):
        self.row, self.at = row.tolist(), 0

    def rand(self, count=None):
        numbers = self.row[self.at : self.at + (count or 1)]
        self.at += count or 1
        return np.array(numbers) if count else numbers[0]

    def randint(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        numbers = low + np.floor(np.array(self.rand(size or 1)) * (high - low)).astype(int)
        return numbers if size else int(numbers[0])


def begin(game, row):
    game.env.random = Draws(row)
    game.last_action = 0
    game.reset()


def advance(game, action, row, places):
    """One step of the package with the draws of a row; `places`: where in it those of its methods begin."""
    game.random = game.env.random = Draws(row)
    for method, place in places.items():
        original = getattr(type(game.env), method)

        def at_its_place(original=original, place=place, **arguments):
            game.env.random.at = place
            original(game.env, **arguments)

        setattr(game.env, method, at_its_place)
    result = game.act(game.minimal_action_set()[action])
    for method in places:
        delattr(game.env, method)
    return result


def follow(module, name, sizes, steps, policy, places=None, mortal=True, look_at=None, prepare=None):
    """Play both, and compare what is seen and paid in every step. Returns what `look_at` saw, and the rewards.

    sizes: draws of a start and of a step. Not mortal: what ends a game in one is noted in both, and it goes on.
    prepare: changes the start, (state, games) -> None.
    """
    generator = torch.Generator().manual_seed(0)
    games = [minatar.Environment(name) for _ in range(COPIES)]
    assert all(game.sticky_action_prob == 0.1 for game in games)

    def draw(rows):
        return torch.rand(rows, COPIES, generator=generator)

    draws = draw(sizes[0])
    for game, row in zip(games, draws.T, strict=True):
        begin(game, row)
    state, seen, paid = module.start(draws), [], 0.0
    if prepare:
        prepare(state, games)
    actions = len(games[0].minimal_action_set())
    for _ in range(steps):
        obs = torch.from_numpy(np.stack([game.state() for game in games], -1))
        assert torch.equal(module.look(state), obs.permute(2, 0, 1, 3))
        at_random = torch.randint(actions, (COPIES,), generator=generator)
        action = policy(obs, at_random, draw(1)[0])
        draws, before = draw(sizes[1]), state.clone()
        unchanged, (state, reward, terminated) = state, module.play(state, action, draws)
        assert torch.equal(before, unchanged), "written to its argument"
        results = [
            advance(game, a, row, places or {}) for game, a, row in zip(games, action.tolist(), draws.T, strict=True)
        ]
        assert reward.tolist() == [float(r) for r, _ in results]
        assert terminated.tolist() == [bool(end) for _, end in results]
        seen += [look_at(game.env) for game in games] if look_at else []
        paid += reward.sum().item()
        fresh = draw(sizes[0])
        if mortal:
            ends = module.look(state)
            for index in terminated.nonzero().flatten().tolist():
                assert np.array_equal(ends[..., index].permute(1, 2, 0).numpy(), games[index].state())
                begin(games[index], fresh[:, index])
            state = torch.where(terminated, module.start(fresh), state)
        else:
            for game in games:
                game.env.terminal = False
    return seen, paid


def at_random(obs, action, draw):
    return action


def test_breakout():
    def towards_the_ball(obs, action, draw):
        ball, paddle = (obs[:, :, channel].any(0).float().argmax(0) for channel in (1, 0))
        return torch.where(draw < 0.1, action, torch.where(ball > paddle, 2, (ball < paddle).long()))

    def last_brick(state, games):
        state[: breakout.BRICKS - 1] = 0
        for game in games:
            game.env.brick_map[:3] = game.env.brick_map[3, :9] = 0

    _, paid = follow(breakout, "breakout", (1, 1), 600, towards_the_ball)
    assert paid > 100, "too little played to tell"
    bricks, _ = follow(
        *(breakout, "breakout", (1, 1), 300, towards_the_ball),
        look_at=lambda env: np.count_nonzero(env.brick_map),
        prepare=last_brick,
    )
    assert 0 in bricks and bricks.index(0) < len(bricks) - 1 and max(bricks) == 30, "no wall was built anew"


@pytest.mark.parametrize("mortal", [True, False])
def test_asterix(mortal):
    def at_full_speed(state, games):
        state[asterix.SPAWN_SPEED], state[asterix.MOVE_SPEED], state[asterix.RAMP_INDEX] = 2, 2, 1
        for game in games:
            game.env.spawn_speed, game.env.move_speed, game.env.ramp_index = 2, 2, 1

    filled, paid = follow(
        *(asterix, "asterix", (0, 4), 250, at_random, {"_spawn_entity": 1}, mortal),
        look_at=lambda env: (sum(entity is not None for entity in env.entities), env.spawn_speed, env.move_speed),
        prepare=None if mortal else at_full_speed,
    )
    assert paid > 3
    assert mortal or max(filled) >= (8,) and filled[-1][1:] == (1, 1), "not yet at its hardest"


def test_freeway():
    def nearly_over(state, games):
        state[freeway.TIME] = 100
        for game in games:
            game.env.terminate_timer = 100

    def upwards(obs, action, draw):
        return torch.where(draw < 0.2, action, freeway.UP)

    left, paid = follow(
        *(freeway, "freeway", (16, 17), 300, upwards, {"_randomize_cars": 1}),
        look_at=lambda env: env.terminate_timer,
        prepare=nearly_over,
    )
    assert paid > 5 and min(left) == -1


@pytest.mark.parametrize("mortal", [True, False])
def test_space_invaders(mortal):
    def few_left(state, games):
        state[: space_invaders.CELLS].view(10, 10, -1)[:3] = 0
        for game in games:
            game.env.alien_map[:3] = 0

    waves, paid = follow(
        *(space_invaders, "space_invaders", (0, 1), 400, at_random, None, mortal),
        look_at=lambda env: env.ramp_index,
        prepare=None if mortal else few_left,
    )
    assert paid > 100 and (mortal or max(waves) >= 1), "no wave was cleared"


@pytest.mark.parametrize("case", ["mortal", "from the start", "at full speed"])
def test_seaquest(case):
    """At full speed enemies come in every step, and a full load of divers is brought up at once."""

    def at_full_speed(state, games):
        state[seaquest.SPAWN_SPEED], state[seaquest.MOVE_SPEED], state[seaquest.RAMP_INDEX] = 1, 2, 19
        state[seaquest.SPAWN_TIMER], state[seaquest.ABOARD] = 1, 6
        for game in games:
            env = game.env
            env.e_spawn_speed, env.move_speed, env.ramp_index, env.e_spawn_timer, env.diver_count = 1, 2, 19, 1, 6

    seen, paid = follow(
        *(seaquest, "seaquest", (0, 6), 350, at_random, {"_spawn_enemy": 1, "_spawn_diver": 4}, case == "mortal"),
        look_at=lambda env: (len(env.e_fish + env.e_subs), len(env.e_bullets), env.ramp_index, -env.diver_count),
        prepare=at_full_speed if case == "at full speed" else None,
    )
    enemies, bullets, ramp, nobody = np.max(seen, axis=0)
    assert paid > 0 and bullets > 0
    if case == "from the start":
        assert ramp > 0
    if case == "at full speed":
        assert 15 < enemies < seaquest.ENEMIES and nobody > 0


GAMES = {
    "Breakout": "breakout",
    "Asterix": "asterix",
    "Freeway": "freeway",
    "Seaquest": "seaquest",
    "SpaceInvaders": "space_invaders",
}


@pytest.mark.parametrize("name", list(GAMES))
def test_the_spaces_are_the_packages(name):
    core, game = NATIVE[f"AgentGym/MinAtar-{name}-v1"], minatar.Environment(GAMES[name])
    assert list(core.obs_space.shape) == game.state_shape() and core.obs_space.dtype == bool
    letters = [game.env.action_map[action] for action in game.minimal_action_set()]
    assert letters == [{"nothing": "n", "fire": "f"}.get(word, word[0]) for word in core.action_names]
