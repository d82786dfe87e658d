"""Batches: which requests are honoured together."""
