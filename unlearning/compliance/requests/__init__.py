"""What persons ask for, and until when."""
