"""Several runs of one agent that differ in their seeds, trained as one batched program."""

AGENTS = ("ppo", "a2c", "dqn", "qrdqn", "sac", "tqc", "td3", "ddpg")
"""Those that can, by name."""
POPULATIONS = ("ppo", "a2c")
"""Those whose settings can change meanwhile, and that can take over each other's weights."""
