"""Hyperparameters that RL Baselines3 Zoo publishes: PPO, RecurrentPPO, A2C, TRPO and ARS.

Source of all figures: github.com/DLR-RM/rl-baselines3-zoo, hyperparams/*.yml at commit 22e3ff2 (MIT licence).
"""
# ruff: noqa: C408 (keywords read like the Zoo's own files)

from __future__ import annotations

Table = dict[str, dict]  # settings by environment

OBS_ONLY = dict(norm_obs=True, norm_reward=False)
WIDE = dict(log_std_init=-2, ortho_init=False, activation_fn="relu", net_arch=dict(pi=[256, 256], vf=[256, 256]))
WITH_LSTM = dict(
    ortho_init=False,
    activation_fn="relu",
    lstm_hidden_size=64,
    enable_critic_lstm=True,
    net_arch=dict(pi=[64], vf=[64]),
)


def each(env_ids: str, **settings: object) -> Table:
    """The same settings for several environments."""
    return dict.fromkeys(env_ids.split(), settings)


def same(table: Table, env_ids: str) -> Table:
    """The settings of another algorithm for some environments."""
    return {env_id: table[env_id] for env_id in env_ids.split()}


PPO: Table = {
    "default": dict(n_timesteps=1_000_000),
    "atari": dict(
        n_timesteps=10_000_000, n_envs=8, n_steps=128, n_epochs=4, batch_size=256, learning_rate="lin_2.5e-4",
        clip_range="lin_0.1", vf_coef=0.5, ent_coef=0.01,
    ),
    "CartPole-v1": dict(
        n_timesteps=100_000, n_envs=8, n_steps=32, batch_size=256, gae_lambda=0.8, gamma=0.98, n_epochs=20,
        ent_coef=0.0, learning_rate="lin_0.001", clip_range="lin_0.2",
    ),
    "Acrobot-v1": dict(
        n_timesteps=1_000_000, n_envs=16, normalize=True, n_steps=256, gae_lambda=0.94, gamma=0.99, n_epochs=4,
        ent_coef=0.0,
    ),
    "MountainCar-v0": dict(
        n_timesteps=1_000_000, n_envs=16, normalize=True, n_steps=16, gae_lambda=0.98, gamma=0.99, n_epochs=4,
        ent_coef=0.0,
    ),
    "MountainCarContinuous-v0": dict(
        n_timesteps=20_000, n_envs=1, normalize=True, batch_size=256, n_steps=8, gamma=0.9999, learning_rate=7.77e-05,
        ent_coef=0.00429, clip_range=0.1, n_epochs=10, gae_lambda=0.9, max_grad_norm=5, vf_coef=0.19, use_sde=True,
        policy_kwargs=dict(log_std_init=-3.29, ortho_init=False),
    ),
    "Pendulum-v1": dict(
        n_timesteps=100_000, n_envs=4, n_steps=1024, gae_lambda=0.95, gamma=0.9, n_epochs=10, ent_coef=0.0,
        learning_rate=0.001, clip_range=0.2, use_sde=True, sde_sample_freq=4,
    ),
    **each("LunarLander-v3 LunarLanderContinuous-v3",
        n_timesteps=1_000_000, n_envs=16, n_steps=1024, batch_size=64, gae_lambda=0.98, gamma=0.999, n_epochs=4,
        ent_coef=0.01,
    ),
    "BipedalWalker-v3": dict(
        n_timesteps=5_000_000, n_envs=32, normalize=True, n_steps=2048, batch_size=64, gae_lambda=0.95, gamma=0.999,
        n_epochs=10, ent_coef=0.0, learning_rate=0.0003, clip_range=0.18,
    ),
    "BipedalWalkerHardcore-v3": dict(
        n_timesteps=100_000_000, n_envs=16, normalize=True, n_steps=2048, batch_size=64, gae_lambda=0.95, gamma=0.99,
        n_epochs=10, ent_coef=0.001, learning_rate="lin_2.5e-4", clip_range="lin_0.2",
    ),
    "HalfCheetah-v4": dict(
        n_timesteps=1_000_000, n_envs=1, normalize=True, batch_size=64, n_steps=512, gamma=0.98,
        learning_rate=2.0633e-05, ent_coef=0.000401762, clip_range=0.1, n_epochs=20, gae_lambda=0.92, max_grad_norm=0.8,
        vf_coef=0.58096, policy_kwargs=WIDE,
    ),
    "Ant-v4": dict(n_timesteps=1_000_000, normalize=True),
    "Hopper-v4": dict(
        n_timesteps=1_000_000, n_envs=1, normalize=True, batch_size=32, n_steps=512, gamma=0.999,
        learning_rate=9.80828e-05, ent_coef=0.00229519, clip_range=0.2, n_epochs=5, gae_lambda=0.99, max_grad_norm=0.7,
        vf_coef=0.835671, policy_kwargs=WIDE,
    ),
    "Walker2d-v4": dict(
        n_timesteps=1_000_000, n_envs=1, normalize=True, batch_size=32, n_steps=512, gamma=0.99,
        learning_rate=5.05041e-05, ent_coef=0.000585045, clip_range=0.1, n_epochs=20, gae_lambda=0.95, max_grad_norm=1,
        vf_coef=0.871923,
    ),
    "Humanoid-v4": dict(
        n_timesteps=10_000_000, n_envs=1, normalize=True, batch_size=256, n_steps=512, gamma=0.95,
        learning_rate=3.56987e-05, ent_coef=0.00238306, clip_range=0.3, n_epochs=5, gae_lambda=0.9, max_grad_norm=2,
        vf_coef=0.431892, policy_kwargs=WIDE,
    ),
    "Swimmer-v4": dict(
        n_timesteps=1_000_000, n_envs=4, normalize=True, gamma=0.9999, n_steps=1024, batch_size=256,
        learning_rate=0.0006, gae_lambda=0.98,
    ),
    "HumanoidStandup-v2": dict(
        n_timesteps=10_000_000, n_envs=1, normalize=True, batch_size=32, n_steps=512, gamma=0.99,
        learning_rate=2.55673e-05, ent_coef=3.62109e-06, clip_range=0.3, n_epochs=20, gae_lambda=0.9, max_grad_norm=0.7,
        vf_coef=0.430793, policy_kwargs=WIDE,
    ),
    "InvertedPendulum-v2": dict(
        n_timesteps=1_000_000, n_envs=1, normalize=True, batch_size=64, n_steps=32, gamma=0.999,
        learning_rate=0.000222425, ent_coef=1.37976e-07, clip_range=0.4, n_epochs=5, gae_lambda=0.9, max_grad_norm=0.3,
        vf_coef=0.19816,
    ),
    "InvertedDoublePendulum-v2": dict(
        n_timesteps=1_000_000, n_envs=1, normalize=True, batch_size=512, n_steps=128, gamma=0.98,
        learning_rate=0.000155454, ent_coef=1.05057e-06, clip_range=0.4, n_epochs=10, gae_lambda=0.8, max_grad_norm=0.5,
        vf_coef=0.695929,
    ),
    "Reacher-v2": dict(
        n_timesteps=1_000_000, n_envs=1, normalize=True, batch_size=32, n_steps=512, gamma=0.9,
        learning_rate=0.000104019, ent_coef=7.52585e-08, clip_range=0.3, n_epochs=5, gae_lambda=1.0, max_grad_norm=0.9,
        vf_coef=0.950368,
    ),
}

