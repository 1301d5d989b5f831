"""Settings of AlphaZero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from agent_gym.agents.settings.base import AgentConfig
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import NOT_NEGATIVE, POSITIVE, SHARE, Count, Range
from agent_gym.nets.settings import OptimizerSettings, ScheduleName


@dataclass(frozen=True)
class AlphaZeroConfig(OptimizerSettings, AgentConfig):
    """AlphaZero: self-play with tree search (Silver et al. 2017), for two-player games of perfect information."""

    env: str = "AgentGym/ConnectFour-v0"
    total_steps: Count = 500_000
    """Moves to play, counted over all games."""
    num_envs: Count = 128
    """Games played side by side, which is the batch of the network while it searches."""
    activation: Literal["tanh", "relu", "sigmoid", "leaky_relu", "elu", "silu", "gelu", "softplus"] = "relu"
    hidden_sizes: Annotated[tuple[int, ...], Range(1)] = (128, 128)
    learning_rate: Annotated[float, POSITIVE] = 2e-3
    schedule: ScheduleName = "cosine"
    weight_decay: Annotated[float, NOT_NEGATIVE] = 1e-4
    optimizer: Literal["adam", "adamw", "rmsprop", "momentum", "sgd"] = "adamw"
    max_grad_norm: Annotated[float, NOT_NEGATIVE] = 5.0
    simulations: Count = 64
    """Leaves that the search of each move adds to its tree, in training and in play."""
    root: Literal["puct", "gumbel"] = "puct"
    """How the root shares out its simulations: by PUCT with noise, or halving among actions drawn with Gumbel noise."""
    gumbel_actions: Annotated[int, Range(2)] = 16
    """Actions that --root gumbel draws."""
    c_puct: Annotated[float, POSITIVE] = 1.5
    """Weight of the prior against the values found."""
    noise_share: Annotated[float, SHARE] = 0.25
    """Share of Dirichlet noise in the prior of the root while training."""
    noise_total: Annotated[float, POSITIVE] = 10.0
    """Sum of the Dirichlet's parameters, shared by the legal moves: few of them get much noise where it is small."""
    temperature: Annotated[float, NOT_NEGATIVE] = 1.0
    """Early moves are drawn in proportion to visits to the power of 1 over this; 0: always the best."""
    temperature_moves: Annotated[int, NOT_NEGATIVE] = 12
    """Moves of each game that count as early."""
    resign: Annotated[float, SHARE] = 0.0
    """A player gives up below minus this value, except in a tenth of the games, which check the threshold; 0: never."""
    num_steps: Count = 8
    """Moves of each game between updates."""
    replay_positions: Count = 50_000
    """Latest positions to learn from."""
    batch_size: Count = 256
    """Positions of an update."""
    passes: Annotated[float, POSITIVE] = 4.0
    """Times that each position is learned from, on average."""
    value_coef: Annotated[float, POSITIVE] = 1.0
    """Weight of the value loss."""
    search_value_share: Annotated[float, SHARE] = 0.25
    """Share of the value that the search found in the value to learn; the rest is the game's result."""
    match_games: Annotated[int, Range(2)] = 40
    """Games against each opponent in an evaluation."""
    match_opponents: tuple[str, ...] = ("random", "greedy")
    """Fixed opponents of the evaluation: random, greedy, mcts-N."""
    match_selves: Annotated[int, NOT_NEGATIVE] = 3
    """Earlier selves, those of the latest evaluations, that it plays too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.record:
            raise UserError(
                "--record keeps the steps of environments, and alphazero plays by the rules alone: leave it out"
            )

    def learning(self) -> tuple[int, int, float]:
        return 1, self.batch_size, self.passes / self.batch_size
