"""The compliance pipeline: every erasure request that is due, honoured before its deadline.

name → collect → for each model: unlearning → fulfil
     → certify → purge → certify what was purged
whatever happens: release what was claimed and not done.

Made for a recurring run. Everything it does is written to the store and to MLflow, so that running it twice, two
at once, or again after a crash changes nothing and forgets nobody.
"""

from kfp import dsl

from components.batch_name import batch_name
from components.certify import certify
from components.collect import collect
from components.fulfil import fulfil
from components.purge import purge
from components.release import release
from pipelines.form import Channels, pipeline
from pipelines.tasks import effectful, signing
from pipelines.unlearning import unlearning


@pipeline(name="honour", description="Unlearn every model of a batch, one after another.")
def honour(work: Channels, method: Channels, policy: Channels, hardware: Channels) -> None:
    """A pipeline of its own, so that what follows can wait for all models."""
    with dsl.ParallelFor(work["models"], name="models", parallelism=1) as model:
        forgotten = unlearning(
            model_name=model, forget_kind="batch", batch=work["batch"], **method, **policy, **hardware
        )
        told = fulfil(batch=work["batch"], model_name=model, grace_days=work["grace_days"])
        effectful(told.after(forgotten), "Fulfil requests")


@pipeline(
    name="compliance",
    description="Honour erasure requests: unlearn, audit, certify, and purge what is left of the records.",
)
def compliance(named: Channels, requests: Channels, method: Channels, policy: Channels, hardware: Channels) -> None:
    """Honour what was asked."""
    run, batch, grace_days = dsl.PIPELINE_JOB_ID_PLACEHOLDER, named["batch"], requests["grace_days"]
    releasing = effectful(release(batch=batch, kfp_run=run, grace_days=grace_days), "Release what is left")
    with dsl.ExitHandler(releasing, name="batch"):
        checked = signing(
            effectful(batch_name(batch=batch, kfp_run=run, policy=policy, requests=requests), "Check and name")
        )
        collected = effectful(collect(batch=checked.output, requests=requests), "Collect requests")
        honoured = honour(
            models=collected.outputs["Output"],
            batch=checked.output,
            grace_days=grace_days,
            **method,
            **policy,
            **hardware,
        ).set_display_name("Honour requests")
        first = certify(grace_days=grace_days, must_be_complete=False).after(honoured)
        certified = signing(effectful(first, "Certify"))
        purged = effectful(
            purge(model_name="", grace_days=grace_days, run_name=batch, kfp_run=run).after(certified), "Purge"
        )
        last = certify(grace_days=grace_days, must_be_complete=True).after(purged)
        signing(effectful(last, "Certify what was purged"))
