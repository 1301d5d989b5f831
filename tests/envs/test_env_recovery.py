"""`--on-env-error restart`: one environment is replaced, the others notice nothing, learning takes in no rubbish."""

from __future__ import annotations

import os
import signal
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from counting import TERMINATE, Count, Truth

from agent_gym.agents.buffers.replay import Replay
from agent_gym.agents.buffers.returns import EpisodeStats, gae
from agent_gym.agents.ppo import PPO
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.envs.adapters.arrays import env_seeds
from agent_gym.envs.adapters.envpool_env import EnvPoolEnv
from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.adapters.workers import WorkerEnv
from agent_gym.envs.failures import MOST, ErrorLog, Recovery
from agent_gym.envs.make import make_single
from agent_gym.envs.vector import EnvFailure
from agent_gym.training.evaluation import play

B, CULPRIT = 4, 2
GO_ON = torch.zeros(B, dtype=torch.int64)


class Fragile(Count):
    """Fails as `how` says in its third step, or in the reset after it, if it was made with `bad_seed`."""

    def __init__(self, how: str, bad_seed: int | None = None):
        super().__init__()
        self.how, self.bad_seed = how, bad_seed

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.bad = self.bad_seed in (None, seed)
        if self.bad and (self.how == "first reset" or (self.how == "later reset" and seed is None)):
            raise OSError("no display")
        return super().reset(seed=seed)

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        if self.bad and self.t == 3:
            if self.how == "raises":
                raise ZeroDivisionError("the motor broke")
            if self.how == "exits":
                raise SystemExit(1)
            if self.how == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            obs = {"nan": obs * np.nan, "outside": obs - 50000, "shape": obs[:1], "dtype": obs.astype("U")}.get(
                self.how, obs
            )
            reward = np.inf if self.how == "reward" else reward
        return obs, reward, terminated, truncated, info


def fragile(kind: str, how: str, bad_seed: int | None = env_seeds(0, B)[CULPRIT]):
    make = partial(Fragile, how, bad_seed)
    if kind == "sync":
        env = SyncEnv([make() for _ in range(B)], "Fragile-v0", make=make)
    elif kind == "workers":
        env = WorkerEnv(make, B, "Fragile-v0", num_workers=2)
    else:
        # Its environments are seeded with s, s + 1, …; the culprit is the one whose first seed was bad_seed.
        make_vector = partial(gymnasium.vector.SyncVectorEnv, [make] * B, autoreset_mode=kind)
        env = VectorAdapter(make_vector(), "Fragile-v0", make=make_vector)
    told: list[EnvFailure] = []
    env.recovery = Recovery("Fragile-v0", restart=True, report=told.append)
    return env, told


def check_replaced(step, truth: Truth, lost: list[int], last: torch.Tensor) -> None:
    """The contract of a failed step in the environments `lost`; all others have made an ordinary one."""
    truth.where[:, 1] += 1
    truth.where[lost] = 0
    others = [b for b in range(B) if b not in lost]
    assert step.valid.tolist() == step.truncated.logical_not().tolist() == [b in others for b in range(B)]
    assert not step.terminated.any() and (step.reward[lost] == 0).all()
    assert torch.equal(step.obs, truth.where)
    assert torch.equal(step.final_obs[lost], last[lost])
    assert torch.equal(step.final_obs[others], truth.where[others])
    assert torch.equal(step.reward[others], truth.where[others, 1])


