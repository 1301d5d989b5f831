"""The same batch and the same weights for Stable-Baselines3's off-policy algorithms and for ours."""

from __future__ import annotations

import pytest
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor, nn

from agent_gym.agents.off_policy.critic import Critic


def random_batch(size: int, seed: int, obs_dim: int, actions: int | None = None) -> dict:
    """Transitions [1, size], a third of which end; `actions` discrete ones, or one continuous."""
    gen = torch.Generator().manual_seed(seed)
    going_on = (torch.rand(1, size, generator=gen) > 0.3).float()
    continuous = 2.0 * torch.rand(1, size, 1, generator=gen) - 1.0
    return {
        "obs": torch.randn(1, size, obs_dim, generator=gen),
        "action": torch.randint(actions, (1, size), generator=gen) if actions else continuous,
        "next_obs": torch.randn(1, size, obs_dim, generator=gen),
        "reward": 3.0 * torch.randn(1, size, generator=gen),
        "discount": 0.99 * going_on,
    }


def as_theirs(batch: dict) -> ReplayBufferSamples:
    """The batch as its replay buffer gives it."""
    column = {name: value[0].reshape(len(value[0]), -1) for name, value in batch.items()}
    dones = (column["discount"] == 0).float()
    return ReplayBufferSamples(column["obs"], column["action"], column["next_obs"], dones, column["reward"])


def train_once(theirs, batch: dict) -> dict[str, float]:
    """One round of Stable-Baselines3's own `train` on the batch; returns what it logs."""
    theirs.set_logger(Logger(folder=None, output_formats=[]))
    theirs.replay_buffer.sample = lambda *_, env=None: as_theirs(batch)
    theirs.train(1, batch["reward"].shape[1])
    return theirs.logger.name_to_value


def critic_weights(critic: nn.Module) -> list[Tensor]:
    """Its critics' layers as ours hold them: weight [num, in, out] and bias [num, 1, out] of each layer in turn."""
    linear = [[layer for layer in net if isinstance(layer, nn.Linear)] for net in critic.q_networks]
    tensors = []
    for layers in zip(*linear, strict=True):
        tensors.append(torch.stack([layer.weight.detach().t() for layer in layers]))
        tensors.append(torch.stack([layer.bias.detach().unsqueeze(0) for layer in layers]))
    return tensors


def our_critic_weights(critic: Critic) -> list[Tensor]:
    layers = [*critic.heads.hidden, critic.heads.out]
    return [tensor for layer in layers for tensor in (layer.weight, layer.bias)]


def disturb(module: nn.Module) -> None:
    """So that a target network is not the network itself."""
    for parameter in module.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))


def copy(source: list[Tensor], into: list[Tensor]) -> None:
    for theirs, ours in zip(source, into, strict=True):
        ours.data.copy_(theirs)


def check_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.detach(), b.detach(), atol=1e-5, rtol=1e-5)


def actor_weights(actor) -> list[Tensor]:
    """Its actor's layers in our order: hidden layers, then mean and log_std as one layer."""
    hidden = [p.detach() for p in actor.latent_pi.parameters()]
    heads = [torch.cat((getattr(actor.mu, name), getattr(actor.log_std, name))).detach() for name in ("weight", "bias")]
    return [*hidden, *heads]


def take_over_actor_and_critics(theirs, ours) -> None:
    """Its weights for our SAC, with a target network that is not the network itself."""
    disturb(theirs.critic_target)
    # Narrow, because theirs adds 1e-6 inside a logarithm that ours takes exactly.
    theirs.actor.log_std.bias.data.fill_(-1.0)
    copy(actor_weights(theirs.actor), list(ours.actor.parameters()))
    copy(critic_weights(theirs.critic), our_critic_weights(ours.critic))
    copy(critic_weights(theirs.critic_target), our_critic_weights(ours.target.module))


def same_round(monkeypatch, theirs, ours, batch: dict) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Both learn from the batch with the same draws, and what they log and their weights are held to be the same."""
    mine = torch.Generator().manual_seed(0)
    mine.set_state(ours.generator.get_state())
    draws = list(torch.randn(2, batch["reward"].shape[1], 1, generator=mine))  # theirs draws for obs before next_obs
    monkeypatch.setattr(torch.distributions.normal, "_standard_normal", lambda *_, **__: draws.pop(0))
    logged, stats = train_once(theirs, batch), ours.learn(batch)
    assert not draws
    for name, their_name in {"q_loss": "critic_loss", "policy_loss": "actor_loss", "alpha": "ent_coef"}.items():
        assert stats[name].item() == pytest.approx(logged[f"train/{their_name}"], abs=1e-5, rel=1e-5), name
    check_same(list(ours.actor.parameters()), actor_weights(theirs.actor))
    check_same(our_critic_weights(ours.critic), critic_weights(theirs.critic))
    check_same(our_critic_weights(ours.target.module), critic_weights(theirs.critic_target))
    return logged, stats
