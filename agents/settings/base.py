"""The settings that every agent has: its flags on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from agent_gym.agents import presets
from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short
from agent_gym.ground.settings import NOT_NEGATIVE, Count, RunSettings
from agent_gym.ground.threads import IMAGES, LARGE, threads_for
from agent_gym.nets.settings import EncoderSettings

if TYPE_CHECKING:
    from agent_gym.agents.presets import Spaces


def parse_kwargs(text: str, flag: str = "--env-kwargs", example: str = '{"continuous": true}') -> dict:
    """The JSON object of `flag`. Raises UserError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{flag} {short(text)} is not JSON ({error}): write it like {flag} '{example}'") from None
    if not isinstance(value, dict):
        raise UserError(f"{flag} {short(text)} is not a JSON object: write it like '{example}'")
    return value


@dataclass(frozen=True)
class AtariFlags:
    """How Atari games are played (Machado et al. 2018). Scores are always raw ones of whole games."""

    frame_skip: int = 4
    """Frames for which an action is held."""
    sticky_actions: float = 0.25
    """Chance in each frame that the game takes the previous action again; 0: never."""
    full_action_space: bool = False
    """All 18 actions instead of those that the game uses."""
    life_loss_ends: bool = False
    """In training, the loss of a life ends an episode."""
    noop_max: int = 30
    """No-ops at the start of a game: a random number up to this."""

    def __post_init__(self) -> None:
        if self.frame_skip < 1 or self.noop_max < 0 or not 0.0 <= self.sticky_actions < 1.0:
            raise UserError(
                f"--atari.frame-skip {self.frame_skip} --atari.noop-max {self.noop_max} --atari.sticky-actions "
                f"{self.sticky_actions}: expected at least 1, at least 0, and a chance from 0 to below 1"
            )


@dataclass(frozen=True)
class EnvSettings:
    """The environment and who steps it."""

    env: str = "CartPole-v1"
    """Gymnasium id of the environment, or package.module:Id-v0."""
    env_kwargs: str = "{}"
    """Arguments of the environment, as JSON."""
    eval_kwargs: str = "{}"
    """Arguments of the environments that scores are played in, over those above, as JSON."""
    wrapper: tuple[str, ...] = ()
    """package.module:Name to put around the environment, or a bare name of gymnasium.wrappers; arguments as JSON
    behind it: 'TimeAwareObservation {"flatten": true}'. May be given several times, from the inside to the outside."""
    frame_stack: Count = 1
    """Latest observations that are seen together."""
    max_episode_steps: Annotated[int, NOT_NEGATIVE] = 0
    """Steps after which an episode is truncated, in place of the environment's own limit; 0: its own."""
    obs_keys: tuple[str, ...] = ()
    """Parts of a Dict observation to see, instead of all."""
    resize: tuple[int, ...] = ()
    """Height and width of images in pixels, or one number for both; none: as they are."""
    grayscale: bool = False
    """Images in grey."""
    reward_weights: tuple[float, ...] = ()
    """Weights of the parts of a reward that is a vector (MO-Gymnasium); each part is logged too."""
    action_mask: Literal["auto", "info", "method", "obs", "no"] = "auto"
    """Where to look for the actions allowed now: info["action_mask"], a method action_masks(), a part of the
    observation; auto: wherever they are."""
    log_info: bool = True
    """Curves of the scalars that environments tell in info: rollout/info/<name>, at most 32."""
    strict_obs: bool = False
    """Count an observation that is a little outside its space as a failure too."""
    total_steps: Count = 100_000
    """Environment steps to train for, counted over all environments."""
    num_envs: Count = 8
    """Environments stepped side by side."""
    backend: Literal["auto", "native", "gymnasium", "sync", "async", "envpool"] = "auto"
    """Who steps the environments; auto takes the fastest that is known to be the same."""
    eval_env: Literal["auto", "own", "shared"] = "auto"
    """Where scores are played: in environments of their own, or between rollouts in those of the training, where there
    can be no others; auto: shared where no other can be made."""
    on_env_error: Literal["stop", "restart"] = "stop"
    """When an environment fails: stop the run, or replace that environment and go on."""


@dataclass(frozen=True)
class StartSettings:
    """Where the first weights come from."""

    start_from: str = ""
    """Run whose weights are the first ones, as far as parts have the same name; its network's shape comes along."""


@dataclass(frozen=True)
class AgentConfig(RunSettings, EncoderSettings, EnvSettings):
    """Settings common to all agents."""

    eval_episodes: Count = 100
    """Episodes of the final evaluation."""
    periodic_eval_episodes: Annotated[int, NOT_NEGATIVE] = 0
    """Episodes of each one before; 0: 20, or as many as a tenth of the training steps allows."""
    eval_max_steps: Annotated[int, NOT_NEGATIVE] = 0
    """Steps after which an episode of an evaluation is cut and counted; 0: 10 times the longest in training, at least
    10,000; never where the environment has a limit of its own (of at most a million)."""
    record: str = ""
    """Data set to keep what training sees in, namespace/name-v0; it is written when the run has come to its end."""
    video_every: Annotated[int, NOT_NEGATIVE] = 0
    """Environment steps between recorded evaluation episodes, in videos/ and TensorBoard; 0: none."""
    atari: AtariFlags = AtariFlags()

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_kwargs(self.env_kwargs)
        parse_kwargs(self.eval_kwargs, "--eval-kwargs")

    @classmethod
    def preset(cls, agent: str, env_id: str, spaces_of: Callable[[], Spaces], given: dict) -> tuple[str, dict]:
        """Settings of `agent` for an environment, and what to call them; `given` are those that the user has set."""
        return presets.find(agent, env_id, spaces_of, given.get("cells", cls.cells))

    def make_kwargs(self, is_atari: bool) -> dict:
        """All arguments of the environment. Raises UserError."""
        if not is_atari and self.atari != AtariFlags():
            raise UserError(f"--atari.… is for Atari games that show their screen, and {self.env} is none")
        return parse_kwargs(self.env_kwargs) | (asdict(self.atari) if is_atari else {})

    def plain(self, is_atari: bool) -> dict:
        """Plain data from which `restore_config` makes it again."""
        return {name: value for name, value in asdict(self).items() if is_atari or name != "atari"}

    def threads(self, image: int) -> int:
        """CPU threads for torch; `image`: numbers in the largest image that the agent sees, 0 without any."""
        return self.num_threads or threads_for(IMAGES if image >= LARGE else self.work())

    def learning(self) -> tuple[int, int, float] | None:
        """Steps and rows of a batch [steps, rows], and how many are learned from for each environment step.

        `--device auto` measures by it what an agent costs; None: that is not known.
        """
        return None

    def work(self) -> int:
        """Multiplications of the widest layer on one batch, if threads can share them well; otherwise 0."""
        return 0
