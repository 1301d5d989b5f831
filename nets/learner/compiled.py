"""torch.compile around a loss: operations between matrix products become one loop each, compiled on this machine.

What was compiled is kept for later runs, in TORCHINDUCTOR_CACHE_DIR or ~/.cache/agent-gym/compiled.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from agent_gym.ground.errors import UserError

COMPILERS = ("g++", "clang++", "c++")


def require_compiler(device: torch.device) -> None:
    """Raises UserError where torch.compile would find nothing to compile with."""
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise UserError("--compile: on a GPU it needs triton: pip install triton, or leave --compile out")
    elif not any(map(shutil.which, filter(None, (os.environ.get("CXX"), *COMPILERS)))):
        raise UserError(
            f"--compile: no C++ compiler is found ({', '.join(COMPILERS)}, or the one that CXX names): install one, "
            "or leave --compile out"
        )


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, compiled for each shape of its inputs; as it stands, with one line, where that fails."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agent-gym" / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    quick = torch.compile(function, dynamic=False)
    failed = False

    def run(*inputs: Any) -> Any:
        nonlocal failed
        if failed:
            return function(*inputs)
        try:
            return quick(*inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            failed = True
            first = str(error).strip().splitlines()[0][:120]
            print(f"note: --compile has no effect, torch could not compile the loss ({first})", file=sys.stderr)
            return function(*inputs)

    return run
