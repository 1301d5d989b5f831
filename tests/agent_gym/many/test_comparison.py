"""agent-gym compare: two folders of finished runs, written by hand."""

import json
import re

import numpy as np
import pytest

from agent_gym.__main__ import main
from agent_gym.many.reading import curves_of
from agent_gym.storage.run import Run


def made(folder, scores, env="CartPole-v1", steps=(100, 200)):
    """Runs with a final score each, and evaluations on the way to it."""
    for seed, score in enumerate(scores):
        run = Run.create(folder / f"{env}-{seed}", {"agent": "ppo", "env": env, "seed": seed}, {})
        if score is not None:
            for part, step in enumerate(steps, 1):
                run.log({"eval/episode_return": score * part / len(steps)}, step)
            run.write_text("result.json", json.dumps({"return_mean": score, "return_ci95": [score, score]}))
        run.close()
    return folder


@pytest.fixture
def groups(tmp_path):
    return made(tmp_path / "good", [100, 110, 120, 130, None]), made(tmp_path / "bad", [50, 60, 70, 125])


def test_a_comparison_as_json(groups, capsys):
    good, bad = map(str, groups)
    assert main(["compare", good, bad, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["rows"]
    assert (row["a_iqm"], row["b_iqm"]) == (115.0, 65.0)
    assert row["probability_of_improvement"] == 13 / 16  # 125 beats three of the four
    assert found["a"]["runs"] == {"CartPole-v1": 4} and "no difference" in found["verdict"]
    assert row["a_ci95"][0] <= 115.0 <= row["a_ci95"][1]


def test_several_environments_are_scaled(groups, capsys):
    for folder, scores in zip(groups, ([-1.0, -2.0], [-3.0, -4.0]), strict=True):
        made(folder, scores, "Acrobot-v1")
    made(groups[0], [1.0], "Pendulum-v1")
    assert main(["compare", *map(str, groups), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["on"] for row in found["rows"]] == ["Acrobot-v1", "CartPole-v1", "all environments"]
    assert 0.0 <= found["rows"][-1]["b_iqm"] < found["rows"][-1]["a_iqm"] <= 1.0
    assert found["rows"][-1]["probability_of_improvement"] == (1.0 + 13 / 16) / 2
    assert "Pendulum-v1" in found["notes"][0]


def test_a_page_holds_its_pictures(groups, tmp_path, capsys):
    page = tmp_path / "out.html"
    assert main(["compare", *map(str, groups), "--report", str(page)]) == 0
    out = capsys.readouterr().out
    assert "1 more without a score" in out and "no difference is shown" in out
    text = page.read_text()
    assert len(re.findall(r'src="data:image/png;base64,', text)) == 3 and "http" not in text
    assert "performance profiles" in text and "sample efficiency on CartPole-v1" in text


def test_curves_meet_where_all_have_been(tmp_path):
    made(tmp_path / "x", [10.0], steps=(10, 20, 40))
    made(tmp_path / "y", [20.0], steps=(20, 40))
    steps, values = curves_of([tmp_path / "x" / "CartPole-v1-0", tmp_path / "y" / "CartPole-v1-0"])
    assert steps.tolist() == [20, 40] and np.allclose(values, [[20 / 3, 10.0], [10.0, 20.0]])
    made(tmp_path / "z", [10.0], steps=(11, 41))
    steps, values = curves_of([tmp_path / "y" / "CartPole-v1-0", tmp_path / "z" / "CartPole-v1-0"])
    assert (steps[0], steps[-1]) == (20, 40) and values[1, 0] == pytest.approx(5.0 + 5.0 * 9 / 30)


def test_bad_input_is_one_line(groups, tmp_path, capsys):
    good, bad = map(str, groups)
    other, empty = made(tmp_path / "other", [1.0], "Acrobot-v1"), tmp_path / "empty"
    empty.mkdir()
    unfinished = made(tmp_path / "unfinished", [None, None])
    for argv, words in (
        ([good, "nowhere"], "nowhere is no folder"),
        ([good, str(empty)], "holds no runs"),
        ([good, str(unfinished)], "none of the 2 runs"),
        ([good, str(other)], "expected groups with runs of the same environment"),
        ([good, bad, "--report", "out.pdf"], "such as out.html"),
        ([good, bad, "--report", str(tmp_path / "no" / "out.html")], "there is no folder"),
        ([good], "takes two folders"),
        ([good, bad, "--reprot", "x"], "did you mean --report"),
    ):
        assert main(["compare", *argv]) == 2
        err = capsys.readouterr().err
        assert words.lower() in err.lower() and err.count("\n") == 1, err
