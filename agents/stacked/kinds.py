"""Which agents can be trained as one program, and by what."""

from __future__ import annotations

from collections.abc import Sequence

from agent_gym.agents.agent import Agent
from agent_gym.agents.off_policy.acting import Acting
from agent_gym.agents.stacked.members import Envs, Members, unlike
from agent_gym.agents.stacked.off_policy import StackedOffPolicy
from agent_gym.agents.stacked.on_policy import StackedOnPolicy


def kind_of(agent: Agent) -> type[Members]:
    """What trains several such agents."""
    return StackedOffPolicy if isinstance(agent, Acting) else StackedOnPolicy


def refusal(agents: Sequence[Agent]) -> str:
    """Why runs of these agents cannot be one program; "": they can."""
    kind = kind_of(agents[0])
    return kind.refusal(agents[0]) or unlike(agents, kind.numbers)


def stack(agents: Sequence[Agent], envs: Envs) -> Members:
    """Agents as one program. Raises UserError where there is no room for all."""
    return kind_of(agents[0])(agents, envs)
