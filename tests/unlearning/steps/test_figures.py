from __future__ import annotations

from pathlib import Path

import pytest

from unlearning.audit import inspection, inspection_results
from unlearning.audit.inspection_results import GROUPS, InspectionResults
from unlearning.compliance.retention import tombstones
from unlearning.core.errors import UserError
from unlearning.core.settings import from_environment
from unlearning.data import forget_set, splits
from unlearning.data.loading import load_split, part
from unlearning.learning import models
from unlearning.learning.paradigms import make_paradigm
from unlearning.recipes.provenance import load as load_provenance
from unlearning.reporting.figures import paper
from unlearning.reporting.figures.gallery import GalleryRow, picture
from unlearning.reporting.report import write_figures
from unlearning.steps.figures import gallery, measure
from unlearning.storage.open import open_store

Chain = dict[str, Path]
NAMES = {"original": "model", "unlearned": "candidate", "retrained": "retrained"}


def measured(chain: Chain, *, trace: bool, forget: str = "forget") -> InspectionResults:
    return measure(
        model_paths={name: chain[key] for name, key in reversed(NAMES.items())},
        snapshot_path=chain["snapshot"],
        split_path=chain["split"],
        forget_path=chain[forget],
        trace=trace,
        device="cpu",
    )


@pytest.fixture
def traced(chain: Chain) -> InspectionResults:
    return measured(chain, trace=True)


def test_the_models_of_the_run_are_measured_on_the_groups_of_the_run(chain: Chain, traced: InspectionResults) -> None:
    assert list(traced.models) == list(NAMES)
    assert traced.digests == {name: models.digest(chain[key]) for name, key in NAMES.items()}
    split, forget = splits.load(chain["split"]), forget_set.load(chain["forget"])
    sizes = [len(forget.ids), len(split.members) - len(forget.ids), len(split.holdout)]
    for model in traced.models.values():
        assert [len(model.losses[group].values) for group in GROUPS] == sizes
    original, retrained = traced.models["original"], traced.models["retrained"]
    assert original.losses["forget"].mean < retrained.losses["forget"].mean


def test_the_traced_training_is_the_one_that_made_the_original(chain: Chain, traced: InspectionResults) -> None:
    made = load_provenance(chain["model"])
    snapshot, split = load_split(chain["snapshot"], chain["split"])
    original = models.load(chain["model"])
    device = next(original.parameters()).device
    members, holdout = (
        part(snapshot, ids, made.recipe.data.image_side, device) for ids in (split.members, split.holdout)
    )
    paradigm, epochs = make_paradigm(made.recipe.paradigm), made.recipe.training.epochs
    expected = inspection.observe(original, paradigm, members, holdout, epoch=epochs, seed=made.seed)
    assert traced.training[-1] == expected
    assert traced.training[0].epoch == 0


def test_without_a_trace_nothing_is_trained(
    chain: Chain, traced: InspectionResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "trace_training", None)
    found = measured(chain, trace=False)
    assert found.training == ()
    assert found.models == traced.models


def test_a_forget_set_of_another_split_is_refused(chain: Chain, tmp_path: Path) -> None:
    path = tmp_path / "forget"
    moved = forget_set.load(chain["forget"]).model_copy(update={"split": "f" * 64})
    forget_set.save(moved, path)
    with pytest.raises(UserError, match="the forget set was chosen from split ffffffffffff"):
        measured(chain | {"other": path}, trace=False, forget="other")


def test_after_an_erasure_no_training_is_traced_and_the_refusal_says_what_still_can_be_drawn(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLEARNING_STORE", str(tmp_path / "store"))  # its erasure is no other test's
    erased = forget_set.load(chain["forget"]).ids[0]
    tombstones.add(open_store(from_environment().store), [erased], request="R1")
    with pytest.raises(UserError, match=r"holds 1 erased record \(.*: draw without training again, with --no-trace"):
        measured(chain, trace=True)
    assert not measured(chain, trace=False).training


def test_drawing_leaves_a_page_the_figures_and_their_numbers(
    traced: InspectionResults, chain: Chain, tmp_path: Path
) -> None:
    paths = write_figures(traced, tmp_path / "figures")
    # The tiny recipe has no augmentation: there are no views to compare.
    assert list(paths) == ["page", "numbers", "input-gradients", "losses", "embedding", "probabilities"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(p.name for p in paths.values())
    assert inspection_results.load(paths["numbers"]) == traced
    page = paths["page"].read_text()
    for name, figure in paper.all_figures(traced).items():
        assert paths[name].read_text() == figure.svg
        assert figure.svg in page
    assert "trained without augmentation" in page
    written = "".join(path.read_text() for path in paths.values())
    assert not [record for record in splits.load(chain["split"]).members if record in written]


def gallery_of(chain: Chain, count: int) -> list[GalleryRow]:
    return gallery(
        model_paths={name: chain[key] for name, key in NAMES.items()},
        snapshot_path=chain["snapshot"],
        split_path=chain["split"],
        forget_path=chain["forget"],
        count=count,
        device="cpu",
    )


def test_the_gallery_shows_the_forgotten_images_and_members_that_were_kept(chain: Chain) -> None:
    found = gallery_of(chain, 3)
    snapshot, split = load_split(chain["snapshot"], chain["split"])
    forget = forget_set.load(chain["forget"])

    def addresses(ids: tuple[str, ...]) -> list[str]:
        return [picture(image, "").address for image in snapshot.rows(ids).images]

    assert [row.forgotten.address for row in found] == addresses(forget.ids[:3])
    kept = set(addresses(split.retained(forget.ids)))
    for row in found:
        assert list(row.neighbours) == list(NAMES)
        for pictures in row.neighbours.values():
            cosines = [each.cosine for each in pictures if each.cosine is not None]
            assert len(cosines) == 5
            assert cosines == sorted(cosines, reverse=True)
            assert {each.address for each in pictures} <= kept
            assert pictures[0].said.startswith("neighbour 1, class ")


def test_images_of_erased_records_are_shown_to_nobody(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLEARNING_STORE", str(tmp_path / "store"))
    erased = forget_set.load(chain["forget"]).ids[0]
    tombstones.add(open_store(from_environment().store), [erased], request="R1")
    with pytest.raises(UserError, match="erased"):
        gallery_of(chain, 1)
