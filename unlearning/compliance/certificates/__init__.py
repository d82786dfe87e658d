"""Signed statements of what was done for a request."""
