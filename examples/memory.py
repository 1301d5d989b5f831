"""An agent with memory where velocities are hidden: the state that comes back from predict is its memory."""

import gymnasium

import agent_gym.envs  # noqa: F401  registers AgentGym/…
from agent_gym import PPO

agent = PPO("AgentGym/CartPoleNoVel-v1", seed=0).learn(50_000)

env = gymnasium.make("AgentGym/CartPoleNoVel-v1")
obs, _ = env.reset(seed=0)
state, steps, over = None, 0, False
while not over:
    action, state = agent.predict(obs, state)
    obs, _, terminated, truncated, _ = env.step(action)
    steps, over = steps + 1, terminated or truncated
print(f"stood for {steps} steps")
