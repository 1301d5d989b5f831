"""Train, predict, save, load and learn on, on an environment that this file defines."""

import gymnasium

from agent_gym import PPO, load


class Signpost(gymnasium.Env):
    """Go where the sign points; the best return is 10."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.look(), {}

    def step(self, action):
        reward = float((self.sign[0] > 0) == action)
        self.time += 1
        return self.look(), reward, False, self.time == 10, {}

    def look(self):
        self.sign = self.np_random.uniform(-1, 1, 2).astype("float32")
        return self.sign


agent = PPO(Signpost, seed=1, num_envs=8)
agent.learn(8_000)
action, _ = agent.predict([0.5, 0.0])
agent.save("signpost.pt")
again = load("signpost.pt", env=Signpost)
again.learn(4_000)
print(f"goes {'right' if action else 'left'}; return {again.evaluate(20)['return_mean']:.1f} of 10")
