"""The import rules of docs/architecture.md, read from the code itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("nets", "envs", "agents", "tasks", "training")
FILES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
ENTRY_POINTS = [ROOT / "train.py", ROOT / "evaluate.py"]

FORBIDDEN = {
    "nets": {"envs", "agents", "tasks", "training"},
    "envs": {"nets", "agents", "tasks", "training"},
    "tasks": {"envs", "agents", "training"},
    "agents": {"tasks", "training"},
    "training": {"agents", "tasks", "envs"},
}
NETS_MAY_IMPORT = {"torch", "numpy", "gymnasium", "nets"}


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that the file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names


def top(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_packages_import_only_what_they_may(path):
    package = path.relative_to(ROOT).parts[0]
    assert not top(imports(path)) & (FORBIDDEN[package] | {"train", "evaluate"})


@pytest.mark.parametrize("path", (ROOT / "nets").rglob("*.py"), ids=lambda p: p.name)
def test_nets_import_torch_numpy_and_gymnasium_only(path):
    import sys

    assert top(imports(path)) <= NETS_MAY_IMPORT | set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", FILES + ENTRY_POINTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_single_homes(path):
    name, tree = str(path.relative_to(ROOT)), ast.parse(path.read_text())
    if name != "nets/learner.py":
        calls = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
        assert not [c for c in calls if c.attr == "backward"], "gradients are taken in nets/learner.py alone"
    if name != "agents/sb3.py":
        assert "stable_baselines3" not in top(imports(path))
    if not name.startswith("training/"):
        assert "SummaryWriter" not in path.read_text() and "RecordWriter" not in path.read_text()
    assert len(path.read_text().splitlines()) <= 300


def test_one_algorithm_never_imports_another():
    algorithms = {p.stem for p in (ROOT / "agents").glob("*.py") if p.stem in {"ppo", "dqn", "sac", "td3", "sb3"}}
    for name in algorithms:
        others = {f"agents.{other}" for other in algorithms - {name}}
        assert not imports(ROOT / "agents" / f"{name}.py") & others


def test_agents_know_only_the_contract_of_envs():
    for path in (ROOT / "agents").glob("*.py"):
        assert {n for n in imports(path) if n.split(".")[0] == "envs"} <= {"envs.vector"}
