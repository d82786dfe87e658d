"""Component: the store's tombstones to their digest."""

from components.base import component


@component
def tombstones() -> str:
    """Digest of the erased records: what is read from a source is cached for as long as it stays the same."""
    from unlearning.steps.tombstones import tombstones as step

    return step()
