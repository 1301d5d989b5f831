"""AlphaZero: its loss, its memory of games, giving up, and what it learns."""

import io
import math

import pytest
import torch
from positions import CPU, follow

from agent_gym.agents.alphazero import AlphaZero, alphazero_loss
from agent_gym.agents.buffers.positions import Positions
from agent_gym.agents.self_play.resignation import FEWEST, Resignation
from agent_gym.agents.settings.alphazero import AlphaZeroConfig
from agent_gym.envs.games.game import TURN, outcome, over
from agent_gym.envs.games.search import Found
from agent_gym.envs.make import make_env
from agent_gym.envs.native.boards import connect_four, tictactoe
from agent_gym.ground.errors import UserError

SMALL = {
    "env": "AgentGym/TicTacToe-v0",
    "encoder": "mlp",
    "hidden_sizes": (32,),
    "num_envs": 8,
    "simulations": 8,
    "num_steps": 4,
    "batch_size": 32,
    "replay_positions": 400,
    "match_games": 4,
    "match_selves": 1,
}


def make(**settings):
    config = AlphaZeroConfig(**{**SMALL, **settings})
    agent = AlphaZero(config, make_env(config.env, config.num_envs))
    agent.begin()
    return agent


def test_the_loss_by_hand():
    """Two actions, one of them illegal in the second position; the network says (1, 0, 2) and 0.5."""

    def network(obs, state, reset):
        return torch.tensor([1.0, 0.0, 2.0]).expand(1, 2, 3), torch.full((1, 2), 0.5)

    legal = torch.tensor([[True, True, True], [True, True, False]])
    policy, target = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]), torch.tensor([1.0, -1.0])
    batch = {"obs": torch.zeros(2, 2, 3, 3), "legal": legal, "policy": policy, "target": target}
    loss, stats = alphazero_loss(network, batch, value_coef=2.0)
    total = math.e + 1 + math.e**2
    first = -(0.2 * math.log(math.e / total) + 0.3 * math.log(1 / total) + 0.5 * math.log(math.e**2 / total))
    second = -math.log(math.e / (math.e + 1))
    assert stats["policy_loss"].item() == pytest.approx((first + second) / 2)
    assert stats["value_loss"].item() == pytest.approx((0.25 + 2.25) / 2)
    assert loss.item() == pytest.approx((first + second) / 2 + 2.0 * 1.25)


def test_positions_get_the_result_for_whom_is_to_move():
    """Three games of random lengths in each column, replayed by hand beside the buffer."""
    game = tictactoe.make()
    positions, generator = Positions(game, 1000, 5, CPU), torch.Generator().manual_seed(0)
    state = game.initial(5, CPU)
    stories, wanted = [[] for _ in range(5)], {}
    for row in range(30):
        legal = game.mask(state)
        positions.add(
            obs=game.observe(state), legal=legal, policy=legal.float(), searched=torch.zeros(5), turn=state[TURN]
        )
        for b in range(5):
            stories[b].append((row, state[TURN, b].item()))
        action = legal.float().multinomial(1, generator=generator).squeeze(1)
        state = game.play(state, action)
        ended, first = over(state), outcome(state)[0]
        positions.finish(ended, first, state[2])
        for b in ended.nonzero().flatten().tolist():
            for place, turn in stories[b]:
                wanted[place, b] = first[b].item() * (1 - 2 * turn)
            stories[b] = []
        state = torch.where(ended, game.initial(1, CPU), state)
    known = positions.fields["known"]
    assert {tuple(place) for place in known.nonzero().tolist()} == set(wanted)
    assert all(positions.fields["result"][place].item() == result for place, result in wanted.items())
    assert positions.finished == len(wanted)


def test_overwritten_positions_are_forgotten():
    game = tictactoe.make()
    positions = Positions(game, 1, 3, CPU)  # as few rows as a game can need
    assert positions.rows == game.max_moves + 1
    state = game.initial(3, CPU)
    for _ in range(25):
        legal = game.mask(state)
        positions.add(
            obs=game.observe(state), legal=legal, policy=legal.float(), searched=torch.zeros(3), turn=state[TURN]
        )
        state = game.play(state, legal.int().argmax(1))
        ended = over(state)
        positions.finish(ended, outcome(state)[0], state[2])
        state = torch.where(ended, game.initial(1, CPU), state)
    known = positions.fields["known"].sum().item()
    assert 0 < known <= positions.rows * 3 < positions.finished


