"""Membership-inference attacks on original, unlearned and retrained models, and the verdict."""
