"""One measured model: a row of the results."""

from __future__ import annotations

import platform
from importlib import resources
from pathlib import Path

import torch
from pydantic import Field, TypeAdapter, ValidationError

from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, sha256_json, write_json
from unlearning.recipes.recipe import Recipe


class AttackRow(Config):
    """One attack on one model, forget set against holdout."""

    auc: float = Field(description="0.5 is ideal; larger leaks.")
    tpr_at_1_fpr: float = Field(description="0.01 is ideal; larger leaks.")
    accuracy: float = Field(description="Balanced; 0.5 is ideal.")
    gap: float = Field(description="AUC minus the retrained model's on the same records; 0 is ideal.")


class Row(Config):
    """One model of one request."""

    sweep: str
    paradigm: str
    recipe: str
    seed: int
    epochs_factor: float
    kind: str
    fraction: float
    forgotten: int
    method: str
    attacks: dict[str, AttackRow]
    retained_auc: float = Field(description="Retained members against holdout by loss; the retrained model's is ideal.")
    accuracies: dict[str, float] = Field(description="Shares of test records; `forget_knn` of the forget set.")
    seconds: float
    ratio: float = Field(description="Seconds over those of retraining; smaller is better.")
    settings: str = Field(description="Digest of the recipe without its methods, and this method's settings.")
    code: str = Field(description="Digest of the sources that decide the figures.")
    commit: str
    machine: str

    @property
    def key(self) -> tuple[object, ...]:
        """What a row is about: a second row of the same key replaces the first."""
        return (self.paradigm, self.recipe, self.seed, self.epochs_factor, self.kind, self.fraction, self.method)

    @property
    def strongest(self) -> float:
        """AUC of the strongest attack."""
        return max(attack.auc for attack in self.attacks.values())

    @property
    def largest_gap(self) -> float:
        """The AUC difference to the retrained model, of the attack where it is largest either way; signed."""
        return max((attack.gap for attack in self.attacks.values()), key=abs)


ROWS = TypeAdapter(list[Row])

LEARNING = ("methods", "learning/paradigms")
FILES = ("core/seeding", "data/augmentations", "data/forget_set", "data/records", "data/snapshots", "data/splits",
         "learning/acceleration", "learning/checkpoint", "learning/encoders", "learning/features",
         "learning/input_gradients", "learning/models",
         "learning/training", "audit/accuracy", "audit/audit", "audit/signals", "audit/statistics",
         "audit/attacks/base", "audit/attacks/combined", "audit/attacks/threshold")  # fmt: skip


def settings_digest(recipe: Recipe, method: str) -> str:
    """Identity of everything that decides a row: other methods' settings do not."""
    document = recipe.model_dump(mode="json")
    for unrelated in ("methods", "name", "description", "near_duplicates"):
        document.pop(unrelated)
    document["data"].pop("subjects")
    own = None if method == "original" else recipe.method_config(method).model_dump(mode="json")
    return sha256_json([document, own])


def library_digest() -> str:
    """Identity of the library's sources that decide a figure: documents and pages do not."""
    root = Path(str(resources.files("unlearning")))
    paths = [path for folder in LEARNING for path in sorted((root / folder).rglob("*.py"))]
    paths += [root / f"{name}.py" for name in FILES]
    paths.append(Path(__file__).with_name("measure.py"))
    return sha256_json([path.read_text(encoding="utf-8") for path in paths])


def code_digest() -> str:
    """Identity of all sources that decide a row: the library's, and how it is put to use here."""
    root = Path(str(resources.files("unlearning")))
    paths = [
        Path(__file__).with_name("workbench.py"),
        root / "recipes" / "pretraining.py",
        root / "data" / "loading.py",
    ]
    return sha256_json([library_digest(), *(path.read_text(encoding="utf-8") for path in paths)])


def machine() -> str:
    """The processor and library that the seconds belong to."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {torch.get_num_threads()} thread, torch {torch.__version__}"


def load(path: Path) -> list[Row]:
    """The rows in a file, none if there is no file.

    Raises:
        UserError: not a file of rows.
    """
    if not path.exists():
        return []
    try:
        return ROWS.validate_python(read_json(path, "benchmark results"))
    except ValidationError as error:
        raise UserError(
            f"benchmark results {path}: {error.errors()[0]['msg']}: move the file away to begin anew"
        ) from None


def save(rows: list[Row], path: Path) -> None:
    """Write the rows in one step, in a fixed order."""
    ordered = sorted(rows, key=lambda row: [str(part) for part in row.key])
    write_json(path, [row.model_dump(mode="json") for row in ordered])
