"""Stable-Baselines3's algorithms as agents of ours, and our encoders as its feature extractors."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agent_gym.agents.agent import Agent, warn_of_new_episodes
from agent_gym.agents.sb3.algorithms import algorithm_class, make_algorithm
from agent_gym.agents.sb3.bridge import BridgeMethods, zero_based
from agent_gym.agents.sb3.config import SB3Config
from agent_gym.agents.sb3.kwargs import train_scalars
from agent_gym.agents.sb3.policy import SB3Policy
from agent_gym.agents.sb3.state import algorithm_state, load_algorithm_state
from agent_gym.envs.vector import VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_leaves
from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.learner.learner import NonFiniteError, Stats
from agent_gym.nets.settings import EncoderSettings


class EncoderExtractor(BaseFeaturesExtractor):
    """An encoder of ours as a feature extractor, for policy_kwargs; the keywords are EncoderSettings's fields.

    `normalize_images` must say what the policy's own `normalize_images` says (both True by default). Raises
    UserError for encoders with memory.
    """

    def __init__(self, observation_space: spaces.Space, normalize_images: bool = True, **config: Any) -> None:
        seen = _preprocessed(observation_space, normalize_images)
        encoder = make_encoder(seen, EncoderSettings(**{"cells": "brightness"} | config))
        if encoder.state_dim:
            raise UserError(
                f"encoder {config['encoder']!r} has a memory, and Stable-Baselines3 hands its extractors none: use "
                "linear, mlp or cnn here, and RecurrentPPO for the memory"
            )
        super().__init__(observation_space, encoder.out_dim)
        self.encoder, self.seen = encoder, seen

    def forward(self, obs: Any) -> Tensor:
        """obs [B, ...] as the policy has preprocessed it -> features [B, features_dim]."""
        obs = _one_step(obs, self.seen)
        first = tree_leaves(obs)[0]
        features, _ = self.encoder(obs, first.new_zeros(first.shape[1], 0), first.new_zeros(first.shape[:2]).bool())
        return features.squeeze(0)

    def apply(self, function: Any) -> EncoderExtractor:
        """Leaves the weights alone: a policy initialises by this, and these are initialised already, or trained."""
        return self


def _preprocessed(space: spaces.Space, normalize_images: bool) -> spaces.Space:
    """What an extractor gets to see: one-hot vectors for discrete observations, pixels from 0 to 1 for images."""
    match space:
        case spaces.Dict():
            return spaces.Dict({key: _preprocessed(part, normalize_images) for key, part in space.items()})
        case spaces.Discrete():
            return spaces.Box(0.0, 1.0, (int(space.n),))
        case spaces.MultiDiscrete():
            return spaces.Box(0.0, 1.0, (int(space.nvec.sum()),))
    if normalize_images and is_image_space(space):
        return spaces.Box(0, 1, space.shape, np.uint8)
    return space


def _one_step(obs: Any, space: spaces.Space) -> Any:
    """obs [B, ...] -> [1, B, *shape]; buffers put a 1 before the one-hot vector of a Discrete."""
    if isinstance(space, spaces.Dict):
        return {key: _one_step(obs[key], part) for key, part in space.items()}
    return obs.reshape(1, len(obs), *space.shape)


class Bridge(BridgeMethods, VecEnv):
    """A vector environment of ours as a VecEnv."""

    def __init__(self, env: VectorEnv, seed: int) -> None:
        self.connect(env, seed)
        VecEnv.__init__(self, env.num_envs, zero_based(env.obs_space), zero_based(env.action_space))


class Offstage(VectorEnv):
    """An environment that has spaces and is never played in: what an algorithm is built on to act elsewhere."""

    backend = "none"

    def __init__(self, env_id: str, obs_space: spaces.Space, action_space: spaces.Space) -> None:
        self.id, self.num_envs, self.device = env_id, 1, torch.device("cpu")
        self.obs_space, self.action_space = obs_space, action_space

    def reset(self, seed: int) -> Any:
        raise RuntimeError(f"{self.id} has spaces only")

    def step(self, action: Tensor) -> Any:
        raise RuntimeError(f"{self.id} has spaces only")


def make_policy(
    obs_space: spaces.Space,
    action_space: spaces.Space,
    config: SB3Config,
    bridge: VecEnv | None = None,
    device: str = "cpu",
) -> SB3Policy:
    """An SB3Policy with its first weights, on `bridge` to train or on none to act."""
    settings = algorithm_settings(config)
    if bridge is None:
        bridge = Bridge(Offstage(config.env, obs_space, action_space), config.seed)
        settings |= {"buffer_size": 1} if issubclass(algorithm_class(config.algo), OffPolicyAlgorithm) else {}
    algorithm = make_algorithm(config.algo, bridge, settings, config.seed, device)
    return SB3Policy(obs_space, action_space, config, algorithm, algorithm.get_vec_normalize_env())


class SB3(Agent):
    """collect is the algorithm's collect_rollouts, update its train.

    ARS tries out candidates and moves its weights in one go: there collect does both, and update only reports.
    """

    policy_class = staticmethod(make_policy)
    policy: SB3Policy

    def __init__(self, config: SB3Config, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        config.check(env.action_space)
        self.bridge = Bridge(env, config.seed)
        if config.algo == "MaskablePPO" and not self.bridge.has_attr("action_masks"):
            raise UserError(
                f"--algo MaskablePPO asks each environment for action_masks(): {env.id} with --backend {env.backend} "
                "has no such method; give it one in a wrapper and use --backend sync, or take --algo PPO"
            )
        super().__init__(config, env, device)
        self.algorithm, self.normalizer = self.policy.algorithm, self.policy.normalizer
        self.algorithm._update_current_progress_remaining = self._remaining

    def make_policy(self) -> SB3Policy:
        return make_policy(self.env.obs_space, self.env.action_space, self.config, self.bridge, str(self.device))

    def begin(self) -> None:
        algo = self.algorithm
        self.bridge.seed_sequence, self.bridge.resets = (self.config.seed, algo.num_timesteps), 0
        algo._last_obs = None  # asks _setup_learn to reset the environments
        left = max(self.total_steps - algo.num_timesteps, 1)
        _, self.callback = algo._setup_learn(left, reset_num_timesteps=False)

    def settle(self) -> None:
        """Nothing: Stable-Baselines3 cannot leave out the steps of environments that wait for the others."""

    def _begin_with_these_statistics(self) -> None:
        if self.normalizer is not None:
            self.normalizer.training = False
        self.bridge.resets, self.algorithm._last_obs = 0, None
        self.begin()
        if self.normalizer is not None:
            self.normalizer.training = True

    def collect(self) -> dict[str, float]:
        algo = self.algorithm
        self.rollout = None
        if isinstance(algo, OnPolicyAlgorithm):
            algo.collect_rollouts(algo.env, self.callback, algo.rollout_buffer, n_rollout_steps=algo.n_steps)
            algo._update_current_progress_remaining(algo.num_timesteps, self.total_steps)
        elif isinstance(algo, OffPolicyAlgorithm):
            self.rollout = algo.collect_rollouts(
                algo.env,
                self.callback,
                train_freq=algo.train_freq,
                replay_buffer=algo.replay_buffer,
                action_noise=algo.action_noise,
                learning_starts=algo.learning_starts,
            )
        else:
            algo._update_current_progress_remaining(algo.num_timesteps, self.total_steps)
            algo._do_one_update(self.callback, None)
        self.steps = algo.num_timesteps
        return self.episode_scalars(self.bridge.take_finished())

    def update(self) -> Stats:
        algo = self.algorithm
        if isinstance(algo, OnPolicyAlgorithm):
            algo.train()
        elif isinstance(algo, OffPolicyAlgorithm) and algo.num_timesteps > algo.learning_starts:
            steps = algo.gradient_steps if algo.gradient_steps >= 0 else self.rollout.episode_timesteps
            if steps > 0:
                algo.train(batch_size=algo.batch_size, gradient_steps=steps)
        scalars = train_scalars(algo)
        for name in ("loss", "policy_loss", "value_loss", "q_loss"):
            if not math.isfinite(scalars.get(name, 0.0)):
                raise NonFiniteError(
                    f"{self.config.algo} recorded {name} {scalars[name]:g}: the run stops with its last good "
                    'checkpoint kept; a lower learning_rate in --algo-kwargs, or "normalize": true, usually mends it'
                )
        return {name: torch.tensor(value) for name, value in scalars.items()}

    def state_dict(self) -> dict:
        own = algorithm_state(self.algorithm, self.normalizer, with_replay=self.config.save_replay)
        own_env = {"bridge": self.bridge.state_dict(), "env_restarts": self.env.recovery.restarts}
        return {
            "algorithm": own,
            "window": self.window,
            "marks": self.marks,
            "course": self.course.state_dict(),
            **own_env,
        }

    def running(self) -> torch.Tensor:
        return torch.from_numpy(self.bridge.running)

    def _remaining(self, steps: int, total: int) -> None:
        """In place of the algorithm's own: a resumed run has another course."""
        self.algorithm._current_progress_remaining = 1.0 - self.course(steps)

    def load_state_dict(self, state: dict) -> None:
        algo = self.algorithm
        algo.num_timesteps = state["algorithm"]["counters"]["num_timesteps"]
        self.env.recovery.restarts = max(int(state["env_restarts"]), 0)
        self.begin()
        load_algorithm_state(algo, self.normalizer, state["algorithm"])
        if not self.bridge.load_state_dict(state["bridge"]):
            if state["bridge"]["env"] is not None:
                warn_of_new_episodes(self.env)
            self._begin_with_these_statistics()
        self.window, self.steps = state["window"].cpu(), algo.num_timesteps
        self.marks = {name: float(state["marks"][name]) for name in self.marks}
        self.take_over(state)


def algorithm_settings(config: SB3Config) -> dict:
    """The Zoo's settings with the user's over them, and our encoder where one is asked for. Raises UserError."""
    settings = config.settings()
    if config.encoder != "auto":
        settings["policy_kwargs"] = with_encoder(config, settings.get("policy_kwargs", {}))
    return settings


def with_encoder(config: SB3Config, policy_kwargs: dict) -> dict:
    """policy_kwargs with our encoder as the extractor; it has the hidden layers, so the Zoo's own widths go."""
    given = config.own_settings().get("policy_kwargs", {})
    kwargs = {name: value for name, value in policy_kwargs.items() if name != "net_arch" or name in given}
    if config.algo not in ("SAC", "TD3", "DDPG", "TQC", "CrossQ"):  # their critics mix action and features in layers
        kwargs.setdefault("net_arch", [])
    encoder = {field.name: getattr(config, field.name) for field in fields(EncoderSettings)}
    return kwargs | {"features_extractor_class": EncoderExtractor, "features_extractor_kwargs": encoder}
