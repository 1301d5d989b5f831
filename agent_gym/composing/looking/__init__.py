"""Looking into environments and runs: checks, diagnoses, profiles."""
