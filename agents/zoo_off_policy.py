"""Hyperparameters that RL Baselines3 Zoo publishes: DQN, QR-DQN, SAC, TQC, CrossQ, TD3 and DDPG.

Source of all figures: github.com/DLR-RM/rl-baselines3-zoo, hyperparams/*.yml at commit 22e3ff2 (MIT licence).
"""
# ruff: noqa: C408 (keywords read like the Zoo's own files)

from __future__ import annotations

from agents.zoo_on_policy import Table, each, same

DQN: Table = {
    "default": dict(n_timesteps=1_000_000),
    "atari": dict(
        n_timesteps=10_000_000, buffer_size=100_000, learning_rate=0.0001, batch_size=32, learning_starts=100_000,
        target_update_interval=1000, train_freq=4, gradient_steps=1, exploration_fraction=0.1,
        exploration_final_eps=0.01,
    ),
    "CartPole-v1": dict(
        n_timesteps=50_000, learning_rate=0.0023, batch_size=64, buffer_size=100_000, learning_starts=1000, gamma=0.99,
        target_update_interval=10, train_freq=256, gradient_steps=128, exploration_fraction=0.16,
        exploration_final_eps=0.04, policy_kwargs=dict(net_arch=[256, 256]),
    ),
    **each("Acrobot-v1 LunarLander-v3",
        n_timesteps=100_000, learning_rate=0.00063, batch_size=128, buffer_size=50_000, learning_starts=0, gamma=0.99,
        target_update_interval=250, train_freq=4, gradient_steps=-1, exploration_fraction=0.12,
        exploration_final_eps=0.1, policy_kwargs=dict(net_arch=[256, 256]),
    ),
    "MountainCar-v0": dict(
        n_timesteps=120_000, learning_rate=0.004, batch_size=128, buffer_size=10_000, learning_starts=1000, gamma=0.98,
        target_update_interval=600, train_freq=16, gradient_steps=8, exploration_fraction=0.2,
        exploration_final_eps=0.07, policy_kwargs=dict(net_arch=[256, 256]),
    ),
}

QRDQN: Table = {
    **same(DQN, "default"),
    "atari": dict(n_timesteps=10_000_000, learning_starts=50_000, exploration_fraction=0.025),
    "CartPole-v1": dict(DQN["CartPole-v1"], policy_kwargs=dict(net_arch=[256, 256], n_quantiles=10)),
    "Acrobot-v1": dict(DQN["Acrobot-v1"], policy_kwargs=dict(net_arch=[256, 256], n_quantiles=25)),
    "MountainCar-v0": dict(DQN["MountainCar-v0"], policy_kwargs=dict(net_arch=[256, 256], n_quantiles=25)),
    "LunarLander-v3": dict(
        n_timesteps=100_000, learning_rate="lin_1.5e-3", batch_size=128, buffer_size=100_000, learning_starts=10_000,
        gamma=0.995, target_update_interval=1, train_freq=256, gradient_steps=-1, exploration_fraction=0.24,
        exploration_final_eps=0.18, policy_kwargs=dict(net_arch=[256, 256], n_quantiles=170),
    ),
}

SAC: Table = {
    "default": dict(n_timesteps=1_000_000),
    "MountainCarContinuous-v0": dict(
        n_timesteps=50_000, learning_rate=0.0003, buffer_size=50_000, batch_size=512, ent_coef=0.1, train_freq=32,
        gradient_steps=32, gamma=0.9999, tau=0.01, learning_starts=0, use_sde=True,
        policy_kwargs=dict(log_std_init=-3.67, net_arch=[64, 64]),
    ),
    "Pendulum-v1": dict(n_timesteps=20_000, learning_rate=0.001),
    "LunarLanderContinuous-v3": dict(
        n_timesteps=500_000, batch_size=256, learning_rate="lin_7.3e-4", buffer_size=1_000_000, ent_coef="auto",
        gamma=0.99, tau=0.01, train_freq=1, gradient_steps=1, learning_starts=10_000,
        policy_kwargs=dict(net_arch=[400, 300]),
    ),
    "BipedalWalker-v3": dict(
        n_timesteps=500_000, learning_rate=0.00073, buffer_size=300_000, batch_size=256, ent_coef="auto", gamma=0.98,
        tau=0.02, train_freq=64, gradient_steps=64, learning_starts=10_000, use_sde=True,
        policy_kwargs=dict(log_std_init=-3, net_arch=[400, 300]),
    ),
    "BipedalWalkerHardcore-v3": dict(
        n_timesteps=10_000_000, learning_rate="lin_7.3e-4", buffer_size=1_000_000, batch_size=256, ent_coef=0.005,
        gamma=0.99, tau=0.01, train_freq=1, gradient_steps=1, learning_starts=10_000,
        policy_kwargs=dict(net_arch=[400, 300]),
    ),
    **each("HalfCheetah-v4 Ant-v4 Hopper-v4 Walker2d-v4", n_timesteps=1_000_000, learning_starts=10_000),
    "Humanoid-v4": dict(n_timesteps=2_000_000, learning_starts=10_000),
    "Swimmer-v4": dict(n_timesteps=1_000_000, learning_starts=10_000, gamma=0.999),
}