@pytest.mark.parametrize("kind", ["sync", "workers", "SameStep", "NextStep", "Disabled"])
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("raises", "ZeroDivisionError: the motor broke"),
        ("exits", "SystemExit: 1"),
        ("nan", "NaN or infinity in the observation"),
        ("reward", "NaN or infinity in the reward"),
        ("outside", "returned -50000 in the observation (entry 0), outside its space's 0 to 1000"),
        ("shape", "shape (1,), its space says (2,)"),
        ("dtype", "has dtype <U"),
    ],
)
def test_only_what_failed_is_replaced(kind, how, says):
    env, told = fragile(kind, how)
    truth = Truth(B)
    obs = env.reset(0)
    assert torch.equal(obs, truth.where)
    for _ in range(2):
        step = env.step(GO_ON)
        truth.where[:, 1] += 1
        assert torch.equal(step.obs, truth.where) and step.valid.all()
    whole = kind not in ("sync", "workers")
    check_replaced(env.step(GO_ON), truth, list(range(B)) if whole else [CULPRIT], step.obs)
    for _ in range(4):
        step = env.step(GO_ON)
        truth.where[:, 1] += 1
        assert torch.equal(step.obs, truth.where) and step.valid.all() and not step.truncated.any()
    assert env.recovery.restarts == (B if whole else 1) and len(told) == 1
    if not (whole and how in ("shape", "dtype")):  # of which Gymnasium's vector environments speak in their own words
        assert says in str(told[0])
    assert told[0].step == 3
    assert told[0].index == (CULPRIT if not whole or how in ("nan", "reward", "outside") else None)
    assert ("Traceback" in told[0].traceback) == (how in ("raises", "exits", "shape", "dtype"))
    env.close()


def test_a_dead_worker_is_replaced_with_all_its_environments():
    env, told = fragile("workers", "dies")
    truth = Truth(B)
    env.reset(0)
    for _ in range(2):
        step = env.step(GO_ON)
        truth.where[:, 1] += 1
    dead = env.processes[1]
    check_replaced(env.step(GO_ON), truth, [2, 3], step.obs)
    assert dead.exitcode == -signal.SIGKILL and env.processes[1].is_alive()
    assert told[0].index == CULPRIT and "worker process died (exit code -9)" in str(told[0])
    assert env.recovery.restarts == 2
    truth.check(env.step(GO_ON)._replace(valid=None), GO_ON)
    os.kill(env.processes[0].pid, signal.SIGKILL)  # between two steps, as a system short of memory does
    env.processes[0].join()
    check_replaced(env.step(GO_ON), truth, [0, 1], truth.where.clone())
    truth.check(env.step(GO_ON)._replace(valid=None), GO_ON)
    env.close()


@pytest.mark.parametrize("kind", ["sync", "workers"])
def test_a_failed_reset_does_not_spoil_the_step_before(kind):
    env, told = fragile(kind, "later reset")
    env.reset(0)
    env.step(GO_ON)
    step = env.step(torch.full((B,), TERMINATE))
    assert step.valid.all() and step.terminated.all() and not step.truncated.any()
    assert (step.reward == 2).all() and (step.final_obs == torch.tensor([0.0, 2.0])).all()
    # All others are in their second episode, the new environment is in its first.
    assert step.obs.tolist() == [[0.0 if b == CULPRIT else 1.0, 0.0] for b in range(B)]
    assert "in reset(): OSError: no display" in str(told[0]) and env.recovery.restarts == 1
    env.close()


@pytest.mark.parametrize("kind", ["sync", "workers", "SameStep"])
def test_a_failed_first_reset(kind):
    env, told = fragile(kind, "first reset")
    assert torch.equal(env.reset(0), torch.zeros(B, 2))
    assert "failed at reset: OSError: no display" in str(told[0]) and len(told) == 1
    assert env.step(GO_ON).valid.all()
    env.close()


@pytest.mark.parametrize("kind", ["sync", "workers", "SameStep"])
@pytest.mark.parametrize("how", ["first reset", "every step"])
def test_hopeless_environments_stop_the_run(kind, how):
    env, told = fragile(kind, how, bad_seed=None)
    if how == "first reset":
        with pytest.raises(EnvFailure, match=f"{MOST} times in a row without a completed step.*OSError: no display"):
            env.reset(0)
        assert len(told) == (MOST if kind == "SameStep" else (MOST - 1) * B + 1)
    else:
        env.reset(0)
        env._step = partial(broken_step, env, env._step)
        with pytest.raises(EnvFailure, match=f"{MOST} times in a row.*NaN"):
            for _ in range(MOST + 1):
                env.step(GO_ON)
        assert len(told) == MOST
    env.close()


