"""Policies and predictors as single files for other programs: ONNX and torch.export's .pt2, and playing them again.

`exported`, `spaces` and `playing` work without torch: a program that only plays an exported policy never imports it.
"""
