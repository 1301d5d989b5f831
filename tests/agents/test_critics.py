"""Kinds of critics: CrossQ against sb3-contrib's, DroQ and SimBa by hand, fresh starts, resume and bad input."""

import math
from dataclasses import replace

import pytest
import torch
from sb3_contrib import CrossQ as SB3CrossQ
from sb3_contrib.common.torch_layers import BatchRenorm1d
from sb3_side import check_same, copy, random_batch, train_once
from torch import nn
from torch.nn import functional as F

from agent_gym.agents.sac import SAC
from agent_gym.agents.settings.sac import CrossQConfig, SACConfig, SimbaConfig
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import check_effects
from agent_gym.nets.trunks import batch_renorm
from agent_gym.nets.trunks.residual import Residual

SMALL = {"buffer_size": 100, "batch_size": 32, "hidden_sizes": (32, 32)}
PLAIN = {**SMALL, "optimizer": "sgd", "learning_rate": 0.02}


def make(config: SACConfig, env_id: str = "Pendulum-v1") -> SAC:
    return SAC(config, make_env(env_id, config.num_envs))


def learned(norm: BatchRenorm1d) -> list[torch.Tensor]:
    return [norm.scale.detach(), norm.bias.detach()]


def layers_of(net: nn.Module, kind: type) -> list:
    return [layer for layer in net.modules() if isinstance(layer, kind)]


def their_actor(actor) -> list[torch.Tensor]:
    """Its weights in the order of ours: batch renormalisations, hidden layers, then mean and log_std as one."""
    norms = [part.view(1, 1, -1) for norm in layers_of(actor.latent_pi, BatchRenorm1d) for part in learned(norm)]
    hidden = [p.detach() for layer in layers_of(actor.latent_pi, nn.Linear) for p in (layer.weight, layer.bias)]
    heads = [torch.cat((getattr(actor.mu, name), getattr(actor.log_std, name))).detach() for name in ("weight", "bias")]
    return [*norms, *hidden, *heads]


def their_critics(critic) -> list[torch.Tensor]:
    norms = zip(*(layers_of(net, BatchRenorm1d) for net in critic.q_networks), strict=True)
    linear = zip(*(layers_of(net, nn.Linear) for net in critic.q_networks), strict=True)
    found = [torch.stack(part).unsqueeze(1) for pair in norms for part in zip(*map(learned, pair), strict=True)]
    for pair in linear:
        found.append(torch.stack([layer.weight.detach().t() for layer in pair]))
        found.append(torch.stack([layer.bias.detach().unsqueeze(0) for layer in pair]))
    return found


def running(critic) -> list[torch.Tensor]:
    norms = zip(*(layers_of(net, BatchRenorm1d) for net in critic.q_networks), strict=True)
    return [
        torch.stack([getattr(n, part) for n in pair]).unsqueeze(1) for pair in norms for part in ("ra_mean", "ra_var")
    ]


