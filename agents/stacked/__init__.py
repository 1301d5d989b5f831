"""Several runs of one agent that differ in seeds and in some numbers, trained as one batched program."""

AGENTS = ("ppo", "a2c", "dqn", "qrdqn", "sac", "tqc", "td3", "ddpg")
"""Those that can, by name."""
POPULATIONS = ("ppo", "a2c")
"""Those whose settings can change meanwhile, and that can take over each other's weights."""
CHANGEABLE = ("learning_rate", "gamma", "gae_lambda", "clip_coef", "value_coef", "entropy_coef")
"""Of agents of rollouts, the settings in which members may differ and that may change in a run."""
ON_POLICY = (*CHANGEABLE, "log_std_init")
"""Of agents of rollouts, the settings in which members may differ."""
OFF_POLICY = ("learning_rate", "tau", "exploration_fraction", "exploration_final")
"""Of agents of replay buffers likewise."""


def numbers_of(name: str) -> tuple[str, ...]:
    """The settings in which runs of an agent may differ that are trained as one program."""
    if name not in AGENTS:
        return ()
    return ON_POLICY if name in POPULATIONS else OFF_POLICY
