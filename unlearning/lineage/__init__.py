"""Lineage: questions about registered versions, answered from their tags alone.

Nothing here reads or writes: versions come from the registry, keys from the store. `docs/lineage.md`
has every question with its command and the plain MLflow call.
"""
