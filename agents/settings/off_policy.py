"""What agents that learn from a replay buffer have in common: their settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from agent_gym.agents.settings.base import AgentConfig, StartSettings
from agent_gym.agents.settings.rewards import RewardSettings
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import NOT_NEGATIVE, POSITIVE, SHARE, Count, Needs, Range
from agent_gym.nets.settings import MEMORY, ActivationName, OptimizerSettings

PRIORITIES = Needs("prioritized", (True,))
REMEMBERS = Needs("encoder", MEMORY)
DEMONSTRATED = Needs("demonstrations", but=("",))


@dataclass(frozen=True)
class OffPolicyConfig(OptimizerSettings, RewardSettings, StartSettings, AgentConfig):
    """Flags of all agents with a replay buffer."""

    num_envs: int = 1
    hidden_sizes: tuple[int, ...] = (256, 256)
    activation: ActivationName = "relu"
    orthogonal: bool = False  # PyTorch's weights, as in the papers' code
    buffer_size: Count = 1_000_000
    """Transitions kept."""
    batch_size: Count = 256
    """Transitions, or sequences for an agent with memory, in an update."""
    learning_starts: Annotated[int, NOT_NEGATIVE] = 1000
    """Environment steps before the first update, taken at random."""
    utd: Annotated[float, POSITIVE] = 1.0
    """Updates per environment step, kept exactly whatever the number of environments."""
    train_every: Count = 1
    """Steps of each environment between rounds of updates."""
    gamma: Annotated[float, SHARE] = 0.99
    """Discount per step."""
    n_step: Count = 1
    """Steps of reward in a target before it bootstraps."""
    normalize_obs: bool = False
    """Scale observations by their running mean and standard deviation."""
    normalize_returns: Literal["auto", "yes", "no"] = "auto"
    """Scale rewards by the running deviation of the discounted return; auto: where their size is unusual."""
    prioritized: bool = False
    """Draw transitions in proportion to their errors (Schaul et al. 2016)."""
    priority_alpha: Annotated[float, PRIORITIES, SHARE] = 0.6
    """Exponent of the error in a priority; 0: uniform."""
    priority_beta: Annotated[float, PRIORITIES, SHARE] = 0.4
    """How much of the bias importance weights correct at the start; 1 at the end."""
    her: Literal["no", "future", "final", "episode"] = "no"
    """Learn from goals that were reached instead, later in the episode, at its end, or at any time of it (HER)."""
    her_share: Annotated[float, Needs("her", ("future", "final", "episode")), SHARE] = 0.8
    """Share of a batch whose goals are such."""
    sequence_length: Annotated[int, REMEMBERS, Range(1)] = 32
    """Steps in a sequence to learn from, for agents with memory."""
    burn_in: Annotated[int, REMEMBERS, NOT_NEGATIVE] = 8
    """Steps in front of a sequence that only refresh the memory."""
    data: str = ""
    """Data set to learn from in place of the environment, minari:ID or a path; a step of the run is then an update."""
    demonstrations: str = ""
    """Data set that gives a part of each batch while the environment gives the rest (Ball et al. 2023)."""
    demonstration_share: Annotated[float, DEMONSTRATED, SHARE] = 0.5
    """Share of a batch that comes from --demonstrations."""

    required: ClassVar[tuple[str, ...]] = ()
    """Settings that must not be empty, for agents that need a data set or a teacher."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "n_step", "num_envs"):
            if getattr(self, name) > self.buffer_size:
                raise UserError(
                    f"--{name.replace('_', '-')} {getattr(self, name)} does not fit into --buffer-size "
                    f"{self.buffer_size}: expected at most as many"
                )
        if self.data and self.record:
            raise UserError("--record keeps what is played, and with --data nothing is: leave one of them out")
        recorded = "--data" if self.data else "--demonstrations" if self.demonstrations else ""
        odd = "--her" if self.her != "no" else "--reward-scale" if self.reward_scale != 1.0 else "--clip-reward"
        if recorded and (self.her != "no" or self.reward_scale != 1.0 or self.clip_reward):
            raise UserError(f"{odd} and {recorded} do not go together: recorded rewards are learned from as they are")
        if self.her != "no" and (self.prioritized or self.encoder in MEMORY):
            other = "--prioritized" if self.prioritized else f"--encoder {self.encoder}"
            raise UserError(f"--her {self.her} and {other} do not go together: leave one of them out")
        if self.n_step * self.num_envs > self.buffer_size:
            raise UserError(
                f"--n-step {self.n_step} with --num-envs {self.num_envs} is longer than what --buffer-size "
                f"{self.buffer_size} keeps of each environment: expected at most {self.buffer_size // self.num_envs}"
            )
        if self.data and self.demonstrations:
            raise UserError(
                "--data takes the place of the environment, and --demonstrations stands beside it: give one of them"
            )
        if self.demonstrations and self.prioritized:
            raise UserError("--demonstrations draws its share evenly and does not go with --prioritized: leave one out")
        if not self.data and self.learning_starts >= self.total_steps:
            raise UserError(
                f"--learning-starts {self.learning_starts} is not below --total-steps {self.total_steps}: "
                "nothing would be learned"
            )

    def learning(self) -> tuple[int, int, float]:
        steps = self.burn_in + self.sequence_length + self.n_step if self.encoder in MEMORY else 1
        return steps, self.batch_size, self.utd

    def work(self) -> int:
        return self.batch_size * max(self.hidden_sizes, default=0) ** 2 if self.encoder in ("auto", "mlp") else 0
