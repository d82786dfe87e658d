"""The container image: its recipe, its locked dependencies, and how it is built."""
