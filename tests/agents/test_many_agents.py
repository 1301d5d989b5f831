"""Many agents: decisions between waits, networks by groups, a central value, what is learned, and exact resume."""

import json

import pytest
import torch

from agent_gym.agents.buffers.rollout import Rollout
from agent_gym.agents.buffers.turns import decisions
from agent_gym.agents.dqn import DQN
from agent_gym.agents.ppo import PPO
from agent_gym.agents.settings.dqn import DQNConfig
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.commands.playing.evaluate import main as evaluate
from agent_gym.commands.train import main as train
from agent_gym.composing.saved import open_saved
from agent_gym.envs.make import make_env, make_single
from agent_gym.envs.vector import GROUP, part_of
from agent_gym.ground.errors import UserError
from agent_gym.nets.distributions import DiagGaussian
from agent_gym.storage.checkpoint import load_checkpoint
from agent_gym.training.evaluation import play

TINY = {"buffer_size": 60, "batch_size": 8, "hidden_sizes": (4,), "learning_starts": 0, "utd": 1e-9}
SMALL = {"num_envs": 4, "num_steps": 16, "num_epochs": 2, "hidden_sizes": (16,), "env": "zoo:Signals"}


def make(**settings):
    config = PPOConfig(**{**SMALL, **settings})
    kwargs = config.make_kwargs(False)
    agent = PPO(config, make_env(config.env, config.num_envs, env_kwargs=kwargs, training=True))
    agent.begin()
    return agent


def test_decisions_by_hand():
    """Row 0 acts at 0, 2 and 3; row 1 at 1 and 4, its episode ends at 2 and another, without it, at 3."""
    acts = torch.tensor([[1, 0], [0, 1], [1, 0], [1, 0], [0, 1]]).bool()
    time = torch.arange(5.0)
    fields = {
        "acts": acts,
        "reward": torch.stack((10.0**time, 10.0**time), 1),
        "terminated": torch.tensor([[0, 0], [0, 0], [0, 1], [0, 1], [0, 0]]).bool(),
        "truncated": torch.tensor([[0, 0], [1, 0], [0, 0], [0, 0], [0, 0]]).bool(),
        "final_value": torch.stack((time, time), 1),
        "obs": torch.stack((time, 10.0 + time), 1),
    }
    now = torch.tensor([True, False])
    found = decisions(fields, now, {"obs": torch.tensor([5.0, 15.0])})
    assert found["obs"].tolist() == [[0.0, 11.0], [2.0, 14.0], [3.0, 15.0]]
    assert found["reward"].tolist() == [[11.0, 110.0], [100.0, 10000.0], [11000.0, 0.0]]
    assert found["terminated"].tolist() == [[False, True], [False, False], [False, False]]
    assert found["truncated"].tolist() == [[True, False], [False, False], [False, False]]
    assert found["final_value"][0, 0] == 1.0
    assert found["valid"].tolist() == [[True, True], [True, False], [True, False]]  # row 1 waits for its outcome


def test_a_buffer_gets_decisions_with_what_followed():
    """Relay by hand: agent i decides at 0 to i, is paid 10 i + t and ends at i + 1; then the next episode begins."""
    config = DQNConfig(env="zoo:Relay", num_envs=1, n_step=1, **TINY)
    agent = DQN(config, make_env("zoo:Relay", 1))
    agent.begin()
    for _ in range(7):
        agent.collect()
        agent.collected = 0
    replay, found = agent.replay, {0: [], 1: [], 2: []}
    for slot in (replay.place >= 0).nonzero().flatten():
        if slot >= replay.added * 3:
            continue
        batch = {name: part[0, 0] for name, part in replay.transitions(slot.unsqueeze(0)).items()}
        found[int(slot) % 3].append(
            tuple(round(float(batch[name]), 2) for name in ("obs", "reward", "next_obs", "discount"))
        )
    assert found[0] == [(0.0, 1.0, 1.0, 0.0)] * 2
    assert found[1] == [(0.0, 11.0, 1.0, 0.99), (1.0, 12.0, 2.0, 0.0)] * 2 + [(0.0, 11.0, 1.0, 0.99)]
    once = [(0.0, 21.0, 1.0, 0.99), (1.0, 22.0, 2.0, 0.99), (2.0, 23.0, 3.0, 0.0)]
    assert found[2] == [*once, *once, once[0]]
    assert agent.steps == 7


