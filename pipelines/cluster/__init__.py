"""Kubeflow Pipelines: submit, schedule, follow and examine."""
