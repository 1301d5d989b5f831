"""Settings of SAC."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import BELOW_ONE, NOT_NEGATIVE, POSITIVE, STEP_SHARE, Count, Needs, Range
from agent_gym.nets.settings import OptimizerName

CriticName = Literal["plain", "crossq", "simba", "droq"]

LEARNED = Needs("alpha", (0.0,))
CAUTIOUS = Needs("conservative", but=(0.0,))
DISTRIBUTED = Needs("quantiles", but=(0,))
TRUNKS = {"plain": ("", ""), "crossq": ("renormalised", "renormalised"), "simba": ("residual", "residual")}
TRUNKS["droq"] = ("", "dropped")  # of the actor and of the critics, by their names in nets/trunks


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Soft actor-critic."""

    env: str = "Pendulum-v1"
    tau: Annotated[float, Needs("critic", but=("crossq",)), STEP_SHARE] = 0.005
    """Share of the way that target critics go towards the critics after each update."""
    alpha: Annotated[float, NOT_NEGATIVE] = 0.0
    """Weight of the entropy; 0: learned."""
    initial_alpha: Annotated[float, LEARNED, POSITIVE] = 1.0
    """Where the learned weight starts; 1 pays an agent for staying alive until it has fallen."""
    target_entropy: Annotated[float, LEARNED] = 0.0
    """Entropy in nats that the learned weight aims at; 0: minus the action dimensions, or most of log n if discrete."""
    conservative: Annotated[float, NOT_NEGATIVE] = 0.0
    """Weight of the penalty on values of actions that the data do not take (CQL, Kumar et al. 2020); 0: none."""
    conservative_actions: Annotated[int, CAUTIOUS, Range(1)] = 10
    """Continuous actions drawn of each kind to estimate that penalty."""
    quantiles: Annotated[int, NOT_NEGATIVE] = 0
    """Quantiles of the return's distribution that each critic learns (TQC, Kuznetsov et al. 2020); 0: its mean."""
    drop_atoms: Annotated[int, DISTRIBUTED, NOT_NEGATIVE] = 2
    """Largest quantiles of each critic that are left out of the target, against overestimated values."""
    critic: CriticName = "plain"
    """Kind of critics: plain dense layers; crossq: batch renormalisation in place of target networks (Bhatt et al.
    2024); simba: residual blocks (Lee et al. 2025); droq: dropout, for --utd from 2 to 20 (Hiraoka et al. 2022)."""
    critic_hidden_sizes: Annotated[tuple[int, ...], Range(1)] = ()
    """Width of each dense layer or block of the critics; none: as --hidden-sizes."""
    critic_dropout: Annotated[float, Needs("critic", ("droq",)), BELOW_ONE] = 0.01
    """Chance that a unit of the critics counts as 0 while learning."""
    policy_delay: Count = 1
    """Updates of the critics for each of the actor and the entropy's weight."""
    reset_every: Annotated[int, NOT_NEGATIVE] = 0
    """Updates after which all networks start anew on the experience so far, for high --utd (Nikishin et al. 2022); 0:
    never."""

    @property
    def trunk(self) -> str:
        """The actor's dense layers."""
        return TRUNKS[self.critic][0]

    def of_critics(self) -> SACConfig:
        """The settings by which critics are made."""
        return replace(self, hidden_sizes=self.critic_hidden_sizes or self.hidden_sizes)

    def work(self) -> int:
        return max(super().work(), self.batch_size * max(self.critic_hidden_sizes, default=0) ** 2)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_critics()
        if self.quantiles and self.drop_atoms >= self.quantiles:
            raise UserError(
                f"--drop-atoms {self.drop_atoms} leaves none of --quantiles {self.quantiles}: expected fewer"
            )
        if self.quantiles and self.conservative:
            raise UserError("--conservative is for critics of means and does not go with --quantiles: leave one out")

    def _check_critics(self) -> None:
        kind = f"--critic {self.critic}"
        if self.critic != "plain" and self.layer_norm:
            raise UserError(f"--layer-norm is for --critic plain: {kind} has a normalisation of its own, leave it out")
        if self.critic in ("crossq", "droq") and self.conservative:
            raise UserError(f"--conservative and {kind} do not go together: leave one of them out")
        if self.critic == "crossq" and self.quantiles:
            raise UserError(f"--quantiles is for critics with targets and does not go with {kind}: leave one out")
        if self.critic == "crossq" and self.encoder not in ("auto", "mlp", "linear"):
            raise UserError(f"{kind} is for vectors without memory: expected --encoder mlp, not {self.encoder}")
        if self.critic == "crossq" and self.batch_size < 2:
            raise UserError(f"--batch-size {self.batch_size} has no statistics for {kind}: expected at least 2")
        for name in ("hidden_sizes", "critic_hidden_sizes"):
            sizes = getattr(self, name)
            if self.critic == "simba" and len({*sizes}) > 1:
                widths = " ".join(map(str, sizes))
                raise UserError(f"--{name.replace('_', '-')} {widths}: {kind} takes blocks of one width")
        if self.reset_every and (self.start_from or self.encoder_from):
            other = "--start-from" if self.start_from else "--encoder-from"
            raise UserError(f"--reset-every would throw away the weights of {other}: leave one of them out")


@dataclass(frozen=True)
class CrossQConfig(SACConfig):
    """SAC without target networks, by batch renormalisation."""

    learning_rate: float = 1e-3
    critic: CriticName = "crossq"
    policy_delay: int = 3


@dataclass(frozen=True)
class SimbaConfig(SACConfig):
    """SAC with residual networks on normalised features."""

    critic: CriticName = "simba"
    normalize_obs: bool = True
    hidden_sizes: tuple[int, ...] = (128,)
    critic_hidden_sizes: tuple[int, ...] = (128, 128)
    optimizer: OptimizerName = "adamw"
    weight_decay: float = 0.01


@dataclass(frozen=True)
class TQCConfig(SACConfig):
    """SAC whose critics learn the return's distribution, the largest values of which are left out of the target."""

    quantiles: int = 25


@dataclass(frozen=True)
class CQLConfig(SACConfig):
    """Conservative Q-learning from a data set: SAC with a penalty on values of actions that the set does not take."""

    total_steps: int = 50_000
    normalize_obs: bool = True
    conservative: float = 5.0
    required = ("data",)