TQC: Table = {
    **same(
        SAC,
        "default MountainCarContinuous-v0 Pendulum-v1 LunarLanderContinuous-v3 BipedalWalker-v3 "
        "HalfCheetah-v4 Ant-v4 Walker2d-v4 Humanoid-v4 Swimmer-v4",
    ),
    "BipedalWalkerHardcore-v3": dict(SAC["BipedalWalkerHardcore-v3"], n_timesteps=2_000_000, ent_coef="auto"),
    "Hopper-v4": dict(n_timesteps=1_000_000, learning_starts=10_000, top_quantiles_to_drop_per_net=5),
}

CROSSQ: Table = {
    **same(SAC, "default"),
    "MountainCarContinuous-v0": dict(
        n_timesteps=50_000, learning_rate=0.0007, buffer_size=50_000, train_freq=32, gradient_steps=32, gamma=0.9999,
        learning_starts=100, use_sde=True, policy_delay=2,
        policy_kwargs=dict(use_expln=True, log_std_init=-1, net_arch=[64, 64]),
    ),
    "Pendulum-v1": dict(n_timesteps=20_000, policy_delay=2, policy_kwargs=dict(net_arch=[256, 256])),
    "LunarLanderContinuous-v3": dict(n_timesteps=200_000, buffer_size=1_000_000, learning_starts=10_000),
    "BipedalWalker-v3": dict(
        n_timesteps=200_000, buffer_size=300_000, gamma=0.98, learning_starts=10_000,
        policy_kwargs=dict(net_arch={"pi": [256, 256], "qf": [1024, 1024]}),
    ),
    **each("HalfCheetah-v4 Ant-v4 Hopper-v4 Walker2d-v4 Humanoid-v4 HumanoidStandup-v4",
        n_timesteps=5_000_000, buffer_size=1_000_000, learning_rate=0.001, learning_starts=5000, policy_delay=3,
        policy_kwargs=dict(net_arch={"pi": [256, 256], "qf": [2048, 2048]}),
    ),
    "Swimmer-v4": dict(
        n_timesteps=5_000_000, buffer_size=1_000_000, learning_rate=0.001, learning_starts=5000, policy_delay=3,
        policy_kwargs=dict(net_arch={"pi": [256, 256], "qf": [2048, 2048]}), gamma=0.999,
    ),
}

TD3: Table = {
    "default": dict(n_timesteps=1_000_000, train_freq=1, gradient_steps=1, noise_type="normal", noise_std=0.1),
    "MountainCarContinuous-v0": dict(
        n_timesteps=300_000, noise_type="ornstein-uhlenbeck", noise_std=0.5, gradient_steps=1, train_freq=1,
        learning_rate=0.001, batch_size=256, policy_kwargs=dict(net_arch=[400, 300]),
    ),
    "Pendulum-v1": dict(
        n_timesteps=20_000, gamma=0.98, buffer_size=200_000, learning_starts=10_000, noise_type="normal", noise_std=0.1,
        gradient_steps=1, train_freq=1, learning_rate=0.001, policy_kwargs=dict(net_arch=[400, 300]),
    ),
    "LunarLanderContinuous-v3": dict(
        n_timesteps=300_000, gamma=0.98, buffer_size=200_000, learning_starts=10_000, noise_type="normal",
        noise_std=0.1, gradient_steps=1, train_freq=1, learning_rate=0.001, policy_kwargs=dict(net_arch=[400, 300]),
    ),
    "BipedalWalker-v3": dict(
        n_timesteps=1_000_000, gamma=0.98, buffer_size=200_000, learning_starts=10_000, noise_type="normal",
        noise_std=0.1, gradient_steps=1, train_freq=1, learning_rate=0.001, policy_kwargs=dict(net_arch=[400, 300]),
    ),
    "BipedalWalkerHardcore-v3": dict(
        n_timesteps=10_000_000, gamma=0.99, buffer_size=1_000_000, learning_starts=10_000, noise_type="normal",
        noise_std=0.1, batch_size=256, train_freq=1, learning_rate="lin_7e-4", policy_kwargs=dict(net_arch=[400, 300]),
    ),
    **each("HalfCheetah-v4 Ant-v4 Hopper-v4 Walker2d-v4",
        n_timesteps=1_000_000, learning_starts=10_000, noise_type="normal", noise_std=0.1, train_freq=1,
        gradient_steps=1, learning_rate=0.001, batch_size=256, policy_kwargs=dict(net_arch=[400, 300]),
    ),
    "Humanoid-v4": dict(
        n_timesteps=2_000_000, learning_starts=10_000, noise_type="normal", noise_std=0.1, train_freq=1,
        gradient_steps=1, learning_rate=0.001, batch_size=256, policy_kwargs=dict(net_arch=[400, 300]),
    ),
    "Swimmer-v4": dict(
        n_timesteps=1_000_000, learning_starts=10_000, noise_type="normal", noise_std=0.1, train_freq=1,
        gradient_steps=1, learning_rate=0.001, batch_size=256, policy_kwargs=dict(net_arch=[400, 300]), gamma=0.9999,
    ),
}

DDPG = TD3
