"""Encoders, paradigms and training."""