RECURRENT_PPO: Table = {
    **same(
        PPO,
        "default Acrobot-v1 HalfCheetah-v4 Ant-v4 Hopper-v4 Walker2d-v4 Humanoid-v4 Swimmer-v4 "
        "HumanoidStandup-v2 InvertedPendulum-v2 InvertedDoublePendulum-v2 Reacher-v2",
    ),
    "atari": dict(PPO["atari"], policy_kwargs=dict(enable_critic_lstm=False, lstm_hidden_size=128)),
    "BipedalWalker-v3": dict(
        n_timesteps=5_000_000, n_envs=32, normalize=True, n_steps=256, batch_size=256, gae_lambda=0.95, gamma=0.999,
        n_epochs=10, ent_coef=0.0, learning_rate=0.0003, clip_range=0.18, policy_kwargs=WITH_LSTM,
    ),
    "BipedalWalkerHardcore-v3": dict(
        n_timesteps=100_000_000, n_envs=32, normalize=True, n_steps=256, batch_size=256, gae_lambda=0.95, gamma=0.999,
        n_epochs=10, ent_coef=0.001, learning_rate="lin_3e-4", clip_range="lin_0.2", policy_kwargs=WITH_LSTM,
    ),
    "CartPoleNoVel-v1": dict(
        n_timesteps=100_000, n_envs=8, normalize=True, n_steps=32, batch_size=256, gae_lambda=0.8, gamma=0.98,
        n_epochs=20, ent_coef=0.0, learning_rate="lin_0.001", clip_range="lin_0.2", policy_kwargs=WITH_LSTM,
    ),
    "PendulumNoVel-v1": dict(
        n_timesteps=100_000, n_envs=4, normalize=True, n_steps=1024, gae_lambda=0.95, gamma=0.9, n_epochs=10,
        ent_coef=0.0, learning_rate=0.001, clip_range=0.2, use_sde=True, sde_sample_freq=4, policy_kwargs=WITH_LSTM,
    ),
}

