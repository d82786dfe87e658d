"""Kubernetes objects that the pipelines need around them, and their checks."""
