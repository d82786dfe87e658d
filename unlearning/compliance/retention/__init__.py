"""What may stay, what must go, and the tombstones of what went."""
