"""What became of each request: append-only events in hash chains."""
