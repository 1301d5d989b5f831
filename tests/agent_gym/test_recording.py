"""--record: the data set holds what the environments gave and nothing else, also of a run that was killed."""

import json
import shutil
from itertools import pairwise

import gymnasium
import minari
import numpy as np
import pytest

import train
from agent_gym import DQN, PPO
from agent_gym.agents import config_class
from agent_gym.ground.errors import UserError

SMALL = {"hidden_sizes": (8,), "eval_every": "never", "eval_episodes": 1, "quiet": True, "seed": 3}


class Told(gymnasium.Env):
    """Writes down what it gives, in `seen`: episodes of 3 to 6 steps, every third one cut by a limit of 4."""

    observation_space = gymnasium.spaces.Dict(
        {
            "place": gymnasium.spaces.Box(-1, 1, (2,), np.float64),
            "moods": gymnasium.spaces.Tuple((gymnasium.spaces.Discrete(3, start=1), gymnasium.spaces.MultiBinary(2))),
        }
    )
    action_space = gymnasium.spaces.Discrete(2, start=5)
    seen: list = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.length = 0, int(self.np_random.integers(3, 7))
        self.story = ([self._look()], [], [], [])
        Told.seen.append(self.story)
        return self.story[0][-1], {}

    def _look(self):
        rng = self.np_random
        return {
            "place": rng.uniform(-1, 1, 2).astype(np.float32).astype(float),
            "moods": (int(rng.integers(1, 4)), rng.integers(0, 2, 2, np.int8)),
        }

    def step(self, action):
        self.t += 1
        if getattr(self, "breaks", 0) and len(Told.seen) == 9 and self.t == 2:
            raise RuntimeError("broken")
        reward, over, cut = float(self.t) / 4, self.t == self.length, self.t == 4 and self.length % 3 == 0
        for part, value in zip(self.story, (self._look(), action, reward, (over, cut)), strict=True):
            part.append(value)
        return self.story[0][-1], reward, over, cut, {}


class Breaking(Told):
    breaks = 1


def flat(obs) -> list[float]:
    return [*obs["place"], obs["moods"][0], *obs["moods"][1]]


def stories(episodes) -> list[list]:
    """Sorted, since they end in another order than they began."""
    return sorted([[flat(o) for o in obs], *map(list, rest)] for obs, *rest in episodes)


def recorded(name: str) -> list[list]:
    found = []
    for one in minari.load_dataset(name).iterate_episodes():
        place, (mood, bits) = one.observations["place"], one.observations["moods"]
        obs = [{"place": p, "moods": (m, b)} for p, m, b in zip(place, mood, bits, strict=True)]
        assert one.rewards.shape == one.actions.shape == (len(obs) - 1,)
        ends = list(zip(one.terminations.tolist(), one.truncations.tolist(), strict=True))
        found.append((obs, one.actions.tolist(), one.rewards.tolist(), ends))
    return stories(found)


@pytest.fixture
def sets(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    monkeypatch.setattr(Told, "seen", [])
    return tmp_path / "sets"


@pytest.mark.parametrize("agent, env", [(PPO, Told), (DQN, Told), (PPO, Breaking)])
def test_a_set_holds_what_the_environments_gave(sets, tmp_path, agent, env):
    common = {"num_envs": 3, "record": "told/seen-v0", **SMALL}
    own = {"num_steps": 16} if agent is PPO else {"learning_starts": 20, "batch_size": 8}
    agent(env, on_env_error="restart", **common, **own).learn(96, run_dir=tmp_path / "run")
    found, given = recorded("told/seen-v0"), [story for story in Told.seen if story[1]]
    steps = json.loads((tmp_path / "run/result.json").read_text())["total_steps"]
    assert sum(len(story[1]) for story in found) == steps >= 96
    for _, _, _, ends in found:
        assert not any(any(end) for end in ends[:-1]) and sum(ends[-1]) == 1
    for _, _, _, ends in given:  # what was given up is cut
        ends[-1] = (ends[-1][0], ends[-1][1] and not ends[-1][0]) if any(ends[-1]) else (False, True)
    given = stories(given)  # and what the evaluations were given
    assert all(story in given for story in found) and all(a != b for a, b in pairwise(found))


def content(name: str) -> list[tuple]:
    parts = ("observations", "actions", "rewards", "terminations", "truncations")
    return [tuple(getattr(e, part).tolist() for part in parts) for e in minari.load_dataset(name).iterate_episodes()]


FLAGS = ["ppo", "--env", "CartPole-v1", "--num-envs", "4", "--num-steps", "32", "--num-epochs", "1", "--seed", "5"]
FLAGS += ["--hidden-sizes", "16", "--eval-episodes", "1", "--eval-every", "never", "--quiet", "--num-threads", "1"]


def test_a_killed_run_goes_on_to_the_same_set(sets, tmp_path):
    run, name = tmp_path / "run", "pole/seen-v0"
    flags = [*FLAGS, "--total-steps", "1536", "--checkpoint-every", "512", "--run-dir", str(run), "--record", name]
    assert train.main(flags) == 0
    whole = content(name)
    assert sum(len(episode[1]) for episode in whole) == 1536
    # As after a kill: the checkpoint before, steps behind it in the file, the last of them torn.
    shutil.move(run / "checkpoints/previous.pt", run / "checkpoints/last.pt")
    with open(run / "experience/steps", "ab") as file:
        file.write(b"torn")
    assert train.main(["--resume", str(run), "--quiet"]) == 0
    assert content(name) == whole
    # Trained on, the set is written anew in place of the run's own.
    assert train.main(["--resume", str(run), "--total-steps", "2048", "--quiet"]) == 0
    assert minari.load_dataset(name).total_steps == 2048 and sorted(p.name for p in sets.iterdir()) == ["pole"]


def test_what_cannot_be_recorded_is_refused_in_one_line(sets, tmp_path, capsys):
    def refused(*flags: str) -> str:
        assert train.main([*flags, "--run-dir", str(tmp_path / "run")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and not (tmp_path / "run").exists(), error
        return error

    assert "--record 'pole' is no id of a data set" in refused(*FLAGS, "--record", "pole")
    assert "this is a group of them" in refused(
        *[f for f in FLAGS if f not in ("--seed", "5")], "--seeds", "2", "--record", "a/b-v0"
    )
    with pytest.raises(UserError, match="with --data nothing is"):
        config_class("bc")(data="minari:a/b-v0", record="a/b-v0")
    assert "plays by the rules alone" in refused("alphazero", "--record", "a/b-v0")
    (sets / "pole/there-v0").mkdir(parents=True)
    assert "is there already" in refused(*FLAGS, "--record", "pole/there-v0")
    run = tmp_path / "short"
    assert train.main([*FLAGS, "--total-steps", "256", "--run-dir", str(run), "--record", "pole/short-v0"]) == 0
    (run / "experience/steps").write_bytes(b"")
    capsys.readouterr()
    assert train.main(["--resume", str(run), "--total-steps", "512", "--quiet"]) == 2
    assert "holds less than at the checkpoint" in capsys.readouterr().err
    with pytest.raises(UserError, match="expected Box"):
        PPO(type("Odd", (Told,), {"observation_space": gymnasium.spaces.Text(4)}), record="a/b-v0", **SMALL).learn(64)
