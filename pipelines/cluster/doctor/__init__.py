"""Looks for what would fail a run before it is started: one check per file, each says what it found and what to do.

A check needs no more than what it looks at, changes nothing that it does not take back, and tells no secret.
"""
