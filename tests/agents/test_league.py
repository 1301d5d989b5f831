"""PPO against itself: masks, opponents, resume, and what it learns."""

import io

import pytest
import torch

from agent_gym.agents.ppo import PPO
from agent_gym.agents.self_play.league import CURRENT
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.envs.games.match import play_match
from agent_gym.envs.games.players import make_player
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError
from agent_gym.nets.distributions import Categorical, DiagGaussian

SMALL = {
    "env": "AgentGym/TicTacToe-v0",
    "encoder": "mlp",
    "num_envs": 16,
    "num_steps": 8,
    "num_epochs": 2,
    "self_play": True,
    "self_play_every": 2,
    "self_play_pool": 3,
    "learning_rate": 3e-3,
}


def make(**settings):
    config = PPOConfig(**{**SMALL, **settings})
    agent = PPO(config, make_env(config.env, config.num_envs))
    agent.begin()
    return agent


def rounds(agent, count):
    for _ in range(count):
        agent.collect()
        agent.update()


def test_a_masked_distribution_is_the_rest_renormalised():
    logits = torch.tensor([0.5, -1.0, 2.0, 0.0])
    mask = torch.tensor([True, False, True, True])
    masked, rest = Categorical(logits).masked(mask), torch.distributions.Categorical(logits=logits[mask])
    torch.testing.assert_close(masked.probs[mask], rest.probs)
    assert masked.probs[1] == 0.0
    torch.testing.assert_close(masked.entropy(), rest.entropy())
    torch.testing.assert_close(masked.log_prob(torch.tensor(2)), rest.log_prob(torch.tensor(1)))
    draws = Categorical(logits.expand(500, -1)).masked(mask).sample(torch.Generator().manual_seed(0))
    assert set(draws.tolist()) == {0, 2, 3}
    with pytest.raises(TypeError, match="a mask is for discrete actions"):
        DiagGaussian(torch.zeros(2), torch.zeros(2)).masked(mask)


@pytest.mark.parametrize(
    "settings", [{}, {"self_play": False}, {"encoder": "cnn"}, {"self_play": False, "encoder": "gru"}]
)
def test_only_legal_moves_are_played(settings):
    agent = make(**settings)
    for _ in range(3):
        agent.collect()
        rollout = agent.rollout
        assert rollout["mask"].gather(2, rollout["action"].unsqueeze(2)).all()
        stats = agent.update()
        assert stats["approx_kl"].abs() < 1.0


def test_the_ratio_is_one_before_the_first_step_with_masks():
    agent = make(num_epochs=1, num_minibatches=1)
    agent.collect()
    assert agent.update()["approx_kl"].abs() < 1e-6


def test_earlier_selves_are_kept_and_drawn():
    agent = make(self_play_ratio=0.5, num_envs=400, num_steps=2)
    env = agent.env
    rounds(agent, 4)  # copies of the updates 0, 2 and 4
    agent.begin()
    drawn = env.state[-1]
    assert 140 < (drawn == CURRENT).sum() < 260
    assert {0, 1, 2} < set(drawn.tolist()) | {3}
    rounds(agent, 2)  # the next takes the place of the oldest
    now, (first, *_) = agent.policy.state_dict(), env.selves
    assert all(torch.equal(first[name], now[name]) for name in now)


@pytest.mark.parametrize(("ratio", "wanted"), [(0.0, {CURRENT}), (1.0, {0})])
def test_the_ratio_decides_whom_it_meets(ratio, wanted):
    assert set(make(self_play_ratio=ratio).env.state[-1].tolist()) == wanted


def test_rewards_are_those_of_both_sides():
    """Among equals nobody wins more than the first player's advantage allows, from either seat."""
    agent = make(num_envs=200, num_steps=30)
    agent.collect()
    reward, ended = agent.rollout["reward"], agent.rollout["terminated"]
    assert set(reward[ended].tolist()) == {-1.0, 0.0, 1.0} and not reward[~ended].any()
    assert abs(reward[ended].mean().item()) < 0.1


def test_a_saved_agent_goes_on_with_the_same_bits():
    agent = make()
    rounds(agent, 5)
    file = io.BytesIO()
    torch.save(agent.state_dict(), file)
    file.seek(0)
    torch.manual_seed(99)  # other first weights
    other = make()
    other.load_state_dict(torch.load(file, weights_only=True))
    for one in (agent, other):
        rounds(one, 5)
    for mine, theirs in zip(agent.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_playing_itself_makes_it_stronger():
    agent = make(num_envs=64, num_steps=32, num_epochs=4, entropy_coef=0.02)
    rounds(agent, 15)
    game = agent.env.game

    def player(state, generator):
        nothing, reset = torch.zeros(state.shape[1], 0), torch.ones(state.shape[1], dtype=torch.bool)
        return agent.policy.act(game.observe(state), nothing, reset, game.mask(state))[0]

    match = play_match(game, player, make_player(game, "random"), 200, torch.Generator().manual_seed(0))
    assert match.score > 0.62


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"env": "CartPole-v1"}, "--self-play is for two-player games whose rules are known"),
        ({"encoder": "lstm"}, "--self-play needs a policy without memory"),
        ({"self_play_ratio": 1.5}, "--self-play-ratio 1.5: expected 0 to 1"),
        ({"self_play_pool": 0}, "--self-play-pool 0"),
    ],
)
def test_what_cannot_be_is_refused(settings, line):
    with pytest.raises(UserError) as caught:
        make(**settings)
    assert line in str(caught.value)