A2C: Table = {
    "default": dict(n_timesteps=1_000_000),
    "atari": dict(
        n_timesteps=10_000_000, n_envs=16, ent_coef=0.01, vf_coef=0.25,
        policy_kwargs=dict(optimizer_class="RMSpropTFLike", optimizer_kwargs={"eps": 1e-05}),
    ),
    "CartPole-v1": dict(n_timesteps=500_000, n_envs=8, ent_coef=0.0),
    "Acrobot-v1": dict(n_timesteps=500_000, n_envs=16, normalize=True, ent_coef=0.0),
    "MountainCar-v0": dict(n_timesteps=1_000_000, n_envs=16, normalize=True, ent_coef=0.0),
    "MountainCarContinuous-v0": dict(
        n_timesteps=100_000, n_envs=4, normalize=True, n_steps=100, ent_coef=0.0, use_sde=True, sde_sample_freq=16,
        policy_kwargs=dict(log_std_init=0.0, ortho_init=False),
    ),
    "Pendulum-v1": dict(
        n_timesteps=1_000_000, n_envs=8, normalize=True, ent_coef=0.0, max_grad_norm=0.5, n_steps=8, gae_lambda=0.9,
        vf_coef=0.4, gamma=0.9, use_rms_prop=True, normalize_advantage=False, learning_rate="lin_7e-4", use_sde=True,
        policy_kwargs=dict(log_std_init=-2, ortho_init=False),
    ),
    "LunarLander-v3": dict(
        n_timesteps=200_000, n_envs=8, gamma=0.995, n_steps=5, learning_rate="lin_0.00083", ent_coef=1e-05,
    ),
    "LunarLanderContinuous-v3": dict(
        n_timesteps=5_000_000, n_envs=4, normalize=True, ent_coef=0.0, max_grad_norm=0.5, n_steps=8, gae_lambda=0.9,
        vf_coef=0.4, gamma=0.99, use_rms_prop=True, normalize_advantage=False, learning_rate="lin_7e-4", use_sde=True,
        policy_kwargs=dict(log_std_init=-2, ortho_init=False),
    ),
    "BipedalWalker-v3": dict(
        n_timesteps=5_000_000, n_envs=16, normalize=True, ent_coef=0.0, max_grad_norm=0.5, n_steps=8, gae_lambda=0.9,
        vf_coef=0.4, gamma=0.99, use_rms_prop=True, normalize_advantage=False, learning_rate="lin_0.00096",
        use_sde=True, policy_kwargs=dict(log_std_init=-2, ortho_init=False),
    ),
    "BipedalWalkerHardcore-v3": dict(
        n_timesteps=200_000_000, n_envs=32, normalize=True, ent_coef=0.001, max_grad_norm=0.5, n_steps=8,
        gae_lambda=0.9, vf_coef=0.4, gamma=0.99, use_rms_prop=True, normalize_advantage=False,
        learning_rate="lin_0.0008", use_sde=True, policy_kwargs=dict(log_std_init=-2, ortho_init=False),
    ),
    **each("HalfCheetah-v4 Ant-v4 Hopper-v4 Walker2d-v4", n_timesteps=1_000_000, normalize=True),
    "Humanoid-v4": dict(n_timesteps=2_000_000, normalize=True),
    "Swimmer-v4": dict(n_timesteps=1_000_000, normalize=True, gamma=0.9999),
}

