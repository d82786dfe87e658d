"""What names a record or a person, and so belongs on no page and in no certificate."""

from __future__ import annotations

import re

PRIVATE_KEYS = frozenset({"record_id", "record_ids", "subject", "subject_id", "subject_ids"})
"""Names of values that name a record or a person."""

SHA256 = re.compile(r"[0-9a-f]{64,}", re.IGNORECASE)
"""A SHA-256 inside a text: a record id, unless it is known to be something else."""
