"""What a checkpoint does with an agent."""

from pathlib import Path

import torch


def hand_over(agent, again, path: Path) -> None:
    """All of `agent` into `again`, by a file of tensors and plain data."""
    segment = None if agent.history is None else agent.history.since(None)
    torch.save((agent.state_dict(), segment), path)
    state, segment = torch.load(path, weights_only=True)
    if segment is not None:
        again.history.extend(segment)
    again.load_state_dict(state)
