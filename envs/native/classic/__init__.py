"""Gymnasium's classic control, step for step, and the same without velocities."""
