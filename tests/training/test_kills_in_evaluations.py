"""Processes killed outright within evaluations and films of every kind, against runs left alone: the same bits."""

import pytest

from benchmarks.contents import contents, differing
from benchmarks.killing import Spot, killed_at, left_alone

ALL = "--eval-episodes 6 --seed 3 --checkpoint-every 128 --eval-every 128"
AGENT = f"{ALL} --periodic-eval-episodes 2 --hidden-sizes 16"
PPO = f"ppo --num-envs 2 --num-steps 32 --num-epochs 2 --total-steps 384 {AGENT}"
PENDULUM, CARTPOLE = "--env Pendulum-v1", "--env CartPole-v1"
DQN = f"dqn {CARTPOLE} --num-envs 1 --total-steps 384 --learning-starts 100 --batch-size 8 {AGENT}"
BOARD = "alphazero --env AgentGym/TicTacToe-v0 --encoder mlp --num-envs 8 --num-threads 1 --hidden-sizes 16 --seed 3"
BOARD += " --total-steps 320 --simulations 4 --num-steps 4 --batch-size 32 --match-games 2 --eval-episodes 4"
BOARD += " --eval-every 160 --checkpoint-every 160"
KINDS = {
    "gymnasium": f"{PPO} {PENDULUM} --backend sync",
    "native": f"{PPO} {CARTPOLE}",
    "sampled": f"{PPO} {CARTPOLE} --learning-rate 1e-9",  # greedy and sampled actions have scores apart
    "workers": f"{PPO} {PENDULUM} --backend async",
    "shared": f"{PPO} {PENDULUM} --backend sync --eval-env shared",
    "replay": DQN,
    "film": f"{PPO} {CARTPOLE} --video-every 192",
    "board": BOARD,
    "sb3": f"sb3 --algo PPO {CARTPOLE} --total-steps 384 --num-envs 2 {ALL}",
    "table": "iris --epochs 8 --checkpoint-every 4 --seed 3",
}
LOOK = Spot("agent_gym.training.loop:look", 2)
SCORE = Spot("agent_gym.composing.scores.scoring:play", 4)  # after three in training, of which the last is at its end
FINAL = Spot("agent_gym.training.running:conclude")
FILM = Spot("agent_gym.composing.seats.shows:film_episode")
SPOTS = [
    *((kind, LOOK, ["evaluate"]) for kind in KINDS if kind not in ("film", "sampled")),
    ("gymnasium", SCORE._replace(time=3), ["evaluate"]),
    ("gymnasium", SCORE, []),
    ("sampled", SCORE._replace(time=5), []),  # the second score at the end
    *((kind, FINAL, []) for kind in ("native", "shared", "replay", "board", "table")),
    ("film", FILM, ["film"]),
    ("film", FILM._replace(time=2), ["evaluate", "film"]),  # at the end of the training
]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What a run of a kind leaves that is left alone; trained once."""
    folder, found = tmp_path_factory.mktemp("alone"), {}

    def of(kind: str) -> dict:
        if kind not in found:
            left_alone(KINDS[kind].split(), folder / kind)
            found[kind] = contents(folder / kind)
        return found[kind]

    return of


@pytest.mark.parametrize("kind, spot, owed", SPOTS)
def test_killed_there_and_resumed_it_ends_in_the_same_bits(kind, spot, owed, alone, tmp_path):
    saved = killed_at(spot, KINDS[kind].split(), tmp_path / "run")
    assert saved["owed"] == owed  # saved first, looked then
    assert differing(alone(kind), contents(tmp_path / "run")) == []
