"""Algorithms of Stable-Baselines3 by name, made with settings as the Zoo writes them."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from agent_gym.agents.sb3.kwargs import algorithm_kwargs
from agent_gym.agents.sb3.presets import ALGORITHMS
from agent_gym.ground.errors import UserError
from agent_gym.ground.libraries import rounding_depends_on

rounding_depends_on("stable_baselines3", "stable-baselines3")
rounding_depends_on("sb3_contrib", "sb3-contrib")


def algorithm_class(name: str) -> type[BaseAlgorithm]:
    """The class of an algorithm. Raises UserError where sb3-contrib is missing."""
    if name in ALGORITHMS:
        import stable_baselines3

        return getattr(stable_baselines3, name)
    try:
        import sb3_contrib
    except ImportError:
        raise UserError(f"--algo {name} needs sb3-contrib: pip install 'agent-gym[sb3-contrib]'") from None
    return getattr(sb3_contrib, name)


def policy_name(algo: str, obs_space: spaces.Space) -> str:
    """The alias of the policy that fits an observation space."""
    kind = "MultiInput" if isinstance(obs_space, spaces.Dict) else "Cnn" if is_image_space(obs_space) else "Mlp"
    return kind + ("LstmPolicy" if algo == "RecurrentPPO" else "Policy")


def make_algorithm(algo: str, venv: VecEnv, settings: dict, seed: int, device: str) -> BaseAlgorithm:
    """An algorithm on `venv` (inside VecNormalize where the settings say so), with settings as the Zoo writes them.

    It logs to memory alone. Raises UserError for settings and spaces that it does not take.
    """
    algorithm = algorithm_class(algo)
    kwargs = algorithm_kwargs(algorithm, settings)
    policy_kwargs = kwargs.get("policy_kwargs", {})
    if policy_kwargs.get("optimizer_class") == "RMSpropTFLike":
        policy_kwargs["optimizer_class"] = RMSpropTFLike
    if "noise_type" in settings:
        noise = NormalActionNoise if settings["noise_type"] == "normal" else OrnsteinUhlenbeckActionNoise
        ones = np.ones(venv.action_space.shape)
        kwargs["action_noise"] = noise(mean=0.0 * ones, sigma=settings.get("noise_std", 0.1) * ones)
    policy = settings.get("policy") or policy_name(algo, venv.observation_space)
    try:
        model = algorithm(policy, normalized(venv, settings), seed=seed, device=device, **kwargs)
    except (AssertionError, ValueError, TypeError, NotImplementedError, KeyError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        if "Kernel size can't be greater" in str(error):
            raise UserError(
                f"--algo {algo}: Stable-Baselines3's own network for images wants 36 pixels a side, and "
                f"{venv.observation_space} has fewer; --encoder cnn or mlp puts ours in its place"
            ) from error
        if isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"--algo {algo} cannot be set up like this: {reason}") from error
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def normalized(venv: VecEnv, settings: dict) -> VecEnv:
    """`venv` inside VecNormalize as the Zoo does it: `normalize` is a switch or VecNormalize's arguments."""
    normalize = settings.get("normalize", False)
    if not isinstance(normalize, bool | dict):
        raise UserError(f"--algo-kwargs: normalize {normalize!r}: expected true, false or VecNormalize's arguments")
    options = normalize if isinstance(normalize, dict) else {}
    return VecNormalize(venv, **{"gamma": settings.get("gamma", 0.99)} | options) if normalize else venv