TRPO: Table = {
    "default": dict(n_timesteps=1_000_000),
    "CartPole-v1": dict(
        n_timesteps=100_000, n_envs=2, n_steps=512, batch_size=512, cg_damping=0.001, gae_lambda=0.98, gamma=0.99,
        learning_rate=0.001, n_critic_updates=20,
    ),
    "Acrobot-v1": dict(n_timesteps=100_000, n_envs=2, normalize=True, n_steps=1024),
    **each("MountainCar-v0 LunarLanderContinuous-v3",
        n_timesteps=100_000, n_envs=2, normalize=True, n_steps=1024, n_critic_updates=20,
    ),
    "MountainCarContinuous-v0": dict(n_timesteps=50_000, n_envs=2, normalize=True, use_sde=True, sde_sample_freq=4),
    "Pendulum-v1": dict(
        n_timesteps=100_000, n_envs=2, n_steps=1024, gamma=0.9, n_critic_updates=15, use_sde=True, sde_sample_freq=4,
    ),
    "LunarLander-v3": dict(
        n_timesteps=200_000, n_envs=2, n_steps=512, cg_damping=0.01, gae_lambda=0.98, gamma=0.99, learning_rate=0.001,
        n_critic_updates=15,
    ),
    **each("BipedalWalker-v3 Ant-v4 Hopper-v4 Walker2d-v4",
        n_timesteps=1_000_000, n_envs=2, normalize=True, batch_size=128, n_steps=1024, gamma=0.99, gae_lambda=0.95,
        sub_sampling_factor=1, cg_max_steps=25, cg_damping=0.1, n_critic_updates=20, learning_rate=0.001,
    ),
    "BipedalWalkerHardcore-v3": dict(
        n_timesteps=10_000_000, n_envs=2, normalize=True, batch_size=128, n_steps=1024, gamma=0.99, gae_lambda=0.95,
        sub_sampling_factor=1, cg_max_steps=25, cg_damping=0.1, n_critic_updates=20, learning_rate=0.001,
    ),
    "HalfCheetah-v4": dict(
        n_timesteps=1_000_000, n_envs=2, normalize=True, batch_size=128, n_steps=1024, gamma=0.99, gae_lambda=0.95,
        sub_sampling_factor=1, cg_max_steps=25, cg_damping=0.1, n_critic_updates=20, learning_rate=0.001,
        target_kl=0.04,
    ),
    "Humanoid-v4": dict(
        n_timesteps=2_000_000, n_envs=2, normalize=True, batch_size=128, n_steps=1024, gamma=0.99, gae_lambda=0.95,
        sub_sampling_factor=1, cg_max_steps=25, cg_damping=0.1, n_critic_updates=20, learning_rate=0.001,
    ),
    "Swimmer-v4": dict(
        n_timesteps=1_000_000, n_envs=2, normalize=True, batch_size=128, n_steps=1024, gamma=0.9999, gae_lambda=0.95,
        sub_sampling_factor=1, cg_max_steps=25, cg_damping=0.1, n_critic_updates=20, learning_rate=0.001,
    ),
}

