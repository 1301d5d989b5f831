"""A rollout of environments that live on the GPU as one graph, from the tensors that it stands on to themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agent_gym.envs.vector import TensorEnv
from agent_gym.ground.tree import tree_leaves, tree_map
from agent_gym.nets.learner.cuda_graphs import Recorded

if TYPE_CHECKING:
    from agent_gym.agents.on_policy import OnPolicy


class WholeRollout:
    """All steps of `agent` in `env`, which go on from where the graph of the rollout before has left its tensors."""

    def __init__(self, agent: OnPolicy, env: TensorEnv, record: bool) -> None:
        self.agent, self.env = agent, env
        generators = [agent.generator, *env.generators]
        self.recorded = Recorded("a rollout", self._steps, agent.device, self._changed, generators, record=record)
        self.standing: dict = {}

    def collect(self) -> None:
        """Fill the agent's rollout."""
        self.stand()
        steps = self.env.steps + self.agent.config.num_steps
        self.recorded()
        self.env.steps = steps

    def stand(self) -> None:
        """Put the tensors that a rollout starts from where its graph finds them."""
        agent = self.agent
        moving = {"obs": agent.obs, "state": agent.state, "reset": agent.reset, "env": self.env.tensors()}
        with torch.inference_mode(False):
            self.standing = self.standing or tree_map(torch.empty_like, moving)
        for place, leaf in zip(tree_leaves(self.standing), tree_leaves(moving), strict=True):
            if place is not leaf:
                place.copy_(leaf)
        self._begin_there()

    def _begin_there(self) -> None:
        agent = self.agent
        agent.obs, agent.state, agent.reset = (self.standing[name] for name in ("obs", "state", "reset"))
        self.env.put(self.standing["env"])

    def _steps(self) -> None:
        """A rollout on tensors alone, from `standing` to `standing`."""
        self._begin_there()
        for t in range(self.agent.config.num_steps):
            self.agent.advance(t, self.agent._explore_at)
        self.stand()

    def _changed(self) -> list[Tensor]:
        """What a rollout changes in place."""
        return [*tree_leaves(self.standing), *tree_leaves(self.agent.rollout.fields), *self.env.changed()]
