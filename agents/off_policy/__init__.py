"""What agents that learn from a replay buffer share."""
