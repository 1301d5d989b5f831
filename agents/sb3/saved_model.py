"""Models that Stable-Baselines3 has saved elsewhere, as policies."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecNormalize

from agent_gym.agents.sb3.agent import Bridge, Offstage
from agent_gym.agents.sb3.algorithms import algorithm_class
from agent_gym.agents.sb3.bridge import zero_based
from agent_gym.agents.sb3.config import SB3Config
from agent_gym.agents.sb3.policy import SB3Policy
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError

# What only training needs; left out, it cannot fail to load in another Python or take memory.
UNUSED = {
    "learning_rate": 0.0,
    "clip_range": 0.2,
    "clip_range_vf": None,
    "buffer_size": 1,
    "replay_buffer_class": None,
    "replay_buffer_kwargs": {},
    "optimize_memory_usage": False,
    "action_noise": None,
    "ep_info_buffer": None,
    "ep_success_buffer": None,
    "_last_obs": None,
    "_last_original_obs": None,
    "_last_episode_starts": None,
}


def check_model(path: Path, algo: str, trust: bool) -> None:
    """Refuse what is no model, an unknown algorithm, and a model whose sender is not trusted. Raises UserError."""
    if not path.is_file():
        raise UserError(f"there is no file {path}: give the .zip that model.save() wrote")
    if not algo:
        raise UserError(f"{path} does not say which algorithm made it: add --algo PPO (or another)")
    SB3Config(algo=algo)
    try:
        names = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path} is no model of Stable-Baselines3 ({error}): give what model.save() wrote") from None
    if "data" not in names or not any(name.endswith(".pth") for name in names):
        raise UserError(f"{path} is no model of Stable-Baselines3: the zip holds neither its data nor its weights")
    if not trust:
        raise UserError(
            f"{path}: opening a model of Stable-Baselines3 can run any code that its sender put there; "
            "add --trust if you know where it comes from"
        )


def normalizer_path(model: Path, env_id: str) -> Path | None:
    """The VecNormalize file beside a model, by the names that Stable-Baselines3 and the Zoo give it."""
    names = [f"{model.stem}_vecnormalize.pkl", "vecnormalize.pkl", f"{model.stem}/vecnormalize.pkl"]
    names.append(f"{env_id}/vecnormalize.pkl")  # the Zoo's best_model.zip
    steps = re.fullmatch(r"(.+)_(\d+_steps)", model.stem)
    if steps:
        names.insert(0, f"{steps[1]}_vecnormalize_{steps[2]}.pkl")  # CheckpointCallback's
    return next((model.parent / name for name in names if (model.parent / name).is_file()), None)


def load_model(path: Path, algo: str, env: VectorEnv, device: torch.device) -> SB3Policy:
    """The policy of the model in `path`, with the VecNormalize file beside it, for the spaces of `env`.

    Its code is run: see check_model. Raises UserError.
    """
    try:
        algorithm = algorithm_class(algo).load(path, device=device, custom_objects=UNUSED)
    except UserError:
        raise
    except Exception as error:  # whatever a foreign file leads to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} does not load as {algo}: {reason}; is --algo the one that made it?") from error
    check_space(path, env.id, "observations", algorithm.observation_space, env.obs_space)
    check_space(path, env.id, "actions", algorithm.action_space, env.action_space)
    found = normalizer_path(path, env.id)
    normalizer = None
    if found is not None:
        try:
            normalizer = VecNormalize.load(str(found), Bridge(Offstage(env.id, env.obs_space, env.action_space), 0))
        except Exception as error:  # as above
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(f"{found}, beside the model, does not normalise {env.id}: {reason}") from error
        normalizer.training = False
    return SB3Policy(env.obs_space, env.action_space, SB3Config(algo=algo), algorithm, normalizer)


def check_space(path: Path, env_id: str, what: str, trained: spaces.Space, here: spaces.Space) -> None:
    """Raise UserError unless a model can be used with the space that is here."""
    same_range = what == "observations" or not isinstance(trained, spaces.Box) or trained == here
    if not (same_range and fits(trained, zero_based(here))):
        raise UserError(
            f"{path} was trained with {what} {short(trained)}, and {env_id} has {short(here)}: "
            "give the --env and --env-kwargs of its training"
        )


def short(space: spaces.Space) -> str:
    """A space in a few words, without the bounds of each number."""
    match space:
        case spaces.Dict():
            return "{" + ", ".join(f"{key}: {short(part)}" for key, part in space.items()) + "}"
        case spaces.Box():
            return f"Box{space.shape} from {space.low.min():.3g} to {space.high.max():.3g}"
    return str(space)


def fits(trained: spaces.Space, here: spaces.Space) -> bool:
    """Whether a model for the one space can be used with the other; images may have their channels first or last."""
    if isinstance(trained, spaces.Dict) and isinstance(here, spaces.Dict):
        return trained.keys() == here.keys() and all(fits(trained[key], here[key]) for key in trained)
    if isinstance(trained, spaces.Box) and isinstance(here, spaces.Box):
        channels_first = (*here.shape[-1:], *here.shape[:-1]) if len(here.shape) == 3 else here.shape
        return trained.shape in (here.shape, channels_first)
    return trained == here
