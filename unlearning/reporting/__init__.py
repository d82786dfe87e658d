"""Summaries, reports and figures: what a run shows people."""
