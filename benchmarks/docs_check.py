"""Runs what README and docs print: python -m benchmarks.docs_check [FILE.md ...].

Python blocks run in a process of their own each, commands in a shell, all of a page in one folder. A block behind
"Save this as `x.py`" or "Add it to `x.py`" becomes that file. One after `<!-- not run: reason -->` is left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"(<!-- not run: [^>]*-->\n|(?:Save this as|[Aa]dd it to) `\w+\.py`[^\n]*\n\n)?```(python|bash|)\n(.*?)```", re.S
)
FILE = re.compile(r"`(\w+\.py)`")
SECONDS = 900


def blocks(page: Path) -> list[tuple[str, str]]:
    """("python", "shell" or a file's name, text) of each block that is to run or to be saved."""
    found = []
    for before, kind, text in BLOCK.findall(page.read_text("utf-8")):
        if before.startswith("<!--"):
            continue
        name = FILE.search(before)
        found.append((name[1] if name else "python" if kind == "python" else "shell", text))
    return found


def commands(text: str) -> list[str]:
    """The commands of a block, without comments; those that install or never end are left out."""
    lines = [line.split("  #")[0].strip() for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if re.match(r"(python|agent-gym|tensorboard)\b", line)]


def main(pages: list[str]) -> int:
    failed = 0
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "SDL_VIDEODRIVER": "dummy",
        "MPLBACKEND": "agg",
    }
    for page in [Path(p) for p in pages] or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        with tempfile.TemporaryDirectory() as folder:
            for kind, text in blocks(page):
                if kind.endswith(".py"):
                    with (Path(folder) / kind).open("a") as file:
                        file.write(text)
                    continue
                if kind == "python":
                    found = [[sys.executable, "-c", text]]
                else:
                    found = [["bash", "-c", _here(command)] for command in commands(text)]
                for command in found:
                    result = subprocess.run(
                        command, cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS
                    )
                    label = command[-1].strip().splitlines()[0][:100]
                    if result.returncode:
                        failed += 1
                        print(f"FAILED {page.name}: {label}\n{result.stderr[-800:]}", flush=True)
                    else:
                        print(f"ok {page.name}: {label}", flush=True)
    return int(failed > 0)


def _here(command: str) -> str:
    """A command of the repository's folder, as it runs in another one."""
    command = re.sub(r"^python (train|evaluate)\.py", rf"{sys.executable} {ROOT}/\1.py", command)
    command = re.sub(r"^python -m", f"{sys.executable} -m", command)
    return re.sub(r"^agent-gym", f"{sys.executable} -m agent_gym", command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
