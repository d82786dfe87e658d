from __future__ import annotations

from rich.console import Console

from unlearning.cli import lineage_text
from unlearning.registry.tags import Tags
from unlearning.registry.versions import Version


def test_an_original_shows_which_methods_are_qualified_on_it() -> None:
    tags = Tags(
        kind="original",
        method="pretrain",
        status="serving",
        qualifications={"finetune.1": "inconclusive: 9 sets of 1", "finetune.3": "qualified: 9 sets of 3"},
    )
    console = Console(width=100)
    with console.capture() as shown:
        console.print(lineage_text.tree("m", [Version(name="m", version="1", aliases=(), tags=tags, description="")]))
    told = shown.get()
    assert "finetune for 1 record: inconclusive: 9 sets of 1" in told
    assert "finetune for 3 records: qualified: 9 sets of 3" in told
