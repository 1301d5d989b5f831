"""Masks of actions as environments tell them, in every convention, backend and kind of action."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from masked_envs import WAYS, Doors

from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.layers import Layers
from agent_gym.envs.make import make_env
from agent_gym.envs.vector import EnvFailure
from agent_gym.ground.errors import UserError
from agent_gym.ground.spaces import choices_of, flat_mask


def expected(obs) -> torch.Tensor:
    """What Doors allows where it shows obs [B, 5]."""
    obs = obs["observation"] if isinstance(obs, dict) else obs
    return (obs + obs.roll(1, 1)).bool()


def allowed_action(mask: torch.Tensor) -> torch.Tensor:
    return mask.int().argmax(1)


def check_steps(env, steps: int = 20) -> None:
    """Masks belong to their observations, after resets and at the ends of episodes too."""
    obs, ends, mask = env.reset(3), 0, env.mask
    assert torch.equal(mask, expected(obs))
    for _ in range(steps):
        step = env.step(allowed_action(env.mask))
        assert torch.equal(step.mask, expected(step.obs)) and torch.equal(env.mask, step.mask)
        if step.final_obs is step.obs:
            assert step.final_mask is step.mask
        else:
            ends += 1
            assert torch.equal(step.final_mask, expected(step.final_obs))
    assert ends or env.backend == "gymnasium"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("backend", ["sync", "async"])
@pytest.mark.parametrize("mode", ["auto", "own"])
def test_a_mask_is_found_in_each_convention(way, backend, mode):
    layers = Layers(action_mask=way if mode == "own" else "auto")
    env = make_env(f"Doors{way.title()}-v0", 3, backend=backend, layers=layers, training=True)
    check_steps(env)
    env.close()


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_without_masks_nothing_is_kept_and_no_means_no(backend):
    for env_id, mode in (("DoorsNone-v0", "auto"), ("DoorsInfo-v0", "no"), ("DoorsMethod-v0", "no")):
        env = make_env(env_id, 2, backend=backend, layers=Layers(action_mask=mode))
        env.reset(0)
        step = env.step(torch.zeros(2, dtype=torch.int64))
        assert env.mask is None and step.mask is None and step.final_mask is None
        assert len(env.last) == 1
        env.close()
    env = make_env("DoorsObs-v0", 1, layers=Layers(action_mask="no"))
    assert "action_mask" in env.reset(0) and env.mask is None


@pytest.mark.parametrize("autoreset", list(AutoresetMode))
def test_vector_environments_tell_by_info(autoreset):
    vector = SyncVectorEnv([WAYS["info"]] * 3, autoreset_mode=autoreset)
    env = VectorAdapter(vector, "Doors")
    check_steps(env)


def test_taxi_tells_what_it_says_of_its_state():
    env = make_env("Taxi-v4", 2, backend="sync")
    env.reset(1)
    for _ in range(30):
        step = env.step(allowed_action(env.mask))
        own = [one.unwrapped.action_mask(int(obs)) for one, obs in zip(env.envs, step.obs, strict=True)]
        assert np.array_equal(step.mask.numpy(), np.array(own, bool))


def test_forms_of_a_mask():
    many, bits = spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)
    assert flat_mask([1, 0, 1, 1, 0], many, choices_of(many)).tolist() == [True, False, True, True, False]
    nested = (np.array([1, 0], np.int8), np.array([1, 1, 0], np.int8))
    assert many.contains(many.sample(mask=nested))
    assert flat_mask(nested, many, choices_of(many)).tolist() == [True, False, True, True, False]
    own = np.array([0, 1, 2], np.int8)  # as MultiBinary.sample takes it
    drawn = np.stack([bits.sample(mask=own) for _ in range(50)])
    mask = flat_mask(own, bits, choices_of(bits)).reshape(3, 2)
    assert mask.tolist() == [[True, False], [False, True], [True, True]]
    assert all(mask[i, bit] for draw in drawn for i, bit in enumerate(draw))
    for wrong in ([1, 0], [1, 0, 1, 1, 2], ["a"] * 5):
        with pytest.raises(ValueError, match="action mask"):
            flat_mask(wrong, many, choices_of(many))


def test_a_state_without_an_allowed_action_is_told():
    class Closed(WAYS["info"]):
        closed_at = 2

    env = SyncEnv([Closed() for _ in range(2)], "Closed")
    env.reset(0)
    env.step(allowed_action(env.mask))
    with pytest.raises(EnvFailure, match="Closed.*number 0.*step 2.*allows no action"):
        env.step(allowed_action(env.mask))

    class Shut(WAYS["info"]):
        closed_at = 0

    with pytest.raises(EnvFailure, match="at reset: its action mask allows no action"):
        SyncEnv([Shut()], "Shut").reset(0)

    class AtTheEnd(WAYS["info"]):
        closed_at = Doors.length

    env = SyncEnv([AtTheEnd()], "AtTheEnd")  # where an episode is over nothing need be allowed
    env.reset(0)
    for _ in range(20):
        env.step(allowed_action(env.mask))


def test_a_mask_of_another_size_is_named():
    class Short(Doors):
        def _told(self):
            return self._obs(), {"action_mask": np.ones(3, np.int8)}

    with pytest.raises(EnvFailure, match="mask has 3 entries, and the actions Discrete.5. have 5"):
        SyncEnv([Short()], "Short").reset(0)


@pytest.mark.parametrize(
    ("env_id", "mode", "line"),
    [
        ("DoorsNone-v0", "method", "--action-mask method: DoorsNone-v0 has no method"),
        ("DoorsNone-v0", "obs", "--action-mask obs: the observations of DoorsNone-v0"),
        ("DoorsNone-v0", "info", "--action-mask info: DoorsNone-v0 told of none"),
        ("Pendulum-v1", "info", "--action-mask info: the actions of Pendulum-v1"),
    ],
)
def test_a_convention_that_an_environment_does_not_keep_is_refused(env_id, mode, line):
    with pytest.raises(UserError, match=line):
        make_env(env_id, 1, backend="sync", layers=Layers(action_mask=mode)).reset(0)


def test_envpool_tells_none():
    pytest.importorskip("envpool")
    env = make_env("CartPole-v1", 2, backend="envpool")
    env.reset(0)
    assert env.mask is None and env.step(torch.zeros(2, dtype=torch.int64)).mask is None
    env.close()


def test_a_mask_in_a_wrapped_dict_is_found():
    env = gymnasium.wrappers.TransformReward(WAYS["obs"](), lambda reward: 2 * reward)
    gymnasium.register("WrappedDoors-v0", entry_point=lambda: env)
    made = make_env("WrappedDoors-v0", 1, backend="sync")
    check_steps(made)
    del gymnasium.registry["WrappedDoors-v0"]
