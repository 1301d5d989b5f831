"""One object on standard output, against processes that print in every way there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest

from agent_gym.commands.line.messages import reported
from agent_gym.training.progress import Progress

ROOT = Path(__file__).parents[2]
NOISY = """
import atexit, ctypes, os, subprocess, sys
libc = ctypes.CDLL(None)
def noise(what):
    print("python", what)
    libc.printf(b"c %s\\n", what.encode())       # stays in C's buffer for now
    os.write(1, b"file descriptor\\n")
    subprocess.run(["echo", "child"])
"""


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", NOISY + code], cwd=ROOT, capture_output=True, text=True)


def test_nothing_but_the_object_reaches_standard_output():
    done = run("""
from agent_gym.ground.stdout import reserved_stdout
libc.printf(b"")
with reserved_stdout():
    noise("within")
atexit.register(noise, "at exit")
atexit.register(lambda: None)
print('{"a": 1}')
import weakref
class Late:
    def __del__(self, write=os.write):
        write(1, b"a destructor\\n")
late = Late()
""")
    first, *rest = done.stdout.splitlines()
    assert json.loads(first) == {"a": 1}
    # What a program itself registers after the context is its own; everything that comes later than that is kept away.
    assert "within" not in done.stdout and "a destructor" not in done.stdout
    for line in ("python within", "c within", "file descriptor", "child", "a destructor"):
        assert line in done.stderr


def test_an_error_within_the_context_passes_and_leaves_standard_output_as_it_was():
    done = run("""
from agent_gym.ground.stdout import reserved_stdout
try:
    with reserved_stdout():
        noise("within")
        raise OSError("disk")
except OSError as error:
    print(error)
""")
    assert done.stdout == "disk\n" and done.returncode == 0


ENV = '''
import ctypes, gymnasium, numpy as np
class Loud(gymnasium.Env):
    """Prints from C as PyBullet does."""
    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(2)
    def say(self):
        ctypes.CDLL(None).printf(b"pybullet build time\\\\n")
        print("hello from a library")
    def reset(self, seed=None, options=None):
        self.say()
        return np.zeros(2, np.float32), {}
    def step(self, action):
        self.say()
        return np.zeros(2, np.float32), 1.0, True, False, {}
    def __del__(self):
        self.say()
gymnasium.register("Loud-v0", Loud)
'''


@contextmanager
def nobody_reads():
    """Standard output as a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe, redirect_stdout(pipe):
        yield


def test_a_run_goes_on_when_nobody_reads_any_more(capsys):
    with nobody_reads():
        progress = Progress(100, "rollout/episode_return")
        for step in (10, 20, 30):
            progress.show(step, {"rollout/episode_return": 1.0})
        print("and what comes later goes nowhere", flush=True)
    assert capsys.readouterr().err.count("goes on in silence") == 1


def test_a_command_ends_quietly_when_nobody_reads_any_more():
    with nobody_reads():
        assert reported(lambda argv: print("much", flush=True))([]) == 141


def test_another_pipe_that_breaks_is_no_end_of_that_kind(tmp_path):
    def main(argv):
        raise BrokenPipeError

    with open(tmp_path / "out", "w") as out, redirect_stdout(out), pytest.raises(BrokenPipeError):
        reported(main)([])