@pytest.mark.parametrize("warm_up", [2, 100_000])
def test_losses_and_updates_are_those_of_sb3_contrib(monkeypatch, warm_up):
    monkeypatch.setattr(batch_renorm, "WARM_UP", warm_up)
    theirs = SB3CrossQ(
        *("MlpPolicy", "Pendulum-v1"),
        learning_rate=0.02,
        buffer_size=10,
        policy_delay=2,
        policy_kwargs={"net_arch": [32, 32], "optimizer_class": torch.optim.SGD, "renorm_warmup_steps": warm_up},
        device="cpu",
        seed=0,
    )
    theirs.ent_coef_optimizer = torch.optim.SGD([theirs.log_ent_coef], lr=0.02)
    ours = make(CrossQConfig(**PLAIN, policy_delay=2))
    theirs.actor.log_std.bias.data.fill_(-1.0)
    copy(their_actor(theirs.actor), [*ours.actor.parameters()])
    copy(their_critics(theirs.critic), [*ours.critic.parameters()])
    names = {"q_loss": "critic_loss", "policy_loss": "actor_loss", "alpha": "ent_coef"}
    for step in range(8):
        batch = random_batch(64, step, 3)
        ours.updates += 1
        mine = torch.Generator().manual_seed(0)
        mine.set_state(ours.generator.get_state())
        noise, next_noise = torch.randn(2, 64, 1, generator=mine)
        draws = [next_noise, noise]  # theirs draws the former only when it updates the actor
        monkeypatch.setattr(torch.distributions.normal, "_standard_normal", lambda *_, d=draws, **__: d.pop(0))
        logged, stats = train_once(theirs, batch), ours.learn(batch)
        assert ("policy_loss" in stats) == (step % 2 == 1) and len(draws) == (step + 1) % 2
        assert not [name for name in stats if "moments" in name]
        for name, their_name in names.items():
            if name in stats:
                expected = logged[f"train/{their_name}"]
                assert stats[name].item() == pytest.approx(expected, abs=1e-5, rel=1e-5), name
        check_same([*ours.actor.parameters()], their_actor(theirs.actor))
        check_same([*ours.critic.parameters()], their_critics(theirs.critic))
        ours_running = [part for norm in ours.critic.heads.hidden.norms for part in (norm.mean, norm.var)]
        check_same(ours_running, running(theirs.critic))
    # Whoever plays sees the running statistics.
    theirs.policy.set_training_mode(False)
    obs = torch.randn(5, 3)
    expected = theirs.actor(obs, deterministic=True)
    none = torch.zeros(5, 0)
    action, *_ = ours.policy.act(obs, none, torch.ones(5, dtype=torch.bool))
    torch.testing.assert_close(action, 2.0 * expected.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("warm_up", [-1, 10])
def test_the_gradient_of_batch_renormalisation_is_that_of_autograd(monkeypatch, warm_up):
    monkeypatch.setattr(batch_renorm, "WARM_UP", warm_up)
    torch.manual_seed(0)
    theirs, ours = BatchRenorm1d(6, warmup_steps=warm_up), batch_renorm.BatchRenorm(6)
    mean, var = 3.0 * torch.randn(6), torch.rand(6) + 0.01
    for norm, names in ((theirs, ("ra_mean", "ra_var", "scale", "bias")), (ours, ("mean", "var", "weight", "bias"))):
        values = (mean, var, torch.linspace(0.5, 2.0, 6), torch.linspace(-1.0, 1.0, 6))
        for name, value in zip(names, values, strict=True):
            getattr(norm, name).data.copy_(value)
    x = torch.randn(40, 6) * torch.tensor([0.01, 0.1, 1.0, 3.0, 30.0, 1.0])
    results = []
    for norm in (theirs, ours):
        given = x.clone().requires_grad_()
        with batch_renorm.BatchStatistics(ours).gathered():
            out = norm(given)
        wanted = [given, *norm.parameters()]
        results.append([out, *(g.flatten() for g in torch.autograd.grad((out * x.cos()).sum(), wanted))])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a.flatten(), b.flatten(), atol=1e-4, rtol=1e-4)


def test_a_column_that_never_changes_has_a_gradient(monkeypatch):
    monkeypatch.setattr(batch_renorm, "WARM_UP", -1)
    norm, x = batch_renorm.BatchRenorm(2), torch.tensor([[1.0, 7.0], [2.0, 7.0], [4.0, 7.0]], requires_grad=True)
    with batch_renorm.BatchStatistics(norm).gathered():
        gradient = torch.autograd.grad((norm(x) * torch.tensor([[1.0], [2.0], [3.0]])).sum(), x)[0]
    assert torch.isfinite(gradient).all() and gradient[:, 1].abs().min() == 0 < gradient[:, 1].abs().max()


def test_a_residual_block_by_hand():
    net = Residual(2, (3,), "relu")
    x = torch.randn(4, 2)
    block, first = net.blocks[0], net.first(x)
    inner = F.relu(block["wide"](F.layer_norm(first, (3,))))
    torch.testing.assert_close(net(x), F.layer_norm(first + block["narrow"](inner), (3,)))
    assert block["wide"].out_features == 12


def test_several_residual_networks_are_each_by_itself():
    torch.manual_seed(1)
    alone, together = Residual(3, (4, 4), "relu"), Residual(3, (4, 4), "relu", num=2)
    for mine, other in zip(alone.parameters(), together.parameters(), strict=True):
        other[1].data.copy_(mine.t() if mine.dim() == 2 else mine.view(1, -1))
    x = torch.randn(5, 3)
    torch.testing.assert_close(together(x.expand(2, 5, 3))[1], alone(x))


