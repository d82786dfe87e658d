"""The compliance pipeline on one machine, through kfp.local, with embedded defaults."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pipelines.compliance import compliance
from pipelines.local.runner import check_writable, folder_of, hand_down, recorded, running, tried_once
from pipelines.parameters import LocalBatch
from unlearning.compliance.batches.report import BatchReport, batch_report
from unlearning.compliance.certificates import keyring, keys
from unlearning.compliance.certificates.keyring import Keyring
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.learning.devices import choose_device
from unlearning.registry.client import Registry
from unlearning.registry.tags import Tags
from unlearning.steps.check import check

BATCH_FILE = "batch.json"
RUN_FILE = "run.json"
KEY_FILE = "signing-key.pem"


def run_batch(batch: LocalBatch, *, run_id: str = "", quiet: bool = False) -> tuple[Path, BatchReport]:
    """Run the compliance pipeline and say what became of every request.

    A run id that exists is resumed with the parameters it was started with.

    Returns:
        The run's folder and what became of the batch.

    Raises:
        UserError: bad parameters, an unreachable service, or a task that failed; what was claimed is released.
    """
    where = settings.from_environment()
    run_id = run_id or f"compliance-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = folder_of(where.home, run_id)
    batch = _started(folder) or batch
    _check(batch, where)
    _own_key(where.home)
    keyring.signer(datetime.now(UTC))
    write_json(folder / RUN_FILE, batch.model_dump(mode="json"))
    hand_down(where)
    try:
        with running(folder, quiet):
            tried_once(compliance)(batch=run_id, **batch.model_dump(mode="json"))
    except UserError:
        with suppress(UserError):
            report = _written(folder, run_id)
            if report.uncertified:
                return folder, report  # which says why, and is not done
        raise
    return folder, _written(folder, run_id)


def _written(folder: Path, batch: str) -> BatchReport:
    report = batch_report(batch, now=datetime.now(UTC))
    write_json(folder / BATCH_FILE, report.model_dump(mode="json"))
    return report


def _started(folder: Path) -> LocalBatch | None:
    path = folder / RUN_FILE
    return recorded(LocalBatch, path) if path.exists() else None


def _check(batch: LocalBatch, where: settings.Settings) -> None:
    """Refuse before any work what would fail after it; the registry's database is made here, once."""
    check(batch)
    choose_device(batch.device)
    check_writable(where.home)
    Registry(where.tracking_uri).search(Tags(status="serving"))


def _own_key(home: Path) -> None:
    """Sign with a key of this machine's own where the environment names none; others need its keyring to check."""
    if os.environ.get(keys.KEY_FILE) or os.environ.get(keys.KEY):
        return
    path = home / "keys" / KEY_FILE
    if not path.exists():
        key = keys.new()
        keys.write_private(key, path)
        entry = keyring.trusted(keys.raw_public(key), datetime.now(UTC).replace(microsecond=0))
        keyring.save(Keyring(keys=(entry,)), path.parent / keys.KEYRING_FILE)
    os.environ[keys.KEY_FILE] = str(path)
