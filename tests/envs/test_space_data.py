"""Spaces survive being stored, and strangers' are refused in one line."""

import numpy as np
import pytest
from gymnasium import spaces

from agent_gym.envs.adapters.boundary.space_data import make_space, space_data
from agent_gym.ground.errors import UserError
from agent_gym.storage import tensor_file

SPACES = [
    spaces.Box(-1.0, 1.0, (3,)),
    spaces.Box(np.array([-np.inf, 0.0]), np.array([5.0, np.inf]), dtype=np.float64),
    spaces.Box(0, 255, (4, 4, 3), np.uint8),
    spaces.Box(-3, 3, (2,), np.int32),
    spaces.Discrete(5, start=-2),
    spaces.MultiDiscrete([[2, 3], [4, 5]]),
    spaces.MultiBinary((2, 3)),
    spaces.MultiBinary(4),
    spaces.Text(8, charset="abc"),
    spaces.Dict(a=spaces.Discrete(2), b=spaces.Tuple((spaces.Box(0, 1, (1,)), spaces.MultiBinary(2)))),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_space_comes_back_from_a_file_as_it_was(space, tmp_path):
    tensor_file.write(tmp_path / "x.pt", {"space": space_data(space)})
    assert make_space(tensor_file.read(tmp_path / "x.pt")["space"]) == space


@pytest.mark.parametrize(
    "data", [None, {}, {"kind": "Graph"}, {"kind": "Box", "low": 1, "high": 2, "dtype": "float32"}, {"kind": "Dict"}]
)
def test_what_is_no_space_is_refused_in_one_line(data):
    with pytest.raises(UserError, match="cannot be read"):
        make_space(data)


def test_nesting_ends():
    data = {"kind": "Discrete", "n": 2, "start": 0}
    for _ in range(20):
        data = {"kind": "Tuple", "parts": [data]}
    with pytest.raises(UserError, match="too deep"):
        make_space(data)
