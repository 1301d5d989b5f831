"""Agents that learn from rollouts, several at once: one network call acts for all, one program learns for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from agent_gym.agents.buffers.returns import gae
from agent_gym.agents.buffers.rollout import Rollout, slices
from agent_gym.agents.ppo import PPO
from agent_gym.agents.stacked import ON_POLICY
from agent_gym.agents.stacked.members import Envs, Members, alone
from agent_gym.ground.tree import Tree, tree_map
from agent_gym.nets.learner.learner import Stats
from agent_gym.nets.learner.scripted import Scripted
from agent_gym.nets.normalisation import discounted_returns


class StackedOnPolicy(Members):
    """Agents of rollouts."""

    agents: Sequence[PPO]
    numbers = ON_POLICY

    def __init__(self, agents: Sequence[PPO], envs: Envs) -> None:
        super().__init__(agents, envs)
        self.learner = self.learners["policy"]
        policy, network = self.first.policy, self.first.network
        acting = [network.encoder, network.head, policy.obs_norm]
        self.act = Scripted(self.stack.mapped(policy.act_by, acting), self.config.capture)
        self.value = self.stack.mapped(policy.value)
        self.evaluated = self.stack.mapped(self.first.evaluated)
        self.prepared = self.stack.mapped(self.first.prepared, [])
        self.summary = self.stack.mapped(self.first._summary, [self.first.coefficients])
        self.first.coefficients.bonus = any(agent.coefficients.bonus for agent in agents)  # its loss is that of all
        self.rollout = Rollout(self.config.num_steps, self.size * self.each, "cpu")
        with torch.no_grad():
            self.noise = self.first.policy.noise(torch.zeros(1, 1, self.first.network.encoder.out_dim))

    @staticmethod
    def refusal(agent: Any) -> str:
        if type(agent) is not PPO:
            return f"{type(agent).__name__.lower()} is trained run by run"
        return alone(agent)

    def over_time(self, tree: Tree) -> Tree:
        """[T, S x B, ...] as [S, T, B, ...]."""
        return tree_map(lambda x: x.unflatten(1, (self.size, self.each)).transpose(0, 1), tree)

    def together(self, x: Tensor) -> Tensor:
        """[S, T, B] as [T, S x B]."""
        return x.transpose(0, 1).flatten(1)

    def _drawn(self) -> Tensor:
        """The noise of a rollout [T, S, B, ...], as each agent would draw it step by step."""
        steps, shape = self.config.num_steps, self.noise.shape
        noise = torch.empty(steps, self.size, self.each, *shape)
        for s, agent in enumerate(self.agents):
            if self.noise.kind == "uniform":  # many numbers at once are the same as few at a time
                noise[:, s] = torch.rand(steps, self.each, *shape, generator=agent.generator)
                continue
            for t in range(steps):
                noise[t, s] = torch.randn(1, self.each, *shape, generator=agent.generator)[0]
        return noise

    def collect(self) -> list[dict[str, float]]:
        noise = self._drawn()
        with torch.inference_mode(), self.named():
            self._fill(noise)
        self.envs.hand_back()
        self.hand_out(self.obs, self.reset)
        reward, done = self.rollout["reward"], self.rollout["terminated"] | self.rollout["truncated"]
        found = []
        for s, agent in enumerate(self.agents):
            rows = self.mine(s)
            agent.steps += len(reward) * self.each
            found.append(agent.episode_scalars(agent.episodes.update(reward[:, rows], done[:, rows])))
        return found

    def _fill(self, noise: Tensor) -> None:
        self.envs.take_up()
        self.first.first_state = self.first.state
        obs, reset = self.joined()
        way = self.ways()
        self.cut: list[tuple[int, Tree]] = []
        for t in range(self.config.num_steps):
            mask = self.envs.mask
            masks = () if mask is None else (self.apart(mask),)
            action, raw = self.act(self.apart(obs), noise[t], *masks, way=way)
            step = self.envs.step(action.flatten(0, 1))
            fields = {} if mask is None else {"mask": mask}
            fields |= {"obs": obs, "reset": reset, "action": raw.flatten(0, 1), "reward": step.reward}
            self.rollout.add(t, **fields, terminated=step.terminated, truncated=step.truncated)
            if step.truncated.any():
                self.cut.append((t, step.final_obs))
            obs, reset = step.obs, step.terminated | step.truncated
            self.tell(step, reset)
        self.obs, self.reset = obs, reset

    def update(self) -> list[Stats]:
        for agent in self.agents:
            agent.prepare()
        batch, stats = self._targets(), []
        with self.named():
            for _ in range(self.config.num_epochs):
                self._epoch(batch, stats)
        self.measure(self.over_time(self.rollout["obs"]))
        means = self.summary(stats)
        if batch["returns"].shape[1] > 1:
            residual = batch["returns"] - batch["value"]
            means["explained_variance"] = 1.0 - residual.var(1) / batch["returns"].var(1)
        rates = torch.tensor([agent.learner.learning_rate for agent in self.agents])
        return [dict(zip(means, row, strict=True)) | {"learning_rate": rate} for row, rate in _rows(means, rates)]

    @torch.no_grad()
    def _targets(self) -> dict[str, Tree]:
        """Fields [S, T x B, ...] to learn from."""
        rollout = self.rollout
        terminated, truncated = rollout["terminated"], rollout["truncated"]
        none = torch.zeros(self.each, 0)
        state, never = none.expand(self.size, -1, -1), torch.zeros(self.size, self.each, dtype=torch.bool)
        last_value = self.value(self.apart(self.obs), state, never).flatten()
        final_value = torch.zeros_like(rollout["reward"])
        for t, obs in self.cut:
            final_value[t] = self.value(self.apart(obs), state, never).flatten()
        batch = {"reset": self.over_time(rollout["reset"]), "action": self.over_time(rollout["action"])}
        batch["obs"] = self.normalised(self.over_time(rollout["obs"]))
        if "mask" in rollout.fields:
            batch["mask"] = self.over_time(rollout["mask"])
        batch |= self.evaluated(batch)
        value = self.together(batch["value"])
        reward = self._scaled(rollout["reward"], terminated | truncated, terminated)
        fields, targets = (reward, value, terminated, truncated, final_value), []
        for rows, gamma, trace in self._alike():
            targets.append(gae(*(field[:, rows] for field in fields), last_value[rows], gamma, trace))
        advantage, returns = (torch.cat(part, dim=1) for part in zip(*targets, strict=True))
        batch |= {"advantage": self.over_time(advantage), "returns": self.over_time(returns)}
        return tree_map(lambda x: x.flatten(1, 2), batch)

    def _alike(self) -> list[tuple[slice, float, float]]:
        """Rows of members that discount alike, with gamma and lambda: all of them, unless they have been changed."""
        ways = [(agent.config.gamma, agent.trace) for agent in self.agents]
        if len(set(ways)) == 1:
            return [(slice(None), *ways[0])]
        return [(self.mine(s), *way) for s, way in enumerate(ways)]

    def _scaled(self, reward: Tensor, done: Tensor, terminated: Tensor) -> Tensor:
        reward = self.config.learned_reward(reward)
        if not self.config.normalize_returns:
            return reward
        scales = [agent.return_scale for agent in self.agents]
        carried, parts = torch.cat([scale.discounted for scale in scales]), []
        told = [
            discounted_returns(reward[:, rows], done[:, rows], carried[rows], gamma) for rows, gamma, _ in self._alike()
        ]
        returns, carried = torch.cat([part for part, _ in told], dim=1), torch.cat([part for _, part in told])
        for s, scale in enumerate(scales):
            rows = self.mine(s)
            scale.take(reward[:, rows], done[:, rows], returns[:, rows], carried[rows])
            parts.append(scale.transform(reward[:, rows], terminated[:, rows]))
        return torch.cat(parts, dim=1)

    def set(self, s: int, **values: float) -> None:
        """Change settings of member s that are numbers: those of `CHANGEABLE`."""
        agent = self.agents[s]
        agent.config = agent.learner.config = replace(agent.config, **values)
        agent.trace, agent.return_scale.gamma = agent.config.gae_lambda, agent.config.gamma
        self.first.coefficients.bonus |= "entropy_coef" in values
        for name, place in agent.coefficients.named_buffers():
            place.fill_(getattr(agent.config, name))

    def copy(self, source: int, target: int) -> None:
        """Give member `target` the weights, statistics and optimizer of `source`; episodes and generators it keeps."""
        ours, theirs = self.agents[source], self.agents[target]
        theirs.policy.load_state_dict(ours.policy.state_dict())
        for name, part in ours.learner.optimizer.state.items():
            theirs.learner.optimizer.state[name].copy_(part)
        theirs.return_scale.rewards.load_state_dict(ours.return_scale.rewards.state_dict())
        self.agree()

    def _epoch(self, batch: dict[str, Tree], stats: list[Stats]) -> None:
        """One pass over the rollout, each agent's in the order that it draws."""
        count = batch["reset"].shape[1]
        orders = [torch.randperm(count, generator=agent.generator) for agent in self.agents]
        rows = torch.stack(orders) + count * torch.arange(self.size).unsqueeze(1)
        for part in slices(count, self.config.num_minibatches):
            mine, shape = rows[:, part].flatten(), (self.size, 1, part.stop - part.start)
            minibatch = tree_map(
                lambda x, mine=mine, shape=shape: x.flatten(0, 1).index_select(0, mine).unflatten(0, shape), batch
            )
            state = torch.zeros(self.size, shape[2], 0)
            stats.append(self.learner.update(self.prepared(minibatch), state))


def _rows(means: Stats, rates: Tensor) -> Any:
    """Row by row: the values of each member, and its learning rate."""
    return zip(zip(*(value.unbind() for value in means.values()), strict=True), rates.unbind(), strict=True)
