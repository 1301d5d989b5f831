"""Searches over settings on Optuna."""
