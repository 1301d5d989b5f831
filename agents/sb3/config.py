"""The flags of `train.py sb3`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from gymnasium import spaces

from agent_gym.agents.sb3.presets import ALGORITHMS, CONTRIB, zoo_preset
from agent_gym.agents.settings.base import AgentConfig, parse_kwargs
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import Needs, flag
from agent_gym.nets.settings import MEMORY, ActivationName

ACTION_SPACES = {  # of the algorithms that do not take all
    **dict.fromkeys(("SAC", "TD3", "DDPG", "TQC", "CrossQ"), spaces.Box),
    **dict.fromkeys(("DQN", "QRDQN"), spaces.Discrete),
    "ARS": spaces.Box | spaces.Discrete,
    "MaskablePPO": spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary,
}
OURS = Needs("encoder", but=("auto",))  # of our networks
OWN_FLAGS = {"n_envs": "--num-envs", "n_timesteps": "--total-steps"}


@dataclass(frozen=True)
class SB3Config(AgentConfig):
    """An algorithm of Stable-Baselines3 or sb3-contrib, under this project's loop and tools."""

    algo: str = "PPO"
    """PPO, A2C, DQN, SAC, TD3, DDPG; with sb3-contrib TQC, QRDQN, TRPO, ARS, CrossQ, MaskablePPO, RecurrentPPO."""
    algo_kwargs: str = "{}"
    """Arguments of the algorithm, as JSON; they win over zoo_kwargs. "lin_0.001" falls linearly to 0."""
    zoo_kwargs: str = "{}"
    """What RL Baselines3 Zoo publishes for this environment, as JSON; filled in by the preset."""
    encoder: str = "auto"
    """auto: Stable-Baselines3's own network; linear, mlp, cnn: ours, as its feature extractor."""
    hidden_sizes: Annotated[tuple[int, ...], OURS] = (64, 64)
    activation: Annotated[ActivationName, OURS] = "tanh"
    layer_norm: Annotated[bool, OURS] = False
    orthogonal: Annotated[bool, OURS] = True
    conv_layers: Annotated[tuple[tuple[int, int, int, int], ...], OURS] = ()
    cnn_hidden_sizes: Annotated[tuple[int, ...] | None, OURS] = None
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where networks live; for Stable-Baselines3 a GPU pays for images and large networks alone."""
    save_replay: bool = True
    """Keep the replay buffer in last.pt, so that a resumed run goes on with all it has seen."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.algo not in ALGORITHMS + CONTRIB:
            raise UserError(f"--algo {self.algo!r} is unknown: expected one of {', '.join(ALGORITHMS + CONTRIB)}")
        if self.encoder in MEMORY:
            raise UserError(
                f"--encoder {self.encoder}: an extractor of Stable-Baselines3 gets no memory; use --algo RecurrentPPO, "
                f"or the native agent: train.py ppo --encoder {self.encoder}"
            )
        if self.encoder == "auto" and self.encoder_from:
            raise UserError(
                f"--encoder-from {self.encoder_from}: Stable-Baselines3's own networks are other ones; "
                "add --encoder mlp or cnn, and the sizes of that run"
            )
        if self.encoder != "auto" and self.algo == "ARS":
            raise UserError(f"--encoder {self.encoder}: ARS takes no feature extractor; leave it at auto")

    def check(self, action_space: spaces.Space) -> None:
        """Raises UserError for an action space that the algorithm cannot use."""
        if not isinstance(action_space, ACTION_SPACES.get(self.algo, spaces.Space)):
            others = [algo for algo, kinds in ACTION_SPACES.items() if isinstance(action_space, kinds)]
            raise UserError(
                f"--algo {self.algo} does not take the action space {type(action_space).__name__} of {self.env}: "
                f"expected one of {', '.join(['PPO', 'A2C', 'RecurrentPPO', 'TRPO', *others])}"
            )

    @classmethod
    def preset(cls, agent: str, env_id: str, spaces_of: Any, given: dict) -> tuple[str, dict]:
        """The Zoo's settings as fields of this class. Raises UserError for an unknown algorithm."""
        algo = given.get("algo", cls.algo)
        cls(algo=algo)
        label, settings = zoo_preset(algo, env_id)
        rest = {name: value for name, value in settings.items() if name not in OWN_FLAGS}
        fields = {"total_steps": settings["n_timesteps"], "num_envs": settings.get("n_envs", 1)}
        return label, fields | {"algo": algo, "zoo_kwargs": json.dumps(rest)}

    def settings(self) -> dict:
        """The Zoo's settings with the user's over them. Raises UserError."""
        return self._json("zoo_kwargs") | self.own_settings()

    def own_settings(self) -> dict:
        """What the user set. Raises UserError."""
        own = self._json("algo_kwargs")
        for name, given_by in OWN_FLAGS.items():
            if name in own:
                raise UserError(f"--algo-kwargs: give {name} as {given_by}")
        return own

    def _json(self, name: str) -> dict:
        return parse_kwargs(getattr(self, name), flag(name), '{"gamma": 0.98}')
