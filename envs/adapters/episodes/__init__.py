"""Running episodes brought back after a restart: played again, or from snapshots."""
