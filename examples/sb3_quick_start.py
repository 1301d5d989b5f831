"""Stable-Baselines3's quick start with three lines changed: the import, the model and the call of learn."""

import gymnasium as gym

from agent_gym import PPO

env = gym.make("CartPole-v1", render_mode="rgb_array")

model = PPO(env)
model.learn(10_000)

vec_env = model.get_env()
obs = vec_env.reset()
for _ in range(1000):
    action, _state = model.predict(obs, deterministic=True)
    obs, reward, done, info = vec_env.step(action)
    vec_env.render()

env.close()
