"""Forms of observations that have no fixed size in an environment, as arrays that have one."""

from __future__ import annotations

from gymnasium import spaces


class Words(spaces.MultiDiscrete):
    """A text as [L] numbers of its first words, 0 behind the last."""


class Several(spaces.Box):
    """A number of things as [L, d + 1]: a row of features each, and 1 where there is one."""


class Web(spaces.Box):
    """A graph as [N, d + 1 + N]: features of each node, 1 where there is one, 1 for each node that leads to it."""
