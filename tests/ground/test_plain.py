"""Plain data that anybody may have written, against annotations and templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from torch import nn

from agent_gym.agents.sb3.state import optimizer_state
from agent_gym.ground.budget import SLACK, parameter_budget, stored_bytes
from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import from_plain, short
from agent_gym.ground.tensors import all_finite, require_like


@dataclass(frozen=True)
class Inner:
    size: int = 1


@dataclass(frozen=True)
class Outer:
    name: str
    rate: float = 0.5
    on: bool = False
    mode: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = ()
    layers: tuple[tuple[int, int], ...] = ()
    inner: Inner = Inner()


def test_good_fields_become_a_dataclass():
    stored = {"name": "x", "rate": 1, "sizes": [1, 2], "layers": [[1, 2], (3, 4)], "inner": {"size": 3}}
    assert from_plain(Outer, stored) == Outer("x", 1, sizes=(1, 2), layers=((1, 2), (3, 4)), inner=Inner(3))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"name": 5}, "name: 5, expected str"),
        ({"rate": True}, "rate: True, expected float"),
        ({"rate": float("nan")}, "rate: nan is out of range"),
        ({"on": 1}, "on: 1, expected bool"),
        ({"mode": "c"}, "mode: 'c', expected one of a, b"),
        ({"mode": []}, "mode: a list, expected one of a, b"),
        ({"sizes": "12"}, "sizes: '12', expected a list"),
        ({"sizes": [1, 2.0]}, "sizes: 2.0, expected int"),
        ({"sizes": [10**30]}, "sizes: a number beyond 64 bits is out of range"),
        ({"layers": [[1, 2, 3]]}, "layers: 3 values, expected 2"),
        ({"inner": {"weight": 1}}, "inner: unknown field 'weight'"),
        ({"inner": torch.zeros(2)}, "inner: a Tensor is no set of fields"),
        ({5: 1}, "unknown field 5"),
    ],
)
def test_bad_fields_are_named(field, message):
    with pytest.raises(TypeError, match=f"^{message.replace('[', chr(92) + '[')}"):
        from_plain(Outer, {"name": "x"} | field)


def test_short_values_stay_on_a_line():
    text = short("a\nb\x1b" + "x" * 1000)
    assert text.isprintable() and text.startswith("'a\\nb\\x1bxxx") and text.endswith("x…") and len(text) == 61
    assert short({"a": 1}) == "a dict" and short(None) == "None"


TEMPLATE = {
    "steps": 0,
    "best": [0.0, 1],
    "obs": torch.zeros(2, 3),
    "window": torch.zeros(2, 0),
    "env": None,
    "more": {},
}


@pytest.mark.parametrize(
    "change", [{}, {"best": (1, 2)}, {"window": torch.ones(2, 7)}, {"env": {"state": 1}}, {"more": {"a": 1}}]
)
def test_states_built_alike(change):
    require_like(TEMPLATE | change, TEMPLATE)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"steps": 1.0}, "state.steps"),
        ({"steps": True}, "state.steps"),
        ({"best": [None, 1]}, "state.best.0"),
        ({"best": [1.0]}, "state.best"),
        ({"obs": torch.zeros(3, 3)}, "state.obs"),
        ({"obs": torch.zeros(2, 3).double()}, "state.obs"),
        ({"obs": None}, "state.obs"),
        ({"window": torch.ones(3, 7)}, "state.window"),
        ({"more": []}, "state.more"),
        ({"extra": 1}, "state has other parts"),
    ],
)
def test_states_built_otherwise(change, part):
    with pytest.raises(TypeError, match=part):
        require_like(TEMPLATE | change, TEMPLATE)


def test_a_view_counts_as_what_is_behind_it():
    storage = torch.zeros(10)
    assert stored_bytes({"a": storage, "b": [storage[:5]], "c": torch.zeros(1).expand(10**12)}) == 44


def test_a_budget_holds_for_the_sum_of_parameters():
    weights = nn.Linear(512, 512).state_dict()  # 1.05 MB
    with parameter_budget(weights):
        nn.Linear(512, 512)
    with pytest.raises(UserError), parameter_budget(weights):
        for _ in range(100):
            nn.Linear(512, 64)
    with pytest.raises(UserError), parameter_budget({}):
        nn.Linear(1, SLACK // 4 + 1)
    nn.Linear(1, SLACK)  # outside of it, anything goes


def test_optimizer_settings_are_ones_own():
    weight = nn.Parameter(torch.zeros(3))
    stored = torch.optim.Adam([weight], lr=0.5, betas=(0.1, 0.2))
    weight.grad = torch.ones(3)
    stored.step()
    own = torch.optim.Adam([nn.Parameter(torch.zeros(3))], lr=0.1)
    own.load_state_dict(optimizer_state(own, stored.state_dict()))
    assert own.param_groups[0]["lr"] == 0.5 and own.param_groups[0]["betas"] == (0.9, 0.999)
    assert torch.equal(own.state_dict()["state"][0]["exp_avg"], stored.state_dict()["state"][0]["exp_avg"])


@pytest.mark.parametrize("spoil", [torch.ones(4), torch.full((3,), torch.nan), "x", None])
def test_an_optimizer_of_other_weights(spoil):
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.ones(3)
    optimizer = torch.optim.Adam([weight])
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0]["exp_avg"] = spoil
    with pytest.raises(TypeError):
        optimizer_state(torch.optim.Adam([nn.Parameter(torch.zeros(3))]), state)


def test_finite_throughout():
    assert all_finite({"a": [torch.zeros(2), torch.tensor(1)]})
    assert not all_finite({"a": [torch.zeros(2), torch.tensor(torch.inf)]})
