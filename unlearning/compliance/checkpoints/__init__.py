"""Signed checkpoints of the whole store: what was there once is there still, or is named."""
