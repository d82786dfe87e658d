"""Kubernetes: names, and the TrainJobs that train on several nodes."""
