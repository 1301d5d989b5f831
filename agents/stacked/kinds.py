"""Which agents can be trained as one program, and by what."""

from __future__ import annotations

from collections.abc import Sequence

from agent_gym.agents.agent import Agent
from agent_gym.agents.off_policy.acting import Acting
from agent_gym.agents.stacked.members import Envs, Members
from agent_gym.agents.stacked.off_policy import StackedOffPolicy
from agent_gym.agents.stacked.on_policy import StackedOnPolicy


def kind_of(agent: Agent) -> type[Members]:
    """What trains several such agents."""
    return StackedOffPolicy if isinstance(agent, Acting) else StackedOnPolicy


def refusal(agent: Agent) -> str:
    """Why runs of such an agent cannot be one program; "": they can."""
    return kind_of(agent).refusal(agent)


def stack(agents: Sequence[Agent], envs: Envs) -> Members:
    """Agents that differ in their seeds as one program. Raises UserError where there is no room for all."""
    return kind_of(agents[0])(agents, envs)
