"""What was asked to be erased, what happened to it, and what may never come back."""
