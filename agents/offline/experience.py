"""Recorded experience as a replay buffer, which losses read as they read what an agent has seen itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import torch
from torch import Tensor

from agent_gym.agents.buffers.n_step import BARE, START, TERMINATED, TRUNCATED
from agent_gym.agents.buffers.replay import Replay
from agent_gym.agents.buffers.streams import SPARE
from agent_gym.ground.tree import tree_map


class Episode(NamedTuple):
    """T steps, and the observation behind the last of them."""

    obs: Any
    """Leaves [T + 1, ...], as a vector environment gives them."""
    action: Tensor
    """[T, ...], as a vector environment takes them."""
    reward: Tensor
    """[T] float32."""
    terminated: bool
    """It came to its real end. Otherwise it was cut, and its last observation is bootstrapped from."""

    @property
    def steps(self) -> int:
        return len(self.reward)


class Experience(NamedTuple):
    """A data set, read and checked."""

    name: str
    episodes: list[Episode]
    digest: str
    """Of all its numbers: a resumed run learns from the same set."""


@runtime_checkable
class TakesExperience(Protocol):
    """An agent that can learn from data sets."""

    def take(self, role: str, experience: Experience) -> None:
        """A data set for setting `role`, "data" or "demonstrations", before training.

        Raises UserError where it has no room in memory.
        """


def replay_of(
    experience: Experience,
    obs_space: gymnasium.Space,
    stored: Callable[[Any, Tensor], tuple[Any, Tensor]],
    device: torch.device,
    **options: Any,
) -> Replay:
    """A replay buffer of one environment that holds the episodes one behind the other.

    `stored` turns observations and actions into what the agent stores; `options` are those of Replay. Raises UserError
    where it does not fit in memory.
    """
    episodes = []
    for episode in experience.episodes:
        obs, action = stored(episode.obs, episode.action)
        episodes.append(episode._replace(obs=obs, action=action))
    lengths = torch.tensor([episode.steps for episode in episodes])
    steps, entries = int(lengths.sum()), int((lengths + 1).sum())
    capacity = max(steps, int(entries / SPARE) + 1)  # images have little room for the ends of short episodes
    replay = Replay(capacity, 1, obs_space, episodes[0].action[:1], device, **options)
    ends = (lengths + 1).cumsum(0) - 1  # where the observations behind the last steps lie
    starts = ends - lengths

    flags = torch.zeros(entries, dtype=torch.uint8)
    flags[ends] = BARE
    flags[starts] |= START
    terminated = torch.tensor([episode.terminated for episode in episodes])
    flags[ends - 1] |= torch.where(terminated, TERMINATED, TRUNCATED).to(torch.uint8)
    acted = torch.ones(entries, dtype=torch.bool)
    acted[ends] = False
    place = acted.nonzero().squeeze(1)

    at = place.to(device)
    replay.fields["action"][at] = torch.cat([episode.action for episode in episodes]).to(replay.fields["action"])
    replay.fields["reward"][at] = torch.cat([episode.reward for episode in episodes]).to(device)
    replay.fields["flags"][:entries] = flags.to(device)
    obs = tree_map(lambda *parts: torch.cat(parts), *(episode.obs for episode in episodes))
    tree_map(lambda store, leaf: store[:entries].copy_(leaf), replay.obs, obs)
    replay.place[:steps] = at
    replay.count.fill_(entries - 1)
    replay.added = replay.size = steps
    if replay.tree is not None:
        replay.tree.update(torch.arange(steps, device=device), replay.max_priority.expand(steps))
    return replay
