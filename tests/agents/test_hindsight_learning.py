"""What hindsight is for: goals that random actions hardly ever reach (Andrychowicz et al. 2017, figure 1)."""

import pytest
import torch

from agent_gym.agents import agent_class, config_class
from agent_gym.envs.make import make_env
from agent_gym.envs.native.touchstones.bit_flipping import bit_flipping
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.training.evaluation import play


def success(bits: int, **settings) -> float:
    """The share of 100 goals reached by DQN after a short training."""
    made = {"num_envs": 8, "total_steps": 2500, "learning_starts": 500, "hidden_sizes": (128,), "train_every": 4}
    made |= {"utd": 0.25, "batch_size": 128, "n_step": 1, "gamma": 0.98, "exploration_final": 0.02, "seed": 1}
    env = NativeVectorEnv(bit_flipping(bits), 8)
    agent = agent_class("dqn")(config_class("dqn")(**made | settings), env)
    agent.begin()
    while agent.steps < agent.total_steps:
        agent.collect()
        agent.update()
    return float(play(agent.policy, NativeVectorEnv(bit_flipping(bits), 50), 100, seed=2).successes.mean())


def test_goals_are_reached_with_hindsight_and_not_without():
    assert success(6, her="future") >= 0.9
    assert success(6) <= 0.5


def test_rewards_ends_and_goals_where_episodes_end_by_themselves():
    """Of 3 bits random flips often reach the goal; what came later in each episode is noted beside the buffer."""
    env = NativeVectorEnv(bit_flipping(3), 4)
    settings = {"num_envs": 4, "total_steps": 1000, "learning_starts": 10, "hidden_sizes": (8,), "n_step": 1}
    agent = agent_class("dqn")(config_class("dqn")(her="future", her_share=1.0, seed=1, **settings), env)
    agent.begin()
    bits, ends = [], []
    with torch.inference_mode():
        for _ in range(60):
            action = agent.random_action()[0]
            step = env.step(action)
            agent.replay.add(action, step)
            bits.append(step.final_obs["achieved_goal"])
            ends.append(step.terminated | step.truncated)
    slot, _ = agent.replay.draw(500, agent.generator)
    batch = agent.replay.transitions(slot, agent.generator)
    goal, after = batch["next_obs"]["desired_goal"][0], batch["next_obs"]["achieved_goal"][0]
    assert torch.equal(goal, batch["obs"]["desired_goal"][0])
    reached = (goal == after).all(1).float()
    assert 0.2 < float(reached.mean()) < 0.9
    torch.testing.assert_close(batch["reward"][0], reached - 1.0)
    torch.testing.assert_close(batch["discount"][0], 0.99 * (1.0 - reached))
    for k, (t, b) in enumerate(zip((slot // 4).tolist(), (slot % 4).tolist(), strict=True)):
        assert torch.equal(after[k], bits[t][b])
        last = next((u for u in range(t, 60) if ends[u][b]), 59)
        assert any(torch.equal(goal[k], bits[u][b]) for u in range(t, last + 1))


def test_no_argument_is_overlooked():
    with pytest.raises(UserError, match="bits"):
        make_env("AgentGym/BitFlipping-v0", 1, env_kwargs={"bits": 8})


def test_as_many_steps_as_bits():
    env = NativeVectorEnv(bit_flipping(3), 2)
    env.reset(0)
    state = torch.tensor([[0.0, 0], [0, 0], [0, 0], [1, 1], [1, 0], [0, 1]])
    env.state.copy_(state)
    first = env.step(torch.tensor([0, 0]))
    assert first.reward.tolist() == [-1, -1] and not first.terminated.any()
    second = env.step(torch.tensor([1, 1]))
    assert second.reward.tolist() == [0, -1] and second.terminated.tolist() == [True, False]
    third = env.step(torch.tensor([0, 1]))
    assert third.truncated.tolist()[1] and third.reward[1] == -1
