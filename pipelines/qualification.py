"""The qualification pipeline: resolve → plan → simulated sets forgotten, in several tasks → audited together.

Once per original, method and setting: whether requests for a few records, which no audit can judge, may be honoured by
the method without training again.
"""

from kfp import dsl

from components.forget_sets import forget_sets
from components.plan_sets import plan_sets
from components.qualify import qualify
from components.resolve import resolve
from pipelines.form import Channels, pipeline
from pipelines.tasks import TRAINING_TIMEOUT, computing, effectful, on_gpu, pure


@pipeline(
    name="qualification",
    description="Make a method forget many small simulated sets, audited together: is it fit for small requests?",
)
def qualification(model: Channels, method: Channels, sets: Channels, hardware: Channels) -> None:
    """Forget simulated sets, and judge the method."""
    chosen = {name: each for name, each in method.items() if name != "seed"}
    resolved = resolve(
        model_name=model["model_name"],
        version=model["model_version"],
        forget_kind="random",
        policy={"compare_with": "references"},
        method=chosen,
        seed=method["seed"],
        named={"run_name": "", "batch": "", "kfp_run": dsl.PIPELINE_JOB_ID_PLACEHOLDER},
    )
    found = effectful(resolved, "Resolve model version").outputs
    planned = pure(plan_sets(split=found["split"], sets=sets), "Plan simulated sets")
    with dsl.ParallelFor(planned.output, name="sets") as share:
        made = forget_sets(
            original=found["model"],
            references=found["references"],
            snapshot=found["snapshot"],
            split=found["split"],
            method=chosen,
            sets=sets,
            share=share,
            seed=method["seed"],
            hardware=computing(hardware),
        )
        on_gpu(pure(made, "Forget simulated sets", TRAINING_TIMEOUT), hardware)
    judged = qualify(parts=dsl.Collected(made.outputs["part"]), references=found["references"], sets=sets)
    effectful(judged, "Audit together and judge")
