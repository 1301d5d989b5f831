"""The flags that every agent takes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short
from agent_gym.ground.threads import IMAGES, threads_for
from agent_gym.nets.encoders.base import EncoderName
from agent_gym.nets.encoders.make import EncoderConfig

MAX_THREADS = 1024  # more than any machine has, and fewer than a system refuses to start


def parse_env_kwargs(text: str) -> dict:
    """The JSON object of --env-kwargs. Raises UserError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"--env-kwargs {short(text)} is not JSON ({error}): write it like --env-kwargs '{{\"continuous\": true}}'"
        ) from None
    if not isinstance(value, dict):
        raise UserError(f"--env-kwargs {short(text)} is not a JSON object: write it like '{{\"continuous\": true}}'")
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
class AgentConfig:
    """Flags common to all agents."""

    env: str = "CartPole-v1"
    """Gymnasium id of the environment, or package.module:Id-v0."""
    env_kwargs: str = "{}"
    """Arguments of the environment, as JSON."""
    total_steps: int = 100_000
    """Environment steps to train for, counted over all environments."""
    num_envs: int = 8
    """Environments stepped side by side."""
    backend: Literal["auto", "native", "gymnasium", "sync", "async", "envpool"] = "auto"
    """Who steps the environments; auto takes the fastest that is known to be the same."""
    on_env_error: Literal["stop", "restart"] = "stop"
    """When an environment fails: stop the run, or replace that environment and go on."""
    seed: int = 0
    """Seed of everything random in the run."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks live; auto takes a GPU for images and native environments."""
    num_threads: int = 0
    """CPU threads of torch; 0: one, or two for images and for wide networks that learn from a replay buffer."""
    encoder: EncoderName = "auto"
    """Network between observation and heads; auto takes cnn for images, mlp otherwise."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Width of each hidden layer of the MLP."""
    activation: Literal["tanh", "relu", "leaky_relu", "sigmoid", "silu", "gelu"] = "tanh"
    """Non-linearity between layers."""
    layer_norm: bool = False
    """Normalise the sums of each dense layer before its activation, which steadies learned values."""
    recurrent_size: int = 64
    """Units of the rnn, lstm or gru."""
    recurrent_layers: int = 1
    """Recurrent layers on top of each other."""
    attention_size: int = 64
    """Units of each layer of the transformer."""
    attention_heads: int = 4
    """Parts of the units that attend each by itself."""
    attention_layers: int = 2
    """Layers of the transformer on top of each other."""
    attention_window: int = 32
    """Steps that the transformer sees, the present one included."""
    conv_layers: tuple[tuple[int, int, int, int], ...] = ()
    """Convolutions as filters, kernel, stride, padding; 0 filters: max pooling; empty: chosen by the image's size."""
    cnn_hidden_sizes: tuple[int, ...] | None = None
    """Width of each dense layer after the convolutions, no number: no such layer; None: chosen by the image's size."""
    encoder_from: str = ""
    """Run whose encoder's weights are the start of this one's; empty: random."""
    freeze_encoder: bool = False
    """Keep the weights of --encoder-from as they are."""
    run_dir: str = ""
    """Directory of the run; empty: runs/<agent>-<env>-<seed>-<time>."""
    eval_episodes: int = 100
    """Episodes of the final evaluation."""
    eval_every: int = 0
    """Environment steps between evaluations of 20 episodes; 0: ten times in the run."""
    checkpoint_every: int = 0
    """Environment steps between checkpoints; 0: ten times in the run. All but native environments begin anew there."""
    log_layers: bool = False
    """Log the gradient norm and the share of dead units of each layer; updates take up to three times as long."""
    track: Literal["none", "mlflow", "wandb"] = "none"
    """Experiment tracker beside TensorBoard, at the server that its own variables name, or in a local file."""
    experiment: str = ""
    """The tracker's experiment or project; empty: what its own variables say, or agent-gym."""
    run_name: str = ""
    """The run's name at the tracker; empty: the run directory's."""
    parent_run: str = ""
    """Name of the tracker's run that this one is nested under, made if there is none; empty: under none."""
    summary: bool = False
    """Print the network layer by layer and stop."""
    video_every: int = 0
    """Environment steps between recorded evaluation episodes, in videos/ and TensorBoard; 0: none."""
    quiet: bool = False
    """Print the result only."""
    atari: AtariFlags = AtariFlags()

    def __post_init__(self) -> None:
        parse_env_kwargs(self.env_kwargs)
        self.require_positive("total_steps", "num_envs", "recurrent_size", "recurrent_layers", "eval_episodes")
        self.require_not_negative("num_threads", "eval_every", "checkpoint_every", "video_every", "seed")
        if self.num_threads > MAX_THREADS:
            raise UserError(f"--num-threads {self.num_threads}: expected at most {MAX_THREADS}")
        if any(size <= 0 for size in self.hidden_sizes):
            raise UserError(f"--hidden-sizes {self.hidden_sizes}: every width must be at least 1")

    def make_kwargs(self, is_atari: bool) -> dict:
        """All arguments of the environment. Raises UserError."""
        if not is_atari and self.atari != AtariFlags():
            raise UserError(f"--atari.… is for Atari games that show their screen, and {self.env} is none")
        return parse_env_kwargs(self.env_kwargs) | (asdict(self.atari) if is_atari else {})

    def plain(self, is_atari: bool) -> dict:
        """Plain data from which `agents.restore_config` makes it again."""
        return {name: value for name, value in asdict(self).items() if is_atari or name != "atari"}

    def require_positive(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) > 0:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected a number above 0")

    def require_not_negative(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected 0 or more")

    def threads(self, images: bool) -> int:
        """CPU threads for torch; `images`: whether the agent sees any."""
        return self.num_threads or threads_for(IMAGES if images else self.work())

    def work(self) -> int:
        """Multiplications of the widest layer on one batch, if threads can share them well; otherwise 0."""
        return 0

    def encoder_config(self) -> EncoderConfig:
        return EncoderConfig(
            encoder=self.encoder,
            hidden_sizes=self.hidden_sizes,
            activation=self.activation,
            layer_norm=self.layer_norm,
            recurrent_size=self.recurrent_size,
            recurrent_layers=self.recurrent_layers,
            attention_size=self.attention_size,
            attention_heads=self.attention_heads,
            attention_layers=self.attention_layers,
            attention_window=self.attention_window,
            conv_layers=self.conv_layers,
            cnn_hidden_sizes=self.cnn_hidden_sizes,
            weights_from=self.encoder_from,
            freeze=self.freeze_encoder,
        )
