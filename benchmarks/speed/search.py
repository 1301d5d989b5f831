"""Simulations a second on Connect Four: our batched search beside open_spiel's MCTS with the same network, in turns."""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import pyspiel
import torch
from open_spiel.python.algorithms import mcts

from agent_gym.agents.alphazero import AlphaZeroPolicy
from agent_gym.agents.presets import table
from agent_gym.agents.settings.alphazero import AlphaZeroConfig
from agent_gym.envs.games.search import search
from agent_gym.envs.make import make_env

ENV = "AgentGym/ConnectFour-v0"
SIMULATIONS = 64


class NetworkEvaluator(mcts.Evaluator):
    """Our network for open_spiel's search, one position at a time, looked at once."""

    def __init__(self, policy: AlphaZeroPolicy) -> None:
        self.policy, self.key = policy, None

    def _look(self, state: pyspiel.State) -> tuple[np.ndarray, float]:
        key = str(state)
        if key != self.key:
            seen = np.asarray(state.observation_tensor(state.current_player()), np.uint8).reshape(3, 6, 7)[:, ::-1]
            obs = torch.from_numpy(np.ascontiguousarray(np.stack((seen[1], seen[0])))).unsqueeze(0).unsqueeze(0)
            nothing = torch.zeros(1, 0)
            with torch.no_grad():
                logits, value = self.policy.network(obs, nothing, torch.zeros(1, 1, dtype=torch.bool))
            self.key, self.seen = key, (logits[0, 0].softmax(0).numpy(), value.item())
        return self.seen

    def evaluate(self, state: pyspiel.State) -> list[float]:
        value = self._look(state)[1] * (1 if state.current_player() == 0 else -1)
        return [value, -value]

    def prior(self, state: pyspiel.State) -> list[tuple[int, float]]:
        probs = self._look(state)[0]
        return [(action, float(probs[action])) for action in state.legal_actions()]


def clocked(work) -> float:
    """Seconds of processor time, which other programs on the machine do not count into."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 32, 128, 512])
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    env = make_env(ENV, 1)
    config = AlphaZeroConfig(env=ENV, **{**table("alphazero")["env"][ENV], "simulations": SIMULATIONS})
    policy = AlphaZeroPolicy(env.obs_space, env.action_space, config)
    spiel, generator = pyspiel.load_game("connect_four"), torch.Generator().manual_seed(0)
    bot = mcts.MCTSBot(spiel, 1.5, SIMULATIONS, NetworkEvaluator(policy), child_selection_fn=mcts.SearchNode.puct_value)

    def ours(batch: int):
        state = policy.game.initial(batch, torch.device("cpu"))
        return lambda: search(policy.game, state, policy.evaluate, policy.settings(True), generator)

    sides = {"open_spiel": lambda: bot.mcts_search(spiel.new_initial_state())}
    sides |= {f"ours, {batch} games": ours(batch) for batch in args.batches}
    games = {"open_spiel": 1} | {f"ours, {batch} games": batch for batch in args.batches}
    for work in sides.values():
        work()
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.rounds):  # in turns, so that both see the same machine
        for name, work in sides.items():
            speeds[name].append(games[name] * SIMULATIONS / clocked(work))
    base = statistics.median(speeds["open_spiel"])
    for name, found in speeds.items():
        middle = statistics.median(found)
        print(f"{name:16} {middle:10,.0f} simulations/s ({min(found):,.0f} to {max(found):,.0f}), {middle / base:.1f}")


if __name__ == "__main__":
    main()