ARS: Table = {
    "default": dict(n_timesteps=1_000_000, policy="LinearPolicy", n_delta=2, n_top=2, delta_std=0.02),
    "CartPole-v1": dict(n_timesteps=50_000, n_envs=1, policy="LinearPolicy", n_delta=2),
    "Acrobot-v1": dict(
        n_timesteps=500_000, n_envs=1, normalize=OBS_ONLY, learning_rate=0.018, n_delta=4, n_top=1, delta_std=0.1,
        policy_kwargs=dict(net_arch=[16]), zero_policy=False,
    ),
    "MountainCar-v0": dict(
        n_timesteps=500_000, n_envs=1, normalize=OBS_ONLY, learning_rate=0.018, n_delta=8, n_top=1, delta_std=0.1,
        policy_kwargs=dict(net_arch=[16]), zero_policy=False,
    ),
    "MountainCarContinuous-v0": dict(
        n_timesteps=500_000, n_envs=1, normalize=OBS_ONLY, learning_rate=0.018, n_delta=4, n_top=1, delta_std=0.2,
        policy_kwargs=dict(net_arch=[16]), zero_policy=False,
    ),
    **each("Pendulum-v1 LunarLanderContinuous-v3",
        n_timesteps=2_000_000, n_envs=1, normalize=OBS_ONLY, learning_rate=0.018, n_delta=4, n_top=1, delta_std=0.1,
        policy_kwargs=dict(net_arch=[16]), zero_policy=False,
    ),
    "LunarLander-v3": dict(
        n_timesteps=2_000_000, n_envs=1, normalize=OBS_ONLY, learning_rate=0.018, n_delta=6, n_top=1, delta_std=0.1,
        policy_kwargs=dict(net_arch=[16]), zero_policy=False,
    ),
    "BipedalWalker-v3": dict(
        n_timesteps=100_000_000, n_envs=1, normalize=OBS_ONLY, learning_rate=0.02, delta_std=0.0075, n_delta=64,
        n_top=32, alive_bonus_offset=-0.1, policy_kwargs=dict(net_arch=[16]),
    ),
    "BipedalWalkerHardcore-v3": dict(
        n_timesteps=500_000_000, n_envs=1, normalize=OBS_ONLY, learning_rate=0.02, delta_std=0.0075, n_delta=64,
        n_top=32, alive_bonus_offset=-0.1, policy_kwargs=dict(net_arch=[16]),
    ),
    "HalfCheetah-v4": dict(
        n_timesteps=12_500_000, n_envs=1, normalize=OBS_ONLY, policy="LinearPolicy", learning_rate=0.02, delta_std=0.03,
        n_delta=32, n_top=4, alive_bonus_offset=0,
    ),
    "Ant-v4": dict(
        n_timesteps=75_000_000, n_envs=1, normalize=OBS_ONLY, policy="LinearPolicy", learning_rate=0.015,
        delta_std=0.025, n_delta=60, n_top=20, alive_bonus_offset=-1,
    ),
    "Hopper-v4": dict(
        n_timesteps=7_000_000, n_envs=1, normalize=OBS_ONLY, policy="LinearPolicy", learning_rate=0.01, delta_std=0.025,
        n_delta=8, n_top=4, alive_bonus_offset=-1,
    ),
    "Walker2d-v4": dict(
        n_timesteps=75_000_000, n_envs=1, normalize=OBS_ONLY, policy="LinearPolicy", learning_rate=0.03,
        delta_std=0.025, n_delta=40, n_top=30, alive_bonus_offset=-1,
    ),
    "Humanoid-v4": dict(
        n_timesteps=250_000_000, n_envs=1, normalize=OBS_ONLY, policy="LinearPolicy", learning_rate=0.02,
        delta_std=0.0075, n_delta=256, n_top=256, alive_bonus_offset=-5,
    ),
    "Swimmer-v4": dict(
        n_timesteps=2_000_000, n_envs=1, policy="LinearPolicy", learning_rate=0.02, delta_std=0.01, n_delta=1, n_top=1,
        alive_bonus_offset=0,
    ),
}
