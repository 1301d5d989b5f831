"""policy.pt2 of `agent-gym export` compiled for C++: python compile.py policy.pt2 policy.aoti.pt2."""

import sys

import torch

torch._inductor.aoti_compile_and_package(torch.export.load(sys.argv[1]), package_path=sys.argv[2])
