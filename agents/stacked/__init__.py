"""Several runs of one agent that differ in their seeds, trained as one batched program."""

AGENTS = ("ppo", "a2c")
"""Those that can, by name."""
