"""Several runs of one agent that differ in their seeds, trained as one batched program."""

AGENTS = ("ppo", "a2c", "dqn", "qrdqn", "sac", "tqc", "td3", "ddpg")
"""Those that can, by name."""
