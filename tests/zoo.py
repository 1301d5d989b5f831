"""Small environments of many agents, written against PettingZoo's interface, whose every number is known by heart."""

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv


class Signals(ParallelEnv):
    """Two agents see a digit each and are paid for naming it; the episode lasts four steps. `told`: masks in infos."""

    metadata = {"name": "signals", "render_modes": ["rgb_array"]}

    def __init__(self, told=False, digits=(3, 3), render_mode=None):
        self.told, self.render_mode = told, render_mode
        self.possible_agents = ["left", "right"]
        self.digits = dict(zip(self.possible_agents, digits, strict=True))

    def observation_space(self, agent):
        return spaces.Box(0.0, 1.0, (self.digits[agent],), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(self.digits[agent])

    def _look(self):
        self.shown = {agent: int(self.rng.integers(self.digits[agent])) for agent in self.agents}
        obs = {agent: np.eye(self.digits[agent], dtype=np.float32)[digit] for agent, digit in self.shown.items()}
        return obs, {agent: self._info(agent) for agent in self.agents}

    def _info(self, agent):
        """All is allowed but the digit after the one to name."""
        mask = np.ones(self.digits[agent], np.int8)
        mask[(self.shown[agent] + 1) % self.digits[agent]] = 0
        return {"action_mask": mask} if self.told else {}

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.agents, self.time = list(self.possible_agents), 0
        return self._look()

    def step(self, actions):
        rewards = {agent: float(actions[agent] == self.shown[agent]) for agent in self.agents}
        self.time += 1
        obs, infos = self._look()
        done = dict.fromkeys(self.agents, self.time == 4)
        never = dict.fromkeys(self.agents, False)
        if self.time == 4:
            self.agents = []
        return obs, rewards, done, never, infos

    def render(self):
        return np.zeros((40, 60, 3), np.uint8)


class Relay(ParallelEnv):
    """Three agents; number i lives for i + 1 steps and is paid its number plus the step. It sees the step."""

    metadata = {"name": "relay"}
    possible_agents = ["a", "b", "c"]
    render_mode = None

    def observation_space(self, agent):
        return spaces.Box(0.0, 10.0, (1,), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.time = list(self.possible_agents), 0
        return {agent: np.zeros(1, np.float32) for agent in self.agents}, {agent: {} for agent in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.time += 1
        number = self.possible_agents.index
        rewards = {agent: 10.0 * number(agent) + self.time for agent in self.agents}
        dead = {agent: number(agent) + 1 == self.time for agent in self.agents}
        obs = {agent: np.full(1, self.time, np.float32) for agent in self.agents}
        infos, never = {agent: {} for agent in self.agents}, dict.fromkeys(self.agents, False)
        self.agents = [agent for agent in self.agents if not dead[agent]]
        return obs, rewards, dead, never, infos


class Count(AECEnv):
    """Two agents add 1 or 2 in turn; who reaches 5 or more wins 1 from the other. The mask rules 2 out at 4."""

    metadata = {"name": "count", "is_parallelizable": False}

    def __init__(self):
        super().__init__()
        self.possible_agents = ["first", "second"]
        self.render_mode = None

    def observation_space(self, agent):
        total, mask = spaces.Box(0.0, 6.0, (1,), np.float32), spaces.Box(0, 1, (2,), np.int8)
        return spaces.Dict({"observation": total, "action_mask": mask})

    def action_space(self, agent):
        return spaces.Discrete(2)

    def observe(self, agent):
        allowed = [1, self.total != 4] if agent == self.agent_selection else [0, 0]
        return {"observation": np.full(1, self.total, np.float32), "action_mask": np.array(allowed, np.int8)}

    def reset(self, seed=None, options=None):
        self.agents, self.total = list(self.possible_agents), 0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations, self.truncations = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self.agent_selection = "first"

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        other = "second" if agent == "first" else "first"
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.total += action + 1
        if self.total >= 5:
            self.rewards = {agent: 1.0, other: -1.0}
            self.terminations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()
        self.agent_selection = other