def test_in_turns_the_next_observation_is_that_of_the_next_decision():
    config = DQNConfig(env="zoo:Count", num_envs=1, n_step=1, **TINY)
    agent = DQN(config, make_env("zoo:Count", 1))
    agent.begin()
    agent.explore = lambda: (torch.tensor([0, 0]), torch.tensor([0, 0]), agent.state)  # 1, 2, 3, 4, 5: the first wins
    for _ in range(12):
        agent.collect()
        agent.collected = 0
    slots = ((agent.replay.place >= 0) & (torch.arange(len(agent.replay.place)) < 2 * agent.replay.added)).nonzero()
    batch = agent.replay.transitions(slots.flatten())
    rows = zip(*(batch[name].flatten().tolist() for name in ("obs", "reward", "next_obs", "discount")), strict=True)
    by_row = {0: [], 1: []}
    for slot, numbers in zip(slots.flatten().tolist(), rows, strict=True):
        by_row[slot % 2].append(tuple(round(number, 2) for number in numbers))
    assert by_row[0][:3] == [(0.0, 0.0, 2.0, 0.99), (2.0, 0.0, 4.0, 0.99), (4.0, 1.0, 5.0, 0.0)]
    assert by_row[1][:2] == [(1.0, 0.0, 3.0, 0.99), (3.0, -1.0, 5.0, 0.0)]


@pytest.mark.parametrize("kwargs", [{"told": True}, {"digits": [3, 2]}], ids=["masks", "groups"])
def test_dqn_learns_signals(kwargs):
    flags = {"env": "zoo:Signals", "num_envs": 8, "learning_starts": 64, "buffer_size": 4000, "hidden_sizes": (16,)}
    flags |= {"total_steps": 1500, "learning_rate": 1e-2, "batch_size": 64, "gamma": 0.5, "exploration_fraction": 0.5}
    agent = DQN(DQNConfig(**flags), make_env("zoo:Signals", 8, env_kwargs=kwargs))
    agent.begin()
    while agent.steps < 1500:
        agent.collect()
        agent.update()
    assert play(agent.policy, agent.env, 20, seed=1).returns.mean() > 7.5


def test_where_all_act_always_nothing_changes():
    generator = torch.Generator().manual_seed(0)
    fields = {name: torch.rand(6, 3, generator=generator) for name in ("reward", "final_value", "obs")}
    fields |= {name: torch.rand(6, 3, generator=generator) < 0.3 for name in ("terminated", "truncated")}
    ends = fields["terminated"] | fields["truncated"]
    acts = torch.ones(6, 3, dtype=torch.bool)
    found = decisions(fields | {"acts": acts}, acts[0], {"obs": torch.zeros(3)})
    for name in ("reward", "obs", "terminated", "truncated"):
        assert torch.equal(found[name], fields[name])
    assert torch.equal(found["final_value"][ends], fields["final_value"][ends]) and found["valid"].all()


@torch.no_grad()
def compare_groups(agent):
    """The whole is what each group's network says of its rows alone."""
    network, obs = agent.network, {key: part.unsqueeze(0) for key, part in agent.obs.items()}
    state, reset = agent.state, torch.zeros(1, 8, dtype=torch.bool)
    distribution, value, after = network(obs, state, reset)
    assert obs[GROUP].tolist() == [[0, 1] * 4]
    for g, part in enumerate(network.parts):
        alone = part(obs[part_of(g)][:, g::2], state[g::2], reset[:, g::2])
        torch.testing.assert_close(distribution.logits[:, g::2], alone[0].logits)
        torch.testing.assert_close(value[:, g::2], alone[1])
        torch.testing.assert_close(after[g::2], alone[2])


@pytest.mark.parametrize("encoder", ["mlp", "gru"])
def test_a_group_sees_its_own_network(encoder):
    agent = make(env_kwargs='{"digits": [3, 2]}', encoder=encoder, recurrent_size=8)
    compare_groups(agent)
    rounds(agent, 2)
    compare_groups(agent)


