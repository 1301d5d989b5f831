"""Who plays in an environment of many agents: their groups, their spaces, and how these lie in arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from agent_gym.envs.adapters.boundary.spaces import ObsLayout, canonical_action
from agent_gym.envs.vector import GROUP, OWN, STATE, part_of
from agent_gym.ground.errors import UserError, without_addresses

OBSERVATION, MASK = "observation", "action_mask"  # the parts of an observation that brings its mask along
SHARES = ("auto", "all", "none")


def split_mask(space: spaces.Space) -> tuple[spaces.Space, bool]:
    """The space of an observation without its mask, and whether it had one."""
    if not (isinstance(space, spaces.Dict) and MASK in space.spaces):
        return space, False
    rest = {key: part for key, part in space.spaces.items() if key != MASK}
    return (rest[OBSERVATION] if list(rest) == [OBSERVATION] else spaces.Dict(rest)), True


class Cast:
    """The agents of an environment in their order, and the groups that share a network.

    `share`: "auto" puts agents with the same spaces into one group, "all" wants all in one, "none" gives each its own.
    `state_size`: numbers of the global state beside each observation; 0: none. Raises UserError.
    """

    def __init__(
        self,
        env_id: str,
        obs_spaces: Mapping[str, spaces.Space],
        action_spaces: Mapping[str, spaces.Space],
        share: str = "auto",
        agent_id: bool = False,
        state_size: int = 0,
    ) -> None:
        if share not in SHARES:
            raise UserError(f'share {share!r}: --env-kwargs takes "share" {", ".join(SHARES)}')
        self.env_id, self.agents, self.agent_id, self.state_size = env_id, list(obs_spaces), agent_id, state_size
        stripped = {agent: split_mask(space) for agent, space in obs_spaces.items()}
        self.in_obs = {agent: masked for agent, (_, masked) in stripped.items()}
        kinds: list[tuple[spaces.Space, spaces.Space]] = []
        self.group: list[int] = []  # of each agent
        for agent in self.agents:
            kind = (stripped[agent][0], action_spaces[agent])
            if share == "none" or kind not in kinds:
                self._refuse_other(share, agent, kind, kinds)
                kinds.append(kind)
                self.group.append(len(kinds) - 1)
            else:
                self.group.append(kinds.index(kind))
        self.members = [[i for i, own in enumerate(self.group) if own == g] for g in range(len(kinds))]
        self.place = [self.members[g].index(i) for i, g in enumerate(self.group)]  # of each agent in its group
        self.layouts = [ObsLayout(self._seen(obs)) for obs, _ in kinds]
        self.actions = [action_spaces[agent] for agent in self.agents]
        self.action_space = self._common_action([action for _, action in kinds])
        self.obs_space = self._nest({part_of(g): layout.space for g, layout in enumerate(self.layouts)})
        self.joint_action_space = self._joint_action()

    def __len__(self) -> int:
        return len(self.agents)

    def _refuse_other(self, share: str, agent: str, kind: tuple, kinds: list) -> None:
        if share == "all" and kinds:
            which = "observations" if kind[0] != kinds[0][0] else "actions"
            mine, first = (without_addresses(str(pair[which == "actions"])) for pair in (kind, kinds[0]))
            raise UserError(
                f'{self.env_id}: "share": "all" is one network for all agents, and {agent} has {which} {mine} where '
                f"{self.agents[0]} has {first}: leave it out for one network for each group of the same spaces"
            )

    def _seen(self, space: spaces.Space) -> spaces.Space:
        """What an agent sees: its observation and, on request, which agent it is."""
        return spaces.Dict({"obs": space, "agent": spaces.Discrete(len(self))}) if self.agent_id else space

    def _common_action(self, kinds: Sequence[spaces.Space]) -> spaces.Space:
        """The space that holds the actions of all groups, canonical. Raises UserError."""
        if all(isinstance(space, spaces.Discrete) for space in kinds):
            return spaces.Discrete(max(int(space.n) for space in kinds))
        first = canonical_action(kinds[0])
        if any(canonical_action(space) != first for space in kinds) or isinstance(first, spaces.MultiBinary):
            told = ", ".join(dict.fromkeys(without_addresses(str(space)) for space in kinds))
            raise UserError(
                f"{self.env_id}: the actions of its agents are {told}: expected Discrete ones of any size, or one "
                "Box or MultiDiscrete for all agents"
            )
        return first

    def _joint_action(self) -> spaces.Space:
        count, space = len(self), self.action_space
        if isinstance(space, spaces.Discrete):
            return spaces.MultiDiscrete([int(space.n)] * count)
        if isinstance(space, spaces.MultiDiscrete):
            return spaces.MultiDiscrete(np.tile(space.nvec, count))
        low, high = (np.repeat(bound[None], count, axis=0) for bound in (space.low, space.high))
        return spaces.Box(low, high, dtype=np.float32)

    @property
    def discrete(self) -> bool:
        """Whether each agent takes one of a number of actions, so that a mask can rule some out."""
        return isinstance(self.action_space, spaces.Discrete)

    @property
    def uneven(self) -> bool:
        """Whether some agents have fewer actions than others."""
        return self.discrete and len({int(space.n) for space in self.actions}) > 1

    def _nest(self, parts: dict[str, Any]) -> spaces.Space:
        state = spaces.Box(-np.inf, np.inf, (self.state_size,), np.float32) if self.state_size else None
        return nest(parts, spaces.Discrete(len(parts)), state, spaces.Dict)

    def observed(self, agent: int, obs: Any) -> Any:
        """What a network sees of an agent's own observation."""
        name = self.agents[agent]
        if self.in_obs[name]:
            rest = {key: part for key, part in obs.items() if key != MASK}
            obs = rest[OBSERVATION] if list(rest) == [OBSERVATION] else rest
        return {"obs": obs, "agent": agent} if self.agent_id else obs

    def mask(self, agent: int, obs: Any, info: dict[str, Any]) -> np.ndarray | None:
        """Which of its actions an agent may take [n], by its observation or by what is told beside it; None: unsaid."""
        told = obs[MASK] if self.in_obs[self.agents[agent]] else info.get(MASK)
        if told is None:
            return None
        mask, count = np.asarray(told), int(self.actions[agent].n) if self.discrete else 0
        if mask.shape != (count,):
            raise ValueError(
                f"the action_mask of {self.agents[agent]} has shape {mask.shape}: expected one entry for each of its "
                f"{count} actions"
            )
        if not mask.any():
            raise ValueError(f"the action_mask of {self.agents[agent]}, who is to act, allows nothing")
        return mask != 0

    def own_action(self, agent: int, action: np.ndarray) -> Any:
        """A row's action in the terms of the agent's own space."""
        space = self.actions[agent]
        if isinstance(space, spaces.Discrete):
            number = int(action)
            if not 0 <= number < space.n:
                raise ValueError(f"action {number} for {self.agents[agent]}, which has {space.n}")
            return int(space.start) + number
        own = np.asarray(action).reshape(space.shape)
        if isinstance(space, spaces.MultiDiscrete):
            return own.astype(space.dtype) + space.start
        return np.clip(own.astype(space.dtype), space.low, space.high)

    def arrays(self) -> list[list[np.ndarray]]:
        """For each group one array [members, *shape] for each leaf of its observation, all 0."""
        made = [layout.empty(len(members)) for layout, members in zip(self.layouts, self.members, strict=True)]
        for group in made:
            for array in group:
                array.fill(0)
        return made


def nest(parts: dict[str, Any], group: Any, state: Any, make: Callable[[dict], Any] = dict) -> Any:
    """One observation of what all groups see: with a global state beside each, and with the group where there are more.

    Values may be spaces or tensors; `make` makes a node.
    """
    if state is not None:
        parts = {key: make({OWN: part, STATE: state}) for key, part in parts.items()}
    return make({GROUP: group} | parts) if len(parts) > 1 else next(iter(parts.values()))
