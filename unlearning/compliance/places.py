"""Where things of compliance lie in the store.

| key | what | names a person |
|---|---|---|
| `requests/<id>.json` | what was asked | yes |
| `same/<digest>/<id>` | empty; finds requests for the same subject or records | yes, by a digest |
| `ledger/<id>/<sequence>.json` | one event | no |
| `seals/<id>/<sequence>.<kind>.<digest>` | empty; says that the event was there | no |
| `open/<id>` | empty; the request is not closed | no |
| `ledger-checkpoints/<number>.txt` | signed digests of what may never change | no |
"""

from __future__ import annotations
