"""Settings of PPO and A2C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from agent_gym.agents.settings.on_policy import OnPolicyConfig
from agent_gym.ground.settings import NOT_NEGATIVE, POSITIVE, SHARE, Count
from agent_gym.nets.settings import OptimizerName


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Proximal policy optimisation."""

    num_epochs: int = 10
    max_grad_norm: float = 0.5
    gae_lambda: Annotated[float, SHARE] = 0.95
    """Weight of longer advantage estimates, 0 to 1."""
    clip_coef: Annotated[float, POSITIVE] = 0.2
    """The probability ratio is clipped to 1 ± this."""
    clip_schedule: Literal["constant", "linear"] = "constant"
    """How clip_coef falls over the run."""
    clip_value_coef: Annotated[float, NOT_NEGATIVE] = 0.0
    """Clip the change of the value to ± this; 0: no clipping."""
    value_coef: Annotated[float, NOT_NEGATIVE] = 0.5
    """Weight of the value loss."""
    entropy_coef: Annotated[float, NOT_NEGATIVE] = 0.0
    """Weight of the entropy bonus."""
    target_kl: Annotated[float, NOT_NEGATIVE] = 0.0
    """End the epochs once approx_kl exceeds 1.5 times this; 0: never."""
    normalize_advantage: bool = True
    """Give each minibatch's advantages mean 0 and standard deviation 1."""
    log_std_init: float = 0.0
    """Log of the initial standard deviation of continuous actions, in units of half the action range."""
    sde_every: Annotated[int, NOT_NEGATIVE] = 0
    """Steps for which continuous exploration noise is held and made a function of the state (gSDE); 0: fresh noise."""
    parameterised: bool = False
    """Of an action of one choice and as many Boxes, only the Box counts whose number is chosen."""
    share_encoder: Literal["auto", "yes", "no"] = "auto"
    """One encoder for policy and value; auto: yes for images."""
    central_value: bool = False
    """Many agents: the value is learned from the global state beside each observation (MAPPO, Yu et al. 2022)."""
    self_play: bool = False
    """Two-player games: the opponent is itself, as it is or as it was, instead of the environment's."""
    self_play_ratio: Annotated[float, SHARE] = 0.5
    """Share of games against earlier selves."""
    self_play_pool: Count = 10
    """Earlier selves to draw from, the latest."""
    self_play_every: Count = 10
    """Updates between two of them."""

    def make_kwargs(self, is_atari: bool) -> dict:
        kwargs = super().make_kwargs(is_atari)
        return kwargs | {"central_state": True} if self.central_value else kwargs


@dataclass(frozen=True)
class A2CConfig(PPOConfig):
    """Advantage actor-critic (Mnih et al. 2016)."""

    num_steps: int = 5
    num_epochs: int = 1
    num_minibatches: int = 1
    learning_rate: float = 7e-4
    optimizer: OptimizerName = "rmsprop"
    gae_lambda: float = 1.0
    normalize_advantage: bool = False
