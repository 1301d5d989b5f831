"""Agents that learn from replay buffers, several at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from agent_gym.agents.buffers.turns import starts
from agent_gym.agents.off_policy.acting import Acting
from agent_gym.agents.off_policy.batches import AT_ONCE
from agent_gym.agents.stacked import OFF_POLICY
from agent_gym.agents.stacked.members import Envs, Members, alone
from agent_gym.agents.stacked.replay import StackedReplay, check_room
from agent_gym.ground.tree import Tree, tree_leaves, tree_map
from agent_gym.nets.learner.learner import Stats
from agent_gym.nets.learner.scripted import Scripted


class StackedOffPolicy(Members):
    """Agents of replay buffers."""

    agents: Sequence[Acting]
    numbers = OFF_POLICY

    def __init__(self, agents: Sequence[Acting], envs: Envs) -> None:
        """Raises UserError where the buffers of all have no room together."""
        check_room([agent.replay for agent in agents], agents[0].config.buffer_size)
        super().__init__(agents, envs)
        self.replay = self.first.buffer(StackedReplay, self.first.replay.fields["action"], self.size)
        self.replay.adopt([agent.replay for agent in agents])
        self.generators = [agent.generator for agent in agents]
        self.explored = Scripted(self.stack.mapped(self.first.explored), self.config.capture)
        norm = self.first.obs_norm
        self.single = self.stack.mapped(lambda obs: norm.single(obs), [norm])
        self.scale()
        taus = torch.tensor([agent.config.tau for agent in agents])
        if len(taus.unique()) > 1:
            for target in self.targets.values():
                target.taus = taus.unsqueeze(1)

    @staticmethod
    def refusal(agent: Any) -> str:
        if not isinstance(agent, Acting) or type(agent).explored is Acting.explored:
            return f"{type(agent).__name__.lower()} is trained run by run"
        return alone(agent) or ("matrices are kept as images are, run by run" if agent.replay.compact else "")

    def scale(self) -> None:
        """Let rewards be read on the scale that each agent has found."""
        changes = any(agent.replay.transform is not None for agent in self.agents)
        self.replay.transform = self._transformed if changes else None

    def _transformed(self, reward: Tensor, terminated: Tensor) -> Tensor:
        """Of [k, S x n]."""
        parts = zip(self.agents, reward.chunk(self.size, 1), terminated.chunk(self.size, 1), strict=True)
        found = [
            own if agent.replay.transform is None else agent.replay.transform(own, ends) for agent, own, ends in parts
        ]
        return torch.cat(found, dim=1)

    def collect(self) -> list[dict[str, float]]:
        before, rows = self.first.steps, []
        obs, reset = self.joined()
        self.envs.take_up()
        with torch.inference_mode(), self.named():
            for _ in range(self.config.train_every):
                obs, reset = self._advance(obs, reset, rows)
        self.envs.hand_back()
        self.hand_out(obs, reset)
        reward, learned, done = (torch.stack(part) for part in zip(*rows, strict=True))
        self._measure_rewards(learned, done)
        found = []
        for s, agent in enumerate(self.agents):
            mine = self.mine(s)
            episodes = agent.episodes.update(reward[:, mine], done[:, mine])
            found.append(agent.episode_scalars(episodes) | agent.exploring())
        self.first.moved(before, self.targets)
        return found

    def _advance(self, obs: Tree, reset: Tensor, rows: list[tuple[Tensor, ...]]) -> tuple[Tree, Tensor]:
        """A step of all; what follows it. Rewards, those to learn from, and ends go to `rows`."""
        mask, first = self.envs.mask, self.first
        action, stored = self._actions(obs, mask)
        step = self.envs.step(action)
        after = ending = self._single(step.obs)
        if step.final_obs is not step.obs:
            ending = self._single(step.final_obs)
        reward, done = self.config.learned_reward(step.reward), step.terminated | step.truncated
        self.replay.add(stored, step._replace(obs=after, final_obs=ending, reward=reward))
        if self.config.normalize_obs or first.steps < first.learning_starts or first.looks():
            self.measure(self.apart(ending))
        self.tell(step, done)
        rows.append((step.reward, reward, done))
        for agent in self.agents:
            agent.steps += self.each
        return after, starts(None, done, reset)

    def _actions(self, obs: Tree, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The environments' actions and those to store, [S x B, ...]."""
        masks = [None] * self.size if mask is None else mask.split(self.each)
        drawn = [agent.chances() for agent in self.agents]
        if self.first.steps < self.first.learning_starts:
            found = [agent.random_action(own) for agent, own in zip(self.agents, masks, strict=True)]
            return tuple(torch.cat(part) for part in zip(*found, strict=True))
        here = () if mask is None else (self.apart(mask),)
        found = self.explored(self.apart(obs), _stacked(drawn), *here, way=(*drawn[0], *self.ways()))
        return tuple(part.flatten(0, 1) for part in found)

    def _single(self, obs: Tree) -> Tree:
        """As it is stored."""
        if all(leaf.dtype != torch.float64 for leaf in tree_leaves(obs)):
            return obs
        return tree_map(lambda x: x.flatten(0, 1), self.single(self.apart(obs)))

    def _measure_rewards(self, learned: Tensor, done: Tensor) -> None:
        """Let each agent's `return_scale` take in rewards [T, S x B] when it is time to."""
        if self.config.normalize_returns == "no":
            return
        for s, agent in enumerate(self.agents):
            rows = self.mine(s)
            agent.unmeasured.append((learned[:, rows], done[:, rows]))
            agent.rows_unmeasured += len(learned)
        if self.first.time_to_measure():
            for agent in self.agents:
                agent.measure()
            self.scale()

    def update(self) -> list[Stats]:
        due = self.first.due()
        if due <= 0:
            return [{} for _ in self.agents]
        for agent in self.agents:
            for learner in agent.learners.values():
                learner.set_progress(agent.progress)
        stats: dict[str, list[Tensor]] = {}
        with self.named():
            for batch in self._batches(due):
                for agent in self.agents:
                    agent.updates += 1
                for name, value in self.first.fit(batch | self._drawn(batch), self.learners, self.targets).items():
                    stats.setdefault(name, []).append(value)
        means = {name: values[0] if len(values) == 1 else torch.stack(values).mean(0) for name, values in stats.items()}
        rates = [next(iter(agent.learners.values())).learning_rate for agent in self.agents]
        means["learning_rate"] = torch.tensor(rates)
        return [dict(zip(means, row, strict=True)) for row in zip(*(v.unbind() for v in means.values()), strict=True)]

    def _drawn(self, batch: dict) -> dict:
        """What the losses of each take that it draws itself."""
        like = ("action", "reward")
        return _stacked([agent.drawn({name: batch[name][s] for name in like}) for s, agent in enumerate(self.agents)])

    def _batches(self, count: int) -> Any:
        """`count` batches, leaves [S, 1, n, ...]; several are drawn at once, as each agent would."""
        n, transformed = self.config.batch_size, not all(norm.idle for norm, *_ in self.norms)
        for start in range(0, count, AT_ONCE):
            several = min(AT_ONCE, count - start)
            slot = self.replay.draw_each(n * several, self.generators)
            shape = (self.size, several, 1, n)
            batch = tree_map(lambda x, shape=shape: x[0].unflatten(0, shape), self.replay.transitions(slot))
            if transformed:
                batch |= {name: self.normalised(batch[name]) for name in ("obs", "next_obs")}
            batch = tree_map(lambda x: x.transpose(0, 1).contiguous(), batch)
            for k in range(several):
                yield tree_map(lambda x, k=k: x[k], batch)


def _stacked(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Of dicts of all members one with rows [S, ...]."""
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
