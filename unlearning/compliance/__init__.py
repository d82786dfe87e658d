"""Erasure requests: what was asked, what happened since, when it must be done, and what may never come back.

A ledger can never be deleted, so it holds counts and digests only; what names a person is kept apart
from it and can be deleted.
"""
