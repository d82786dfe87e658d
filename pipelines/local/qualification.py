"""The qualification pipeline on one machine, through kfp.local, with embedded defaults."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from pipelines.local.runner import check_writable, folder_of, hand_down, outputs_of, recorded, running, tried_once
from pipelines.parameters import FORMS, LocalQualification, parameters_of
from pipelines.qualification import qualification
from unlearning.audit.qualification_results import Qualification
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.learning.devices import choose_device
from unlearning.registry.client import Registry

RUN_FILE = "run.json"
FOUND_FILE = "qualifications.json"

_QUALIFICATIONS = TypeAdapter(list[Qualification])


def qualify_locally(
    wanted: LocalQualification, *, run_id: str = "", quiet: bool = False
) -> tuple[Path, list[Qualification]]:
    """Run the qualification pipeline and gather what it found in `<home>/<run id>/`.

    A run id that exists is resumed with the parameters it was started with: sets that were forgotten are not again.

    Returns:
        The run's folder and what was found at each size.

    Raises:
        UserError: bad parameters, an unreachable service, or a task that failed.
    """
    where = settings.from_environment()
    run_id = run_id or f"qualification-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = folder_of(where.home, run_id)
    path = folder / RUN_FILE
    wanted = recorded(LocalQualification, path) if path.exists() else wanted
    _check(wanted, where)
    write_json(path, wanted.model_dump(mode="json"))
    hand_down(where)
    values = wanted.model_dump(mode="json")
    given = {each.name: values[each.name] for each in parameters_of(FORMS["qualification"]) if each.name in values}
    with running(folder, quiet):
        tried_once(qualification)(**given)
    artifact = outputs_of(folder, "qualification", "qualify")["artifacts"]["qualifications"]["artifacts"][0]
    shutil.copyfile(artifact["uri"], folder / FOUND_FILE)
    return folder, _QUALIFICATIONS.validate_python(read_json(folder / FOUND_FILE, "qualifications"))


def _check(wanted: LocalQualification, where: settings.Settings) -> None:
    """Refuse before any work what would fail after it."""
    if wanted.method == "retrain":
        raise UserError("method retrain needs no qualification: what is trained again never saw the records")
    choose_device(wanted.device)
    check_writable(where.home)
    Registry(where.tracking_uri).resolve(wanted.model_name, wanted.model_version)
