"""Texts: classes from them, language models, translation, and answers by pretrained models."""
