"""Runs what README and docs print: python -m benchmarks.docs_check [--seconds N] [FILE.md ...].

Python blocks run in a process of their own each, commands in a shell, all of a page in one folder. A block behind
"Save this as `x.py`" or "Add it to `x.py`" becomes that file. One after `<!-- not run: reason -->` is left out.
A command that serves a page must answer there, and is stopped by SIGINT then; so is one that still trains, searches or
shows something after N seconds (900), which must save what it has and end with exit code 130. What was stopped so, and
what was not run and why, is listed at the end: such commands are known to start and to stop, not to reach their end.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"(<!-- not run: (?P<why>[^>]*) -->\n+|(?:Save this as|[Aa]dd it to) `\w+\.py`[^\n]*\n\n)?"
    r"(?:```(?P<kind>python|bash|)\n(?P<fenced>.*?)```|(?<=\n\n)(?P<indented>(?: {4}[^\n]*\n)+))",
    re.S,
)
FILE = re.compile(r"`(\w+\.py)`")
SECONDS = 900
PATIENCE = 120.0  # seconds that a command has to save and leave
CUT = "cut"  # in place of a reason for failing


def default_pages() -> list[Path]:
    """README and all of docs, once, but the record of results, whose commands take hours."""
    return [
        ROOT / "README.md",
        *(p for p in sorted((ROOT / "docs").rglob("*.md")) if p.name.count(".") == 1 and p.name != "results.md"),
    ]


def blocks(page: Path) -> list[tuple[str, str]]:
    """("python", "shell" or a file's name, text) of each block that is to run or to be saved."""
    found = []
    for block in BLOCK.finditer(page.read_text("utf-8")):
        if not block["why"]:
            name = FILE.search(block[1] or "")
            kind = "python" if block["kind"] == "python" else "shell"
            found.append((name[1] if name else kind, _text(block)))
    return found


def left_out(page: Path) -> list[tuple[str, str]]:
    """(first line, reason) of each block that is not to run."""
    found = BLOCK.finditer(page.read_text("utf-8"))
    return [(_text(block).strip().splitlines()[0], block["why"]) for block in found if block["why"]]


def _text(block: re.Match) -> str:
    return block["fenced"] or textwrap.dedent(block["indented"] or "")


def commands(text: str) -> list[str]:
    """The commands of a block, without comments; those that install or never end are left out."""
    lines = [line.split("  #")[0].strip() for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if re.match(r"([A-Z_]+=\S+ )*(python|agent-gym) ", line)]


def _other_languages() -> int:
    """How many pages of another language (x.ko.md) print other commands than their page (x.md); those are not run."""
    failed = 0
    for page in sorted((ROOT / "docs").rglob("*.??.md")):
        original = page.with_name(page.name.split(".")[0] + ".md")
        ours, theirs = (
            [c for kind, text in blocks(p) if kind == "shell" for c in commands(text)] for p in (page, original)
        )
        if differing := set(ours) ^ set(theirs):
            failed += 1
            print(f"FAILED {page.name}: differs from {original.name} in {sorted(differing)}", flush=True)
    return failed


def run(command: list[str], folder: str, env: dict[str, str], seconds: float) -> str:
    """Why it failed, in the words of its own last lines; empty where it did not, CUT where it was stopped in time."""
    port = re.search(r"--web (\d+)", command[-1])
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryFile() as typed:
        typed.write(b"q\n")  # by those who play in the terminal
        typed.seek(0)
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=typed,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        end = time.monotonic() + seconds
        if port:
            while process.poll() is None and not _answers(int(port[1])) and time.monotonic() < end:
                time.sleep(0.2)
            answered = process.poll() is None
            os.killpg(process.pid, signal.SIGINT)
        cut = False
        try:
            code = process.wait(max(end - time.monotonic(), 30.0))
        except subprocess.TimeoutExpired:
            cut = True
            os.kill(process.pid, signal.SIGINT)
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return f"went on for {PATIENCE:.0f} s after SIGINT"
        if code == 0 or (port and answered and code == 130):
            return ""
        if cut and code in (130, -signal.SIGINT):  # of a program in Python, KeyboardInterrupt comes out of `learn`
            return CUT
        errors.seek(0)
        return f"exit code {code}\n{errors.read()[-800:]}"


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
            return page.status == 200
    except OSError:
        return False


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Run what README and docs print.")
    parser.add_argument("pages", nargs="*", metavar="FILE.md", type=Path, help="all by default")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which a command is stopped")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored in the background
    failed, good, cut = _other_languages(), 0, []
    pages = options.pages or default_pages()
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}.",  # files that a page asks to save lie beside train.py
        "OMP_NUM_THREADS": "1",
        "SDL_VIDEODRIVER": "dummy",
        "MPLBACKEND": "agg",
    }
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            env["MINARI_DATASETS_PATH"] = str(Path(folder) / "datasets")
            for kind, text in blocks(page):
                if kind.endswith(".py"):
                    with (Path(folder) / kind).open("a") as file:
                        file.write(text)
                    continue
                if kind == "python":
                    found = [[sys.executable, "-c", text]]
                else:
                    found = [["bash", "-c", f"exec {_here(command)}"] for command in commands(text)]
                for command in found:
                    label = command[-1].strip().splitlines()[0][:100]
                    began = time.monotonic()
                    why = run(command, folder, env, options.seconds)
                    took = f"{time.monotonic() - began:.0f} s"
                    if why == CUT:
                        cut.append(f"{page.name}: {label}")
                    elif why:
                        failed += 1
                        print(f"FAILED {page.name}: {label}\n{why}", flush=True)
                        continue
                    good += not why
                    print(f"{why or 'ok'} {page.name}: {label} ({took})", flush=True)
    for line in cut:
        print(f"stopped after {options.seconds:.0f} s, saved: {line}")
    skipped = [f"{page.name}: {line}: {why}" for page in pages for line, why in left_out(page)]
    print("\n".join(f"not run: {line}" for line in skipped))
    print(f"{good} ran to their end, {len(cut)} were stopped, {failed} failed, {len(skipped)} blocks were not run")
    return int(failed > 0)


def _here(command: str) -> str:
    """A command of the repository's folder, as it runs in another one."""
    command = re.sub(r"\bpython (train|evaluate)\.py", rf"{sys.executable} {ROOT}/\1.py", command, count=1)
    command = re.sub(r"\bpython -m", f"{sys.executable} -m", command, count=1)
    command = re.sub(r"^agent-gym", f"{sys.executable} -m agent_gym", command)
    return f"env {command}" if re.match(r"[A-Z_]+=", command) else command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
