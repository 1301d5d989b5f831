"""Many runs at once: what groups of runs say together, seeds side by side, searches over settings."""
