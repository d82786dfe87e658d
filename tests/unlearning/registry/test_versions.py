from __future__ import annotations

from unlearning.registry.versions import Version


def test_a_tag_that_is_not_there_has_no_value() -> None:
    version = Version(name="m", version="1", aliases=(), tags={"batch": "b1"}, description="")
    assert (version.tags.batch, version.tags.from_snapshot, version.created) == ("b1", "none", "none")
