"""Settings and scalars in Stable-Baselines3's words and in ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import nn

from agent_gym.ground.errors import UserError

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "elu": nn.ELU, "leaky_relu": nn.LeakyReLU}
# not the algorithm's own
RUN_SETTINGS = ("n_timesteps", "n_envs", "normalize", "noise_type", "noise_std", "policy")
OURS = {"env": "--env", "seed": "--seed", "device": "--device", "verbose": "--quiet", "tensorboard_log": "--run-dir"}

# Stable-Baselines3's name for a scalar -> (our tag, factor)
TAGS = {
    "train/loss": ("loss", 1.0),
    "train/policy_gradient_loss": ("policy_loss", 1.0),
    "train/policy_objective": ("policy_loss", -1.0),
    "train/policy_loss": ("policy_loss", 1.0),
    "train/actor_loss": ("policy_loss", 1.0),
    "train/critic_loss": ("q_loss", 1.0),
    "train/value_loss": ("value_loss", 1.0),
    "train/entropy_loss": ("entropy", -1.0),
    "train/approx_kl": ("approx_kl", 1.0),
    "train/kl_divergence_loss": ("approx_kl", 1.0),
    "train/clip_fraction": ("clip_fraction", 1.0),
    "train/explained_variance": ("explained_variance", 1.0),
    "train/ent_coef": ("alpha", 1.0),
    "train/learning_rate": ("learning_rate", 1.0),
    "train/delta_std": ("delta_std", 1.0),
    "train/step_size": ("step_size", 1.0),
    "rollout/exploration_rate": ("exploration_rate", 1.0),
}


def train_scalars(algorithm) -> dict[str, float]:
    """The latest values that an algorithm recorded, under our names, without "train/"."""
    recorded = algorithm.logger.name_to_value
    return {name: factor * float(recorded[key]) for key, (name, factor) in TAGS.items() if key in recorded}


def linear(start: float) -> Callable[[float], float]:
    """A schedule from `start` to 0; its argument is the share of the run that is left."""
    return lambda left: left * start


def algorithm_kwargs(algorithm: type, settings: dict) -> dict:
    """The keyword arguments in `settings`, with "lin_x" and the names in policy_kwargs made into what they stand for.

    Raises UserError for one that the algorithm does not take.
    """
    accepted = set(inspect.signature(algorithm.__init__).parameters) - {"self", "policy", "_init_setup_model", *OURS}
    kwargs = {}
    for name, value in settings.items():
        if name in RUN_SETTINGS:
            continue
        if name not in accepted:
            hint = f"give it as {OURS[name]}" if name in OURS else f"it takes {', '.join(sorted(accepted))}"
            raise UserError(f"--algo-kwargs: {algorithm.__name__} takes no {name!r} here; {hint}")
        if isinstance(value, str) and value.startswith("lin_"):
            value = linear(_number(name, value[4:]))
        elif name == "policy_kwargs":
            value = _policy_kwargs(value)
        elif name == "train_freq" and isinstance(value, list):
            value = tuple(value)
        kwargs[name] = value
    return kwargs


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f'--algo-kwargs: {name} "lin_{text}": expected a number after lin_') from None


def _policy_kwargs(settings: dict) -> dict:
    if not isinstance(settings, dict):
        raise UserError(f"--algo-kwargs: policy_kwargs {settings!r}: expected a JSON object")
    kwargs = dict(settings)
    activation = kwargs.get("activation_fn")
    if activation is not None:
        if activation not in ACTIVATIONS:
            raise UserError(f"--algo-kwargs: activation_fn {activation!r}: expected one of {', '.join(ACTIVATIONS)}")
        kwargs["activation_fn"] = ACTIVATIONS[activation]
    return kwargs