def test_dropout_is_drawn_once_for_each_pass():
    agent = make(SACConfig(**SMALL, critic="droq", critic_dropout=0.25))
    kept = agent.drawn(random_batch(500, 0, 3))["kept"]
    assert kept.shape == (3, 2, 500, 64)
    assert set(kept.unique().tolist()) == {0.0, torch.tensor(4 / 3).item()}
    assert (kept == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert not torch.equal(kept[0], kept[1]) and not torch.equal(kept[1], kept[2])
    # Nothing is dropped for who watches; with all units dropped only biases of the norms remain.
    features, action = torch.randn(1, 5, 3), torch.rand(1, 5, 1)
    full = agent.critic(features, action)
    assert torch.equal(full, agent.critic(features, action, kept=torch.ones(2, 5, 64)))
    none = agent.critic(features, action, kept=torch.zeros(2, 5, 64))
    torch.testing.assert_close(none, agent.critic.heads.out.bias.view(2, 1, 1).expand(2, 1, 5))


def test_all_networks_start_anew_and_what_was_measured_stays():
    config = SACConfig(**PLAIN, learning_starts=20, utd=2.0, reset_every=30, normalize_obs=True, total_steps=100)
    agents = []
    for every in (30, 0):
        torch.manual_seed(0)  # first weights
        agents.append(make(replace(config, reset_every=every)))
    for agent in agents:
        agent.begin()
        while agent.updates < 30:
            agent.collect()
            agent.update()
    reset, other = agents
    assert reset.resets == 1 and other.resets == 0
    assert torch.equal(*(agent.obs_norm(torch.ones(1, 3)) for agent in agents))
    assert len(reset.replay) == len(other.replay)
    first = make(config)
    for name, learner in reset.learners.items():
        assert not torch.equal(learner.parameters, other.learners[name].parameters)
        assert not torch.equal(learner.parameters, first.learners[name].parameters)
    assert reset.log_alpha.item() == 0.0 != other.log_alpha.item()
    assert torch.equal(reset.target.vector, reset.learners["critic"].parameters.detach())
    rest = sum(p.square().sum() for p in reset.critic.heads.out.parameters())
    assert 0 < rest < 10


def test_a_fresh_start_leaves_torchs_generator_and_forgets_momentum():
    agent = make(SACConfig(**SMALL, reset_every=5))
    agent.learn(random_batch(32, 0, 3))
    before = torch.get_rng_state()
    assert agent.learners["critic"].optimizer.state["step"] == 1
    agent._start_anew()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(not value.any() for value in agent.learners["critic"].optimizer.state.values())


REFUSED = {
    "--layer-norm is for --critic plain": {"critic": "simba", "layer_norm": True},
    "--conservative and --critic crossq do not go together": {"critic": "crossq", "conservative": 1.0},
    "--quantiles is for critics with targets": {"critic": "crossq", "quantiles": 5},
    "--critic crossq is for vectors without memory: .* not lstm": {"critic": "crossq", "encoder": "lstm"},
    "--batch-size 1 has no statistics for --critic crossq": {"critic": "crossq", "batch_size": 1},
    "--hidden-sizes 8 16: --critic simba takes blocks of one width": {"critic": "simba", "hidden_sizes": (8, 16)},
    "--critic-hidden-sizes 4 8: --critic simba": {"critic": "simba", "critic_hidden_sizes": (4, 8)},
    "--reset-every would throw away the weights of --start-from": {"reset_every": 5, "start_from": "runs/x"},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_go_together_is_told(message):
    with pytest.raises(UserError, match=message):
        SACConfig(**REFUSED[message])


def test_what_has_no_effect_is_told():
    with pytest.raises(UserError, match="--tau has no effect with --critic crossq"):
        check_effects(CrossQConfig(tau=0.1), {"tau"})
    with pytest.raises(
        UserError, match="--critic-dropout has no effect with --critic plain: it goes with --critic droq"
    ):
        check_effects(SACConfig(critic_dropout=0.1), {"critic_dropout"})
    with pytest.raises(UserError, match="--critic crossq is for vectors and Box actions, and CartPole-v1 has Discrete"):
        make(CrossQConfig(**SMALL), "CartPole-v1")


def test_widths_of_critics_are_their_own():
    agent = make(SimbaConfig(hidden_sizes=(16,), critic_hidden_sizes=(8, 8)))
    assert agent.actor.encoder.mlp.first.out_features == 16 and len(agent.actor.encoder.mlp.blocks) == 1
    assert agent.critic.heads.hidden.first.weight.shape == (2, 4, 8) and len(agent.critic.heads.hidden.blocks) == 2
    assert agent.target_entropy == -1.0 and math.isclose(agent.log_alpha.exp().item(), 1.0)