def test_groups_of_continuous_actions():
    agent = make(env="mpe2:simple_tag_v3", env_kwargs='{"continuous_actions": true}', num_envs=2)
    agent.policy.network.parts[1].head.log_std.data.fill_(-1.0)
    distribution, *_ = agent.policy(agent.obs, agent.state, agent.reset)
    assert isinstance(distribution, DiagGaussian)
    assert distribution.log_std[0, :, 0].tolist() == [0.0, 0.0, 0.0, -1.0] * 2
    rounds(agent, 1)


def rounds(agent, count):
    for _ in range(count):
        agent.collect()
        stats = agent.update()
    return stats


def test_the_first_update_sees_the_policy_that_acted():
    """All rows wait now and then; the stored log-probabilities are those of the decisions."""
    for settings in ({"env": "zoo:Count"}, {"env": "zoo:Relay"}, {"env": "zoo:Count", "encoder": "lstm"}):
        agent = make(**settings, learning_rate=1e-12)
        stats = rounds(agent, 2)
        assert abs(stats["approx_kl"].item()) < 1e-6


def test_only_the_critic_sees_the_global_state():
    agent = make(central_value=True)
    obs = {key: part.clone() for key, part in agent.obs.items()}
    distribution, value, _ = agent.policy(obs, agent.state, agent.reset)
    obs["agents:state"] += 1.0
    other, elsewhere, _ = agent.policy(obs, agent.state, agent.reset)
    assert torch.equal(distribution.logits, other.logits) and not torch.allclose(value, elsewhere)


@pytest.mark.parametrize(
    "settings",
    [{}, {"central_value": True}, {"env_kwargs": '{"digits": [3, 2]}'}, {"env_kwargs": '{"told": true}'}],
    ids=["shared", "central", "groups", "masks"],
)
def test_signals_are_learned(settings):
    """Every digit named is 4 for each of two agents; chance is about 3 together."""
    agent = make(**settings, num_envs=16, learning_rate=1e-2, gamma=0.0)
    rounds(agent, 25)
    score = play(agent.policy, agent.env, 20, seed=1)
    assert score.returns.mean() > 7.5 and set(score.by_agent) == {"left", "right"}
    assert score.lengths.tolist() == [4] * 20


def test_turns_are_learned():
    """From 0 the first player wins by 2 and then by leaving 1 or 2; against a random one it wins nearly always."""
    agent = make(env="zoo:Count", num_envs=16, learning_rate=1e-2, entropy_coef=0.01)
    rounds(agent, 40)
    env = make_env("zoo:Count", 20, env_kwargs={"opponent": "random", "side": "first"})
    assert play(agent.policy, env, 100, seed=1).returns.mean() > 0.7


