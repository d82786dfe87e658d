"""Side-by-side measurements: how well each method forgets, and how fast."""
