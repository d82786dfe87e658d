"""The compliance pipeline: every erasure request that is due, honoured before its deadline.

name → collect → for each model: unlearning → fulfil
     → certify → purge → certify what was purged
whatever happens: release what was claimed and not done.

Made for a recurring run. Everything it does is written to the store and to MLflow, so that running it twice, two
at once, or again after a crash changes nothing and forgets nobody.
"""

from typing import Any

from kfp import dsl

from components.batch_name import batch_name
from components.certify import certify
from components.collect import collect
from components.fulfil import fulfil
from components.purge import purge
from components.release import release
from pipelines.tasks import effectful, pipeline, signing
from pipelines.unlearning import unlearning


@pipeline(name="honour", description="Unlearn every model of a batch, one after another.")
def honour(
    models: list[str],
    batch: str,
    method: str,
    method_overrides: str,
    seed: int,
    auc_margin: float,
    utility_margin: float,
    stronger: int,
    on_failure: str,
    on_inconclusive: str,
    compare_with: str,
    grace_days: int,
    device: str,
    gpus: int,
    gpu_nodes: dict[str, str],
    nodes: int,
    node_gpus: int,
    processes: int,
) -> None:
    """A pipeline of its own, so that what follows can wait for all models."""
    with dsl.ParallelFor(models, name="models", parallelism=1) as model:
        forgotten = unlearning(
            model_name=model,
            model_version="champion",
            forget_kind="batch",
            method=method,
            method_overrides=method_overrides,
            seed=seed,
            auc_margin=auc_margin,
            utility_margin=utility_margin,
            stronger=stronger,
            on_failure=on_failure,
            on_inconclusive=on_inconclusive,
            compare_with=compare_with,
            batch=batch,
            device=device,
            gpus=gpus,
            gpu_nodes=gpu_nodes,
            nodes=nodes,
            node_gpus=node_gpus,
            processes=processes,
        )
        told = fulfil(batch=batch, model_name=model, grace_days=grace_days)
        effectful(told.after(forgotten), "Fulfil requests")


@pipeline(
    name="compliance",
    description="Honour erasure requests: unlearn, audit, certify, and purge what is left of the records.",
)
def compliance(
    batch: str = "",
    model_name: str = "",
    due_within_days: float = 0.0,
    lease_hours: float = 24.0,
    grace_days: int = 30,
    method: str = "gradient_penalty",
    method_overrides: str = "",
    seed: int = 0,
    auc_margin: float = 0.10,
    utility_margin: float = 0.03,
    stronger: int = 1,
    on_failure: str = "retrain",
    on_inconclusive: str = "accept_retrained",
    compare_with: str = "retrained",
    device: str = "auto",
    gpus: int = 0,
    gpu_nodes: dict[str, str] = {},  # noqa: B006 - KFP reads it, and nobody changes it
    nodes: int = 1,
    node_gpus: int = 0,
    processes: int = 0,
) -> None:
    """Honour what was asked.

    Args:
        batch: Name of this batch. Empty: the KFP run's own name.
        model_name: Only requests that concern this registered model. Empty for all.
        due_within_days: Only requests due so soon. 0 for all that are open.
        lease_hours: How long this batch may take before another may take over its requests.
        grace_days: How long versions that hold erased records are kept before they are deleted.
        method: See the unlearning pipeline.
        method_overrides: YAML laid over the method's settings. Empty for none.
        seed: Seed of the unlearning and the audit.
        auc_margin: Largest difference to a model that never saw the records in any attack's AUC.
        utility_margin: Largest accuracy lost, as a share.
        stronger: Stronger settings to try where a candidate still leaks, 0 to 2.
        on_failure: What follows a failed verdict: retrain, or stop (leave it to a person).
        on_inconclusive: Where the audit cannot tell: retrain, stop, accept, or accept_retrained: a request for a few
            records is honoured by training again without them, and the certificate says that no audit could tell.
        compare_with: What a candidate is compared with: retrained, or references (refused where a version has none).
        {hardware}
    """
    run = dsl.PIPELINE_JOB_NAME_PLACEHOLDER
    ladder: dict[str, Any] = {
        "auc_margin": auc_margin,
        "utility_margin": utility_margin,
        "stronger": stronger,
        "on_failure": on_failure,
        "on_inconclusive": on_inconclusive,
        "compare_with": compare_with,
    }
    releasing = effectful(release(batch=batch, kfp_run=run, grace_days=grace_days), "Release what is left")
    with dsl.ExitHandler(releasing, name="batch"):
        times: dict[str, Any] = {"lease_hours": lease_hours, "due_within_days": due_within_days}
        named = effectful(
            batch_name(batch=batch, kfp_run=run, **ladder, **times, grace_days=grace_days), "Check and name"
        )
        collected = effectful(
            collect(batch=named.output, model_name=model_name, **times, grace_days=grace_days), "Collect requests"
        )
        honoured = honour(
            models=collected.outputs["Output"],
            batch=named.output,
            method=method,
            method_overrides=method_overrides,
            seed=seed,
            **ladder,
            grace_days=grace_days,
            device=device,
            gpus=gpus,
            gpu_nodes=gpu_nodes,
            nodes=nodes,
            node_gpus=node_gpus,
            processes=processes,
        ).set_display_name("Honour requests")
        certified = signing(effectful(certify(grace_days=grace_days).after(honoured), "Certify"))
        purged = effectful(
            purge(model_name="", grace_days=grace_days, run_name=batch, kfp_run=run).after(certified), "Purge"
        )
        signing(effectful(certify(grace_days=grace_days).after(purged), "Certify what was purged"))
