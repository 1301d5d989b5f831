"""Free memory, in a container with a limit and without one."""

import psutil
import pytest
import torch

from agent_gym.agents.buffers import free_memory
from agent_gym.agents.buffers.free_memory import free_bytes


@pytest.mark.parametrize("limit, expected", [("2000000", 2_000_000 - (700_000 - 300_000)), ("max", None), (None, None)])
def test_a_containers_limit_counts_without_its_cache(tmp_path, monkeypatch, limit, expected):
    monkeypatch.setattr(free_memory, "CGROUP", tmp_path)
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit + "\n")
        (tmp_path / "memory.current").write_text("700000\n")
        (tmp_path / "memory.stat").write_text("anon 400000\ninactive_file 300000\nactive_file 0\n")
    free = free_bytes(torch.device("cpu"))
    if expected is None:
        assert free == pytest.approx(psutil.virtual_memory().available, rel=0.2) and free > 10_000_000
    else:
        assert free == expected
