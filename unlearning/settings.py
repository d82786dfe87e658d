"""Where things are kept. Set once per machine or cluster by environment variables, never in code.

| variable | meaning | default |
|---|---|---|
| `UNLEARNING_HOME` | folder for runs, store, MLflow and checkpoints | `runs` |
| `UNLEARNING_STORE` | snapshots and locks: a folder or `s3://bucket/prefix` | `<home>/store` |
| `UNLEARNING_DATA` | downloaded datasets | `data` |
| `UNLEARNING_CHECKPOINTS` | where interrupted training resumes from | `<home>/checkpoints` |
| `MLFLOW_TRACKING_URI` | MLflow server or database | SQLite in `<home>` |
| `UNLEARNING_COMMIT` | commit the library was built from | asked of git |
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from unlearning.config import Config


class Settings(Config):
    """Resolved settings of this process."""

    home: Path
    store: str
    data: Path
    checkpoints: Path
    tracking_uri: str
    commit: str


def _commit() -> str:
    """The checkout's commit, marked when files differ from it; `unknown` outside a checkout."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"],  # noqa: S607
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def from_environment() -> Settings:
    """Read the variables above; paths become absolute."""
    home = Path(os.environ.get("UNLEARNING_HOME", "runs")).absolute()
    return Settings(
        home=home,
        store=os.environ.get("UNLEARNING_STORE", str(home / "store")),
        data=Path(os.environ.get("UNLEARNING_DATA", "data")).absolute(),
        checkpoints=Path(os.environ.get("UNLEARNING_CHECKPOINTS", home / "checkpoints")).absolute(),
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}"),
        commit=os.environ.get("UNLEARNING_COMMIT") or _commit(),
    )