def test_a_batch_shows_positions_from_all_sides_with_their_policy():
    """Connect Four with one disc in column 2: half of the batch sees it, and the policy, in column 6."""
    game = connect_four.make()
    state, positions = follow(game, [1]), Positions(connect_four.make(), 100, 1, CPU)
    policy = torch.tensor([[0.7, 0.2, 0.1, 0, 0, 0, 0]])
    positions.add(
        obs=game.observe(state), legal=game.mask(state), policy=policy, searched=torch.ones(1), turn=state[TURN]
    )
    positions.finish(torch.tensor([True]), torch.tensor([1.0]), torch.tensor([1]))
    (batch,) = positions.batches(1, 200, torch.Generator().manual_seed(0))
    column = batch["obs"][:, 1, 5].int().argmax(1)
    assert set(column.tolist()) == {1, 5} and 60 < (column == 1).sum() < 140
    mirrored = column == 5
    torch.testing.assert_close(batch["policy"][~mirrored], policy.expand(int((~mirrored).sum()), -1), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        batch["policy"][mirrored], policy.flip(1).expand(int(mirrored.sum()), -1), atol=1e-3, rtol=0
    )
    assert (batch["result"] == -1).all()  # the second player was to move, and lost


def hopeless(value, action=0):
    best = torch.full((len(value),), action)
    values = value.unsqueeze(1).expand(-1, 3)
    return Found(values, values, values, value, values, best)


def test_giving_up_is_checked_before_it_is_trusted():
    resignation = Resignation(0.8, 100, torch.Generator().manual_seed(0))
    turn, bad = torch.zeros(100, dtype=torch.int64), torch.full((100,), -0.9)
    ended, lost, won = torch.ones(100, dtype=torch.bool), torch.full((100,), -1.0), torch.full((100,), 1.0)
    assert not resignation.look(hopeless(bad), turn).any()  # nothing is known yet
    resignation.finish(ended, lost)  # all that would have been given up were lost: it is right
    assert resignation.trusted and resignation.checked[0] >= FEWEST
    given_up = resignation.look(hopeless(bad), turn)
    assert 80 <= given_up.sum() < 100  # a tenth is played out all the same
    assert not resignation.look(hopeless(-bad), turn).any()
    for _ in range(3):  # those that are played out turn out to be won
        resignation.finish(ended, won)
        resignation.look(hopeless(bad), turn)
    assert not resignation.trusted
    assert resignation.scalars()["rollout/resigned_wrongly"] > 0.05


def test_without_a_threshold_nobody_gives_up():
    resignation = Resignation(0.0, 4, torch.Generator())
    assert not resignation.look(hopeless(torch.full((4,), -1.0)), torch.zeros(4, dtype=torch.int64)).any()


def test_each_position_is_learned_from_as_often_as_asked():
    agent = make(passes=2.0)
    for _ in range(12):
        agent.collect()
        agent.update()
    assert agent.steps == 12 * 4 * 8
    assert agent.updates == int(agent.positions.finished * 2.0 / 32)


@pytest.mark.parametrize("settings", [{}, {"root": "gumbel", "gumbel_actions": 4}, {"resign": 0.9}], ids=str)
def test_a_saved_agent_goes_on_with_the_same_bits(settings):
    agent = make(**settings)
    for _ in range(5):
        agent.collect()
        agent.update()
    agent.assess()
    state = torch.load(saved(agent.state_dict()), weights_only=True)
    torch.manual_seed(99)  # other first weights
    other = make(**settings)
    other.load_state_dict(state)
    for one in (agent, other):
        for _ in range(5):
            one.collect()
            one.update()
    assert agent.assess() == other.assess()
    for mine, theirs in zip(agent.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def test_it_acts_from_observations_and_keeps_to_the_mask():
    agent = make()
    env = make_env("AgentGym/TicTacToe-v0", 6)
    obs, nothing, reset = env.reset(0), torch.zeros(6, 0), torch.ones(6, dtype=torch.bool)
    for _ in range(6):
        action, _, _ = agent.policy.act(obs, nothing, reset, env.mask)
        assert env.mask.gather(1, action.unsqueeze(1)).all()
        seen = agent.policy.inspect(obs, nothing, reset, env.mask)
        torch.testing.assert_close(seen["probs"].sum(1), torch.ones(6))
        chosen = seen["probs"].gather(1, action.unsqueeze(1)).squeeze(1)
        assert (seen["value"].abs() <= 1).all() and torch.equal(chosen, seen["probs"].amax(1))
        obs = env.step(action).obs


def test_training_makes_it_stronger_than_random_play():
    agent = make(num_envs=32, simulations=16, learning_rate=5e-3, match_games=30, num_steps=9)
    for _ in range(8):
        agent.collect()
        agent.update()
    _, scalars = agent.assess()
    assert scalars["eval/score_random"] > 0.85 and scalars["eval/elo"] > 200


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"env": "CartPole-v1"}, "alphazero plays two-player games of perfect information"),
        ({"match_opponents": ("oracle",)}, "unknown opponent 'oracle'"),
        ({"encoder": "lstm"}, "--encoder lstm: alphazero looks at positions one by one"),
        ({"simulations": 0}, "--simulations 0"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_line(settings, line):
    with pytest.raises(UserError) as caught:
        make(**settings)
    assert line in str(caught.value) and "\n" not in str(caught.value)