def broken_step(env, step, action):
    """A step after which one environment has returned NaN."""
    batch, troubles = step(action)
    batch.obs[0][CULPRIT] = np.nan
    return batch, troubles


def test_a_pool_begins_anew_as_a_whole():
    env = EnvPoolEnv(make_single("CartPole-v1"), B, {})
    env.recovery = Recovery("CartPole-v1", restart=True)
    env.reset(0)
    last, step_all = env.step(GO_ON), env._step
    env._step = partial(broken_step, env, step_all)
    step = env.step(GO_ON)
    assert not step.valid.any() and step.truncated.all() and torch.equal(step.final_obs, last.obs)
    assert (step.obs.abs() <= 0.05).all() and len(step.obs.unique(dim=0)) == B and env.recovery.restarts == B
    env._step = step_all
    assert env.step(GO_ON).valid.all()
    env.close()


def test_replacements_are_seeded_by_the_run_and_their_number():
    first, again, other = (Recovery("x", restart=True) for _ in range(3))
    other.seed = 1
    assert first.new_seeds(2) + first.new_seeds(1) == again.new_seeds(3) != other.new_seeds(3)
    assert len(set(again.new_seeds(100))) == 100 and again.restarts == 103
    again.restarts = 0  # as a resumed run sets it
    assert again.new_seeds(3) == first.new_seeds(0) + Recovery("x").new_seeds(3)


def test_advantages_bootstrap_from_the_last_good_observation():
    # Gamma and lambda are 0.5. The third action led nowhere: what stands before it ends with the value 1.5 of the
    # observation in which it was tried, whatever stands in the failed row; what comes after is another episode.
    column = lambda *values: torch.tensor(values).unsqueeze(1)  # noqa: E731
    advantage, _ = gae(
        reward=column(1.0, 2.0, 0.0, 4.0),
        value=column(0.5, 1.0, 1.5, 2.0),
        terminated=column(False, False, False, False),
        truncated=column(False, False, True, False),
        final_value=column(9.0, 9.0, 7.0, 9.0),
        last_value=torch.tensor([6.0]),
        gamma=0.5,
        gae_lambda=0.5,
        valid=column(True, True, False, True),
    )
    delta = [1 + 0.5 * 1.0 - 0.5, 2 + 0.5 * 1.5 - 1.0, 0.0, 4 + 0.5 * 6.0 - 2.0]
    torch.testing.assert_close(advantage, column(delta[0] + 0.25 * delta[1], delta[1], 0.0, delta[3]))


def test_a_broken_episode_is_not_counted():
    stats, one = EpisodeStats(1, "cpu"), torch.ones(6, 1)
    # Two steps, a failure, then a whole episode of three.
    done = torch.tensor([0, 0, 1, 0, 0, 1]).bool().unsqueeze(1)
    valid = torch.tensor([1, 1, 0, 1, 1, 1]).bool().unsqueeze(1)
    episodes = stats.update(one * valid, done, valid)
    assert episodes.episode_return.tolist() == [3.0] and episodes.episode_length.tolist() == [3.0]


@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
def test_ppo_learns_from_the_steps_around_a_failure(encoder):
    env, _ = fragile("sync", "raises")
    config = PPOConfig(
        num_envs=B, num_steps=6, hidden_sizes=(8,), encoder=encoder, recurrent_size=4, on_env_error="restart", seed=0
    )
    agent = PPO(config, env)
    agent.env.reset = lambda seed, reset=env.reset: reset(0)  # the seed of which fragile() knows the culprit's
    agent.network.head.to_env = lambda action: action * 0  # go on, whatever the policy says
    agent.begin()
    scalars = agent.collect()
    valid = agent.rollout["valid"]
    assert (~valid).nonzero().tolist() == [[2, CULPRIT]] and agent.steps == 6 * B - 1
    assert scalars == {"rollout/env_restarts": 1.0}  # no episode has ended
    reset = agent.rollout["reset"][:, CULPRIT].tolist()
    assert reset == [True, False, False, True, False, False]
    batch = agent._targets()
    if encoder == "mlp":
        assert "valid" not in batch and batch["obs"].shape == (1, 6 * B - 1, 2)
        with torch.no_grad():
            value = agent.policy.value(
                torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), agent.state[:3], valid[0, :3]
            )
        index = (valid.cumsum(0).cumsum(1) * 0 + torch.arange(6 * B).view(6, B))[valid].tolist()
        second = batch["advantage"][0, index.index(1 * B + CULPRIT)]
        # Step 2 of the culprit had the reward 2 and led to (0, 2), where the failed action was tried.
        torch.testing.assert_close(second, 2.0 + config.gamma * value[2] - value[1])
    else:
        assert torch.equal(batch["valid"], valid)
    assert all(torch.isfinite(x).all() for x in agent.update().values())