FLAGS = ["--total-steps", "256", "--num-envs", "4", "--num-steps", "16", "--num-epochs", "2", "--hidden-sizes", "8"]
FLAGS += ["--eval-episodes", "4", "--eval-every", "never", "--quiet", "--schedule", "constant", "--seed", "3"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--env", "zoo:Count", "--encoder", "gru", "--recurrent-size", "4"],
        ["--env", "zoo:Signals", "--central-value", "--env-kwargs", '{"digits": [3, 2], "told": true}'],
        ["--env", "zoo:Relay", "--normalize-obs"],
    ],
    ids=["turns", "groups", "deaths"],
)
def test_a_resumed_run_is_the_same_to_the_last_bit(flags, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(["ppo", *flags, *FLAGS, "--run-dir", str(whole)]) == 0
    half = [*FLAGS]
    half[1] = "128"
    assert train(["ppo", *flags, *half, "--run-dir", str(parts)]) == 0
    assert train(["--resume", str(parts), "--total-steps", "256"]) == 0
    one, other = (load_checkpoint(path / "checkpoints" / "last.pt")["agent"] for path in (whole, parts))
    assert one["steps"] == other["steps"] == 256
    for name, part in one["model"].items():
        assert torch.equal(part, other["model"][name]), name
    for name in ("obs", "reset", "env"):
        assert same(one[name], other[name]), name


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("env", ["zoo:Count", "zoo:Relay"])
def test_a_resumed_dqn_is_the_same_to_the_last_bit(env, tmp_path):
    flags = ["dqn", "--env", env, "--num-envs", "2", "--hidden-sizes", "8", "--eval-every", "never", "--quiet"]
    flags += ["--learning-starts", "50", "--buffer-size", "80", "--batch-size", "8", "--eval-episodes", "2"]
    flags += ["--exploration-fraction", "0"]  # a schedule would take another course to another end
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train([*flags, "--total-steps", "200", "--run-dir", str(whole)]) == 0
    assert train([*flags, "--total-steps", "100", "--run-dir", str(parts)]) == 0
    assert train(["--resume", str(parts), "--total-steps", "200"]) == 0
    one, other = (load_checkpoint(path / "checkpoints" / "last.pt")["agent"] for path in (whole, parts))
    for name in ("model", "obs", "waiting", "env"):
        assert same(one[name], other[name]), name


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "count"
    extra = ["--eval-kwargs", '{"opponent": "random"}']
    assert train(["ppo", "--env", "zoo:Count", *FLAGS, *extra, "--run-dir", str(path)]) == 0
    return path


def test_a_run_is_scored_by_agent_and_team(tmp_path, capsys):
    assert train(["ppo", "--env", "zoo:Relay", *FLAGS, "--run-dir", str(tmp_path / "x")]) == 0
    capsys.readouterr()
    assert evaluate([str(tmp_path / "x"), "--episodes", "6", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["return_mean"] == 90.0 and found["length_mean"] == 3.0
    assert [found["agents"][name]["return_mean"] for name in "abc"] == [1.0, 23.0, 66.0]


def test_scores_are_played_where_the_settings_say(run, capsys):
    """Alone against random play, where the sum of both agents would always be 0."""
    result = json.loads((run / "result.json").read_text())
    assert "agents" not in result and result["return_std"] > 0
    saved = open_saved(run)
    action, *_ = saved.policy.act(torch.zeros(1, 1), saved.policy.initial_state(1), torch.ones(1, dtype=torch.bool))
    assert action.shape == (1,)


def test_a_run_plays_in_every_seat_against_others(run, capsys):
    assert evaluate([str(run), "--against", "random", "--episodes", "9", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["wins"] + found["draws"] + found["losses"] == found["episodes"] == 9
    assert {name: own["episodes"] for name, own in found["agents"].items()} == {"first": 5, "second": 4}
    assert found["return_mean"] == pytest.approx((found["wins"] - found["losses"]) / 9)
    assert evaluate([str(run), "--against", "nobody"]) == 2
    assert "unknown opponent 'nobody'" in capsys.readouterr().err


def test_a_run_sits_in_the_other_seats(run):
    """It takes its most likely action: two games from one seed are the same game."""
    games = []
    for _ in range(2):
        env = make_single("zoo:Count", {"opponent": str(run), "side": "first"})
        obs, ended, seen = env.reset(seed=1)[0], False, []
        while not ended:
            obs, reward, ended, *_ = env.step(0)
            seen += [obs.item(), reward]
        games.append(seen)
    assert games[0] == games[1]
    with pytest.raises(UserError, match="was trained with observations"):
        env = make_single("zoo:Signals", {"opponent": str(run)})
        env.reset(seed=0)
        env.step(0)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (
            ["sac", "--env", "mpe2:simple_spread_v3", "--learning-starts", "9"],
            "sac learns one agent and mpe2:simple_spread_v3",
        ),
        (["ppo", "--env", "CartPole-v1", "--central-value"], "--central-value is for environments of many agents"),
        (["alphazero", "--env", "zoo:Count"], "alphazero plays two-player games of perfect information"),
        (["ppo", "--env", "zoo:Signals", "--eval-kwargs", "[1]"], "--eval-kwargs '[1]' is not a JSON object"),
        (["ppo", "--env", "zoo:Count", "--self-play"], "--self-play is for two-player games whose rules are known"),
    ],
)
def test_mistakes_are_told_in_one_line(argv, words, tmp_path, capsys):
    assert train([*argv, "--total-steps", "64", "--run-dir", str(tmp_path / "x"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not (tmp_path / "x").exists()


def test_a_rollout_keeps_who_acted():
    agent = make(env="zoo:Count")
    agent.collect()
    assert isinstance(agent.rollout, Rollout) and agent.rollout["acts"].float().mean() == 0.5
    assert agent.steps == 4 * 16  # of environments, not of agents
