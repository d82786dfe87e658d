"""`unlearn qualify`: is a method fit for requests too small to audit? On this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pipelines.parameters import LocalQualification
from unlearning.cli import completion
from unlearning.cli.options import options
from unlearning.cli.output import Json, path_text, show
from unlearning.core.config import checked
from unlearning.core.errors import EXIT_NOT_PROMOTED


@options(LocalQualification, without=("qualification_tasks",), completions={"method": completion.methods})
def qualify(
    context: typer.Context,
    parameters: dict[str, Any],
    run_id: Annotated[str, typer.Option(help="Name of the run; an unfinished run of that name is resumed.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: Json = False,
) -> None:
    """Make a method forget many small simulated sets, audited together. docs/qualification.md says what it shows."""
    wanted = checked(LocalQualification, parameters)
    # Imported here: Kubeflow is needed for running pipelines only. Tasks import beside it, at the same time.
    from pipelines.local import fork_server_launch

    context.with_resource(fork_server_launch.tasks())
    from pipelines.local.qualification import qualify_locally

    folder, found = qualify_locally(wanted, run_id=run_id, quiet=quiet)
    if json:
        show([each.model_dump(mode="json") for each in found], True)
    else:
        for each in found:
            print(f"{each.method} for {each.size}: {each.told}")
            for reason in each.reasons:
                print(f"  {reason}")
        print(f"numbers: {path_text(folder / 'qualifications.json')}")
    if any(each.outcome != "qualified" for each in found):
        raise typer.Exit(EXIT_NOT_PROMOTED)
