"""Environments that need one thing each, and whose optimum is known."""
