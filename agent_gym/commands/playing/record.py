"""Play and write what was seen as a Minari data set: agent-gym record RUN --episodes 200 --dataset pole/expert-v0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import gymnasium
import numpy as np
import tyro
from gymnasium import spaces

from agent_gym.commands.line.invocation import command, quoted
from agent_gym.commands.line.messages import reported
from agent_gym.composing.saved import open_saved
from agent_gym.composing.sources import NamedSource
from agent_gym.envs.adapters.boundary.spaces import ObsLayout, alike, canonical_action
from agent_gym.envs.make import make_single
from agent_gym.ground.errors import UserError, one_line
from agent_gym.ground.foreign import find_class
from agent_gym.ground.settings import EVAL_SEED, SHARE, check_ranges
from agent_gym.predicting import Predictor
from agent_gym.storage import datasets
from agent_gym.storage.commit import commit
from agent_gym.storage.datasets import RawEpisode
from agent_gym.training.score import shown


@dataclass(frozen=True)
class RecordConfig:
    """Play episodes and write them as a data set."""

    player: tyro.conf.Positional[str]
    """Who plays: a run directory, random, or module:function that takes an observation and gives the action."""
    dataset: str
    """Id of the new set, namespace/name-v0; it is written where Minari looks for it."""
    episodes: int = 100
    """Episodes to play."""
    env: str = ""
    """Environment; empty: the one that the run was trained in."""
    stochastic: bool = False
    """Draw actions as in training instead of the most likely ones."""
    random_share: Annotated[float, SHARE] = 0.0
    """Chance of a random action in each step instead of the player's, for sets of lesser skill."""
    checkpoint: Literal["best", "last"] = "best"
    """The best by evaluation during training, or the latest."""
    seed: int = EVAL_SEED + 10_000
    """Seed of the first episode; the next ones count on."""
    description: str = ""
    """A line about the set, kept in it."""


class Player(NamedTuple):
    """Who plays, and where."""

    begin: Callable[[], None]
    """Told of each new episode."""
    act: Callable[[Any], Any]
    """The action for an observation, both as the environment has them."""
    env: gymnasium.Env
    name: str


@reported
def main(argv: list[str]) -> int:
    return record(tyro.cli(RecordConfig, args=argv, prog=command("record")))


def record(args: RecordConfig) -> int:
    if args.episodes < 1 or args.seed < 0:
        raise UserError(f"--episodes {args.episodes} --seed {args.seed}: expected 1 or more, and 0 or more")
    check_ranges(args)
    datasets.require_minari("recording")
    name = datasets.set_id(args.dataset)
    player = make_player(args)
    returns: list[float] = []
    with closing(player.env) as env:
        about = {"algorithm_name": player.name, "code_permalink": commit() or "unknown"}
        if args.description:
            about["description"] = args.description
        env.action_space.seed(args.seed)
        played = play(player, args.episodes, args.seed, returns, args.random_share)
        path = datasets.write(name, env, played, about)
    mean, std = np.mean(returns), np.std(returns)
    print(f"recorded {len(returns)} episodes, return {shown(mean)} ± {shown(std)}, in {quoted(path)}")
    print(f"learn from it: {command('train')} bc --data minari:{name}")
    return 0


def play(
    player: Player, episodes: int, seed: int, returns: list[float], random_share: float = 0.0
) -> Iterator[RawEpisode]:
    """Whole episodes, and their returns; some actions are random. Raises UserError where the environment fails."""
    env, generator = player.env, np.random.default_rng(seed)
    for number in range(seed, seed + episodes):
        try:
            obs, _ = env.reset(seed=number)
            seen, actions, rest = [obs], [], []
            player.begin()
            while not rest or not (rest[-1][1] or rest[-1][2]):
                action = player.act(obs)
                if random_share and generator.random() < random_share:
                    action = env.action_space.sample()
                obs, reward, terminated, truncated, _ = env.step(action)
                seen.append(obs)
                actions.append(action)
                rest.append((float(reward), bool(terminated), bool(truncated)))
        except UserError:
            raise
        except Exception as error:  # whatever an environment raises
            raise UserError(f"the environment failed in episode {number - seed} ({one_line(error, 200)})") from error
        rewards, terminations, truncations = (np.array(column) for column in zip(*rest, strict=True))
        returns.append(float(rewards.sum()))
        stacked = stack(seen, env.observation_space), stack(actions, env.action_space)
        yield RawEpisode(*stacked, rewards, terminations, truncations, number)


def stack(rows: list, space: gymnasium.Space) -> Any:
    """Arrays [T, ...], nested as the space is."""
    if isinstance(space, spaces.Dict):
        return {key: stack([row[key] for row in rows], part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(stack([row[i] for row in rows], part) for i, part in enumerate(space.spaces))
    return np.stack([np.asarray(row, space.dtype) for row in rows])


def make_player(args: RecordConfig) -> Player:
    """Raises UserError for a run or a function that is none."""
    if args.player == "random" or (":" in args.player and not Path(args.player).exists()):
        if not args.env:
            raise UserError(f"{args.player} plays anywhere: add --env with a Gymnasium id")
        env = make_single(args.env)
        function = None if args.player == "random" else find_class(args.player)
        act = (lambda obs: env.action_space.sample()) if function is None else function
        return Player(lambda: None, act, env, args.player)
    saved = open_saved(Path(args.player), args.checkpoint)
    env = make_single(args.env) if args.env else NamedSource(saved.config).single()
    raw = env.observation_space, env.action_space
    obs_space, action_space = ObsLayout(raw[0]).space, canonical_action(raw[1])
    for what, fits, there, here in (
        ("observations", alike(saved.policy.obs_space, obs_space), saved.spaces[0], raw[0]),
        ("actions", saved.policy.action_space == action_space, saved.spaces[1], raw[1]),
    ):
        if not fits:
            raise UserError(f"the run knows {what} {there}, and {args.env or saved.config.env} has {here}")
    memory = Memory(Predictor(saved.policy, raw, args.seed), stochastic=args.stochastic)
    return Player(memory.begin, memory.act, env, saved.name)


class Memory:
    """A policy that plays one environment, with its memory."""

    def __init__(self, predictor: Predictor, *, stochastic: bool) -> None:
        self.predictor, self.stochastic, self.state = predictor, stochastic, None

    def begin(self) -> None:
        self.state = None

    def act(self, obs: Any) -> Any:
        action, self.state = self.predictor.predict(obs, self.state, None, not self.stochastic)
        return action
