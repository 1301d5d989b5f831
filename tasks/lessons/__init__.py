"""One idea of a first course each, as a command that shows it: python train.py lesson NAME."""