def test_replay_leaves_the_failed_step_out():
    env, _ = fragile("sync", "raises")
    replay = Replay(100, B, env.obs_space, GO_ON, n_step=2, gamma=0.5)
    replay.begin(env.reset(0))
    for _ in range(6):
        replay.add(GO_ON, env.step(GO_ON))
    slot, _ = replay.draw(2000, torch.Generator().manual_seed(0))
    batch = replay.transitions(slot)
    env_of = slot % B
    obs, reward = batch["obs"][0], batch["reward"][0]
    assert torch.isfinite(obs).all() and len(slot[env_of == CULPRIT].unique()) == 5
    # The culprit: rewards 1, 2, failure, 1, 2, 3. Two-step sums stop before the failure.
    own = {tuple(row) for row in torch.cat((obs, reward.unsqueeze(1)), 1)[env_of == CULPRIT].tolist()}
    assert {(0.0, 0.0, 2.0), (0.0, 1.0, 2.0), (0.0, 1.0, 3.5)} <= own


def test_evaluation_plays_another_episode_for_a_broken_one():
    class Three(Fragile):
        def step(self, action):
            obs, reward, _, _, info = super().step(action)
            return obs, reward, self.t == 5, False, info

    class Still:
        device = torch.device("cpu")

        def initial_state(self, count):
            return torch.zeros(count, 0)

        def act(self, obs, state, reset, mask=None, **drawing):
            return torch.zeros(len(obs), dtype=torch.int64), state, {}

    make = partial(Three, "raises", env_seeds(0, B)[CULPRIT])
    env = SyncEnv([make() for _ in range(B)], make=make)
    env.recovery = Recovery("Three", restart=True)
    score = play(Still(), env, 6, seed=0)
    assert score.lengths.tolist() == [5] * 6 and env.recovery.restarts == 1


def test_the_log_holds_every_failure_and_its_traceback(tmp_path, capsys):
    log = ErrorLog(restart=True)
    env, _ = fragile("sync", "raises")
    env.recovery.report = log
    log.open(tmp_path / "not there yet" / "env_errors.log")
    env.reset(0)
    for _ in range(3):
        env.step(GO_ON)
    text = log.path.read_text()
    header, rest = text.split("\n", 1)
    assert header == "environment Fragile-v0 (number 2) failed at step 3: ZeroDivisionError: the motor broke"
    assert rest.startswith("Traceback") and 'raise ZeroDivisionError("the motor broke")' in rest
    env.reset(0)
    for _ in range(3):
        env.step(GO_ON)
    assert log.path.read_text().count("number 2") == 2
    assert capsys.readouterr().err.count("--on-env-error") == 1  # the rest is in the file


def test_the_file_of_failures_stays_small_and_counts_the_rest(tmp_path):
    log = ErrorLog(restart=True, limit=2000)
    log.open(tmp_path / "env_errors.log")
    for step in range(500):
        log(EnvFailure("X-v0", 3, step, "no", "Traceback …", "of the evaluation"))
    text = (tmp_path / "env_errors.log").read_text()
    told = text.count("environment X-v0 (number 3 of the evaluation) failed")
    assert len(text) <= 2000 and 5 < told < 500
    assert text.endswith(f"{500 - told} more failures would not fit and are left out\n")
