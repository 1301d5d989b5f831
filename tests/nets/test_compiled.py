"""torch.compile around losses: the same numbers to rounding, refused without a compiler, left out where it fails."""

import shutil

import pytest
import torch
import torch._inductor.config
import torch._inductor.cpu_vec_isa
from torch import nn

from agent_gym.ground.errors import UserError
from agent_gym.nets.learner import compiled as module
from agent_gym.nets.learner.learner import Learner
from agent_gym.nets.settings import OptimizerSettings


def losses(model: nn.Module, settings: OptimizerSettings, steps: int = 6) -> list[float]:
    def loss(x, y):
        error = (model(x).tanh() - y).square().mean()
        return error, {"error": error.detach()}

    learner = Learner(loss, model.parameters(), settings, capture=True)
    drawn = torch.Generator().manual_seed(0)
    return [
        learner.update(torch.randn(16, 4, generator=drawn), torch.randn(16, 2, generator=drawn))["loss"].item()
        for _ in range(steps)
    ]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 2)


@pytest.mark.skipif(not any(map(shutil.which, module.COMPILERS)), reason="needs a C++ compiler")
def test_a_compiled_loss_learns_the_same(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    # Vector instructions are found by compiling for each; compiled headers pay where there are many losses.
    monkeypatch.setattr(torch._inductor.cpu_vec_isa, "valid_vec_isa_list", list)
    monkeypatch.setattr(torch._inductor.config, "cpp_cache_precompile_headers", False)
    found = losses(network(), OptimizerSettings(learning_rate=0.05, compile=True))
    assert found == pytest.approx(losses(network(), OptimizerSettings(learning_rate=0.05)), abs=1e-6)
    assert "no effect" not in capsys.readouterr().err
    assert list(tmp_path.rglob("*"))  # what was compiled is kept


def test_without_a_compiler_it_is_refused(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="--compile: no C.. compiler is found"):
        losses(network(), OptimizerSettings(compile=True))
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="triton"):
        module.require_compiler(torch.device("cuda"))


def test_what_cannot_be_compiled_runs_as_it_stands_with_one_line(monkeypatch, capsys):
    import torch._dynamo.exc

    def never(function, dynamic):
        def fails(*inputs):
            raise torch._dynamo.exc.TorchDynamoException("no such operation\nand more")

        return fails

    monkeypatch.setattr(torch, "compile", never)
    settings = OptimizerSettings(compile=True)
    assert losses(network(), settings) == losses(network(), OptimizerSettings(capture="no"))
    error = capsys.readouterr().err
    assert error.count("--compile has no effect") == 1 and error.count("\n") == 1
