"""SAC with truncated quantile critics against sb3-contrib's TQC, by hand, and on bad input."""

import pytest
import torch
from sb3_contrib import TQC as SB3TQC
from sb3_side import random_batch, same_round, take_over_actor_and_critics

from agent_gym.agents.off_policy.soft_values import truncated
from agent_gym.agents.sac import SAC
from agent_gym.agents.settings.sac import SACConfig, TQCConfig
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError


@pytest.mark.parametrize("drop", [0, 2])
def test_losses_and_updates_are_those_of_sb3_contrib(monkeypatch, drop):
    sgd = {"net_arch": [32, 32], "optimizer_class": torch.optim.SGD, "n_quantiles": 7, "n_critics": 2}
    theirs = SB3TQC(
        *("MlpPolicy", "Pendulum-v1"),
        learning_rate=0.02,
        buffer_size=10,
        top_quantiles_to_drop_per_net=drop,
        policy_kwargs=sgd,
        device="cpu",
        seed=0,
    )
    theirs.ent_coef_optimizer = torch.optim.SGD([theirs.log_ent_coef], lr=0.02)
    small = {"buffer_size": 100, "batch_size": 32, "hidden_sizes": (32, 32), "optimizer": "sgd", "learning_rate": 0.02}
    ours = SAC(TQCConfig(**small, quantiles=7, drop_atoms=drop), make_env("Pendulum-v1", 1))
    take_over_actor_and_critics(theirs, ours)
    for step in range(4):
        same_round(monkeypatch, theirs, ours, random_batch(64, step, 3))


def test_the_largest_quantiles_of_all_critics_are_left_out():
    atoms = torch.tensor([[[[1.0, 9.0, 5.0]]], [[[2.0, 8.0, 7.0]]]])
    assert truncated(atoms, 1).tolist() == [[[1.0, 2.0, 5.0, 7.0]]]
    assert truncated(atoms, 0).tolist() == [[[1.0, 2.0, 5.0, 7.0, 8.0, 9.0]]]


def test_what_does_not_go_together_is_told():
    with pytest.raises(UserError, match="--drop-atoms 25 leaves none of --quantiles 25: expected fewer"):
        TQCConfig(drop_atoms=25)
    with pytest.raises(UserError, match="--conservative .* does not go with --quantiles"):
        SACConfig(quantiles=5, conservative=1.0)
    with pytest.raises(UserError, match="--quantiles is for Box actions, and CartPole-v1 has Discrete"):
        SAC(TQCConfig(), make_env("CartPole-v1", 1))
