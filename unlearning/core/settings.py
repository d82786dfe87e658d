"""Where things are kept. Set once per machine or cluster by environment variables, never in code.

| variable | meaning | default |
|---|---|---|
| `UNLEARNING_HOME` | folder for runs, store, MLflow and checkpoints | `runs` |
| `UNLEARNING_STORE` | snapshots and locks: a folder or `s3://bucket/prefix` | `<home>/store` |
| `UNLEARNING_DATA` | downloaded datasets | `data` |
| `UNLEARNING_CHECKPOINTS` | where interrupted training resumes from | `<home>/checkpoints` |
| `MLFLOW_TRACKING_URI` | MLflow server or database | SQLite in `<home>` |
| `UNLEARNING_MLFLOW_ARTIFACTS` | where an MLflow server keeps artifacts, `s3://bucket/prefix`, to purge them | none |
| `UNLEARNING_PIPELINE_ROOT` | what pipelines' tasks leave behind: a folder or `s3://bucket/prefix` | `<home>` |
| `UNLEARNING_TIME_ZONE` | in whose days deadlines are counted: the office's zone, an IANA name | `UTC` |
| `UNLEARNING_COMMIT` | commit the library was built from | asked of git |
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from unlearning.core.config import Config


class Settings(Config):
    """Resolved settings of this process."""

    home: Path
    store: str
    data: Path
    checkpoints: Path
    tracking_uri: str
    mlflow_artifacts: str
    """Empty where the server is asked to delete: it leaves old versions of objects in its bucket."""
    pipeline_root: str
    time_zone: str
    """Of the office, an IANA name."""
    commit: str


def _git(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        ["git", *arguments],  # noqa: S607
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _commit() -> str:
    """The checkout's commit, marked when files differ from it; `unknown` outside a checkout."""
    try:
        # Fails where the library is installed inside somebody else's checkout.
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def from_environment() -> Settings:
    """Read the variables above; paths become absolute."""
    home = Path(os.environ.get("UNLEARNING_HOME") or "runs").absolute()
    return Settings(
        home=home,
        store=os.environ.get("UNLEARNING_STORE") or str(home / "store"),
        data=Path(os.environ.get("UNLEARNING_DATA") or "data").absolute(),
        checkpoints=Path(os.environ.get("UNLEARNING_CHECKPOINTS") or home / "checkpoints").absolute(),
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}",
        mlflow_artifacts=os.environ.get("UNLEARNING_MLFLOW_ARTIFACTS") or "",
        pipeline_root=os.environ.get("UNLEARNING_PIPELINE_ROOT") or str(home),
        time_zone=os.environ.get("UNLEARNING_TIME_ZONE") or "UTC",
        commit=os.environ.get("UNLEARNING_COMMIT") or _commit(),
    )
