"""Reference models: which are trained, how, and what they say of each record."""
