"""What counts is the file that would be imported, not its name."""

from __future__ import annotations

import sys

import pytest

from agent_gym.envs.origin import check_origin, wrapper_name
from agent_gym.ground.errors import UserError


@pytest.mark.parametrize("name", ["os:Env-v0", "colorsys:Env-v0", "sys:Env-v0", "json.decoder:Env-v0"])
def test_modules_of_python_itself_are_refused(name, tmp_path):
    with pytest.raises(UserError, match="a module of Python itself"):
        check_origin(name, tmp_path)


def test_a_file_of_the_users_may_have_such_a_name(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "nntplib.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "here"))
    monkeypatch.delitem(sys.modules, "nntplib", raising=False)
    check_origin("nntplib:Env-v0", tmp_path / "runs" / "x")
    with pytest.raises(UserError, match="lies together with the run"):
        check_origin("nntplib:Env-v0", tmp_path / "here")


def test_installed_packages_pass(tmp_path):
    for name in ("gymnasium:CartPole-v1", "ale_py:ALE/Pong-v5", "CartPole-v1", "no_such_module:Env-v0"):
        check_origin(name, tmp_path)
    with pytest.raises(UserError, match="__main__"):
        check_origin("__main__:Env-v0", tmp_path)


def test_the_name_of_a_wrapper_stands_in_front_of_its_arguments():
    assert wrapper_name('package.module:Name {"a": [1]}') == "package.module:Name"
    assert wrapper_name("Name[1]") == "Name" and wrapper_name("Name") == "Name"
