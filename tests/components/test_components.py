from __future__ import annotations

import ast
import inspect
import json
import shutil
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components.base import IMAGE
from unlearning.audit.results import Audit, strongest_attack
from unlearning.compliance.certificates import keys
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core.errors import UserError
from unlearning.core.settings import from_environment
from unlearning.data import forget_set
from unlearning.learning import models, near_duplicates
from unlearning.registry.client import Registry
from unlearning.registry.tags import Tags
from unlearning.storage.local import LocalStore

Chain = dict[str, Path]
FOLDER = Path(__file__).parents[2] / "components"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "base"))
LINES = 60
CURVES = ("roc_before", "roc_after", "roc_retrained", "said_after")


def load(name: str) -> Any:
    return getattr(import_module(f"components.{name}"), name)


def container(name: str) -> Any:
    spec = load(name).pipeline_spec
    (deployed,) = spec.deployment_spec["executors"].values()
    return deployed["container"]


def inputs_of(chain: Chain, *names: str, **renamed: str) -> dict[str, dsl.Artifact]:
    """Real artifacts of the chain, by the name of the component's argument."""
    named = {name: name for name in names} | renamed
    return {argument: dsl.Artifact(name=argument, uri=str(chain[name])) for argument, name in named.items()}


def outputs_in(folder: Path, **kinds: type[dsl.Artifact]) -> dict[str, dsl.Artifact]:
    return {name: kind(name=name, uri=str(folder / name)) for name, kind in kinds.items()}


def confusion_of(artifact: dsl.Artifact) -> list[list[int]]:
    return [row["row"] for row in artifact.metadata["confusionMatrix"]["rows"]]


ON_CPU = {"device": "cpu", "gpus": "0"}
CPU = ON_CPU | {"gpu_nodes": "{}", "nodes": "1", "node_gpus": "0", "processes": "0"}
"""As KFP hands structures over: every value is text."""
"""Of a task that trains by itself."""


def test_there_is_a_component_for_every_step() -> None:
    steps = {path.stem for path in (FOLDER.parent / "unlearning" / "steps").glob("*.py")} - {"__init__"}
    # The step promote also rejects, references also plans and gathers, check also names batches, and fulfil also
    # releases.
    more = {"reject", "plan_references", "gather_references", "batch_name", "release"}
    assert steps | more == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_module_imports_nothing_heavy(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    modules = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    plain = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    assert {"components.base"} <= set(modules) <= {"kfp.dsl", "components.base"}
    assert plain == []


@pytest.mark.parametrize("name", NAMES)
def test_the_function_is_short_documented_and_fully_annotated(name: str) -> None:
    function = load(name).python_func
    assert (function.__doc__ or "").strip()
    assert len(inspect.getsource(function).splitlines()) <= LINES
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_in_our_image_and_installs_nothing(name: str) -> None:
    deployed = container(name)
    assert deployed["image"] == IMAGE
    command = " ".join(deployed["command"])
    assert "pip" not in command.replace("pipeline", "")
    assert "packages_to_install" not in command
    assert "kfp.dsl.executor_main" in command


def test_the_image_has_a_fixed_tag() -> None:
    _, _, tag = IMAGE.rpartition(":")
    assert tag not in ("", "latest")


def test_ingest_describes_the_snapshot(chain: Chain, tmp_path: Path) -> None:
    out = outputs_in(tmp_path, snapshot=dsl.Dataset, resolved_recipe=dsl.Artifact)
    now = load("tombstones").python_func()
    given = {"recipe": str(chain["recipe"]), "overrides": "", "seed": 0, "erased": "refuse", "tombstones": now}
    digest = load("ingest").python_func(**given, **out)
    counts = {"records": "1797", "duplicates": "0", "erased": "0"}
    assert out["snapshot"].metadata == {"digest": digest, **counts}
    assert (tmp_path / "resolved_recipe").read_bytes() == chain["resolved"].read_bytes()


def test_split_describes_its_parts(chain: Chain, tmp_path: Path) -> None:
    out = outputs_in(tmp_path, split=dsl.Dataset)
    given = inputs_of(chain, "snapshot", resolved_recipe="resolved")
    digest = load("split").python_func(**given, seed=0, **out)
    sizes = {"members": "300", "calibration": "80", "holdout": "300", "test": "120"}
    assert out["split"].metadata == {"digest": digest, **sizes}


def test_pretrain_and_unlearn_give_what_the_steps_give(chain: Chain, tmp_path: Path) -> None:
    data = inputs_of(chain, "snapshot", "split")
    run = {"hardware": CPU}
    out = outputs_in(tmp_path, model=dsl.Model, metrics=dsl.Metrics)
    digest = load("pretrain").python_func(**data, **inputs_of(chain, resolved_recipe="resolved"), seed=0, **run, **out)
    assert out["model"].metadata == {"digest": digest, "device": "cpu"}
    weights = (tmp_path / "model" / "weights.safetensors").read_bytes()
    assert weights == (chain["model"] / "weights.safetensors").read_bytes()
    out = outputs_in(tmp_path, candidate=dsl.Model, metrics=dsl.Metrics)
    given = inputs_of(chain, "model", "forget")
    load("unlearn").python_func(
        **data, **given, method="retrain", overrides="", attempt="first", seed=0, seed_offset=1, **run, **out
    )
    weights = (tmp_path / "candidate" / "weights.safetensors").read_bytes()
    assert weights == (chain["retrained"] / "weights.safetensors").read_bytes()
    assert set(out["metrics"].metadata) == {"seconds"}
    assert set(json.loads((tmp_path / "metrics").read_text())) == {"seconds"}


def test_what_a_task_that_trains_is_asked_for_reaches_the_workers(chain: Chain, tmp_path: Path) -> None:
    """Refused before anything is trained, in words that name the parameter."""
    data = inputs_of(chain, "snapshot", "split")
    made = {"model": inputs_of(chain, "model", "forget"), "out": outputs_in(tmp_path, metrics=dsl.Metrics)}
    where: dict[str, Any] = {"hardware": CPU | {"node_gpus": 2}, "seed": 0}
    calls: dict[str, dict[str, Any]] = {
        "pretrain": inputs_of(chain, resolved_recipe="resolved") | outputs_in(tmp_path, model=dsl.Model),
        "unlearn": made["model"] | {"method": "finetune", "overrides": "", "attempt": "first", "seed_offset": 0},
        "retrain_or_none": made["model"] | {"policy": {"compare_with": "retrained"}, "seed_offset": 0},
    }
    calls["unlearn"] |= outputs_in(tmp_path, candidate=dsl.Model)
    calls["retrain_or_none"] |= outputs_in(tmp_path, retrained=dsl.Model)
    for name, given in calls.items():
        with pytest.raises(UserError, match="node_gpus are for a training on several nodes"):
            load(name).python_func(**data, **given, **where, **made["out"])


def test_retrain_gives_what_the_method_gives_or_says_that_there_is_none(chain: Chain, tmp_path: Path) -> None:
    given: dict[str, Any] = inputs_of(chain, "model", "snapshot", "split", "forget") | {"seed": 0, "seed_offset": 1}
    given |= {"hardware": CPU}
    for compare_with, seconds in (("retrained", True), ("references", False)):
        out = outputs_in(tmp_path / compare_with, retrained=dsl.Model, metrics=dsl.Metrics)
        load("retrain_or_none").python_func(**given, policy={"compare_with": compare_with}, **out)
        assert (out["metrics"].metadata["seconds"] > 0) == seconds
        assert json.loads((tmp_path / compare_with / "metrics").read_text()) == out["metrics"].metadata
        assert (out["retrained"].metadata["digest"] == "none") == (compare_with == "references")
    weights = (tmp_path / "retrained" / "retrained" / "weights.safetensors").read_bytes()
    assert weights == (chain["retrained"] / "weights.safetensors").read_bytes()
    assert not list((tmp_path / "references").rglob("*.safetensors"))


def test_without_a_retrained_model_there_is_no_curve_of_one(chain: Chain, tmp_path: Path) -> None:
    """And the evaluation compares with the original."""
    none = outputs_in(tmp_path / "none", retrained=dsl.Model, metrics=dsl.Metrics)
    data = inputs_of(chain, "snapshot", "split", "forget")
    where = {"hardware": ON_CPU}
    seeds = {"seed": 0, "seed_offset": 1}
    model = inputs_of(chain, "model")
    load("retrain_or_none").python_func(
        **data, **model, hardware=CPU, **seeds, policy={"compare_with": "references"}, **none
    )
    given = data | inputs_of(chain, "candidate", original="model") | where | {"retrained": none["retrained"]}
    curves = dict.fromkeys(CURVES, dsl.ClassificationMetrics)
    out = outputs_in(tmp_path, audit=dsl.Artifact, metrics=dsl.Metrics, **curves)
    load("audit").python_func(**given, **inputs_of(chain, "references"), seed=0, **out)
    assert [bool(out[name].metadata) for name in curves] == [True, True, False, True]
    assert {name.split()[0] for name in out["metrics"].metadata} == {"original", "candidate"}
    out = outputs_in(tmp_path, evaluation=dsl.Artifact, metrics=dsl.Metrics)
    load("evaluate").python_func(**given, **out)
    assert {name.split()[0] for name in out["metrics"].metadata} == {"original", "candidate"}
    assert json.loads((tmp_path / "evaluation").read_text())["lost_against"] == "original"


def test_select_counts_the_forgotten(chain: Chain, tmp_path: Path) -> None:
    out = outputs_in(tmp_path, forget=dsl.Dataset, near_duplicates=dsl.Artifact, metrics=dsl.Metrics)
    wanted = {"forget_kind": "random", "forget_fraction": "0.4", "forget_class": "", "forget_ids": ""}
    chosen: dict[str, Any] = {"seed": 0, "hardware": ON_CPU, "batch": "", "model_name": "m"}
    alone, all_alike = (wanted | {"include_near_duplicates": each} for each in ("False", "True"))
    given = inputs_of(chain, "model", "snapshot", "split")
    assert load("select").python_func(**given, **chosen, forget_selection=alone, **out) == 120
    assert (out["forget"].metadata["records"], out["forget"].metadata["kind"]) == ("120", "random")
    found = near_duplicates.load(tmp_path / "near_duplicates")
    told = {"records": 120, "near-duplicates found": len(found.repeated), "near-duplicates included": 0}
    assert out["metrics"].metadata == told | {"others alike to the model": len(found.alike)}
    assert json.loads((tmp_path / "metrics").read_text()) == out["metrics"].metadata
    count = load("select").python_func(**given, **chosen, forget_selection=all_alike, **out)
    assert count == 120 + len(found.repeated) > 120
    assert out["metrics"].metadata["near-duplicates included"] == len(found.repeated)


def test_audit_draws_a_curve_of_every_model(chain: Chain, tmp_path: Path) -> None:
    names = ("candidate", "retrained", "references", "snapshot", "split", "forget")
    given = inputs_of(chain, *names, original="model")
    curves = dict.fromkeys(CURVES, dsl.ClassificationMetrics)
    out = outputs_in(tmp_path, audit=dsl.Artifact, metrics=dsl.Metrics, **curves)
    load("audit").python_func(**given, seed=0, hardware=ON_CPU, **out)
    assert (tmp_path / "audit").read_bytes() == chain["audit"].read_bytes()
    (caught, missed), (false_positives, passed) = confusion_of(out["said_after"])
    assert caught + missed == 120
    audit = Audit.model_validate_json((tmp_path / "audit").read_text())
    strongest = strongest_attack(audit.models["original"])
    rates = next(attack.rates for attack in audit.models["candidate"].attacks if attack.name == strongest)
    assert rates is not None
    assert rates.precision is not None
    assert caught / (caught + false_positives) == pytest.approx(rates.precision.estimate)
    balanced = (caught / (caught + missed) + passed / (false_positives + passed)) / 2
    assert balanced == pytest.approx(rates.accuracy), "another way to the same counts"
    assert caught / 120 == pytest.approx(rates.recall.estimate)
    for name in CURVES[:3]:
        points = out[name].metadata["confidenceMetrics"]
        assert (points[0]["falsePositiveRate"], points[-1]["falsePositiveRate"]) == (0, 1)
    assert {name.split()[0] for name in out["metrics"].metadata} == {"original", "candidate", "retrained"}


def test_references_are_planned_made_and_gathered(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLEARNING_STORE", str(tmp_path / "store"))  # what is stored holds seconds
    planned = load("plan_references").python_func(count=8, tasks=2)
    assert planned == ["0 2 4 6", "1 3 5 7"]
    given = inputs_of(chain, "snapshot", "split", original="model")
    parts = []
    for number, numbers in enumerate(planned):
        out = outputs_in(tmp_path / str(number), part=dsl.Artifact)
        load("references").python_func(**given, count=8, numbers=numbers, hardware=ON_CPU, **out)
        parts.append(out["part"])
    out = outputs_in(tmp_path, references=dsl.Artifact, metrics=dsl.Metrics)
    load("gather_references").python_func(parts=parts, **out)
    assert out["metrics"].metadata["references"] == 8
    signals = "signals.safetensors"
    assert (tmp_path / "references" / signals).read_bytes() == (chain["references"] / signals).read_bytes()


@pytest.mark.parametrize(("others", "written"), [((), "before"), (("candidate", "retrained", "forget"), "evaluation")])
def test_evaluate_measures_the_models_it_is_given(
    chain: Chain, tmp_path: Path, others: tuple[str, ...], written: str
) -> None:
    given = inputs_of(chain, "snapshot", "split", *others, original="model")
    out = outputs_in(tmp_path, evaluation=dsl.Artifact, metrics=dsl.Metrics)
    load("evaluate").python_func(**given, hardware=ON_CPU, **out)
    assert (tmp_path / "evaluation").read_bytes() == chain[written].read_bytes()
    assert "original knn" in out["metrics"].metadata


@pytest.mark.parametrize(("margin", "written"), [(0.49, "passed"), (0.001, "failed")])
def test_decide_writes_the_outcome_and_returns_what_follows(
    chain: Chain, tmp_path: Path, margin: float, written: str
) -> None:
    out = outputs_in(tmp_path, verdict=dsl.Artifact, explanation=dsl.Markdown)
    given = inputs_of(chain, "audit", "evaluation")
    policy = {"stronger": "0", "on_failure": "stop", "on_inconclusive": "stop", "auc_margin": str(margin)}
    policy |= {"utility_margin": "0.9"}
    follows = load("decide").python_func(**given, policy=policy, method="finetune", attempt="first", **out)
    assert (tmp_path / "verdict").read_bytes() == chain[written].read_bytes()
    assert (tmp_path / "explanation").read_text().startswith("# The candidate ")
    assert out["verdict"].metadata["action"] == ("promote" if written == "passed" else "person")
    assert follows == ("serve" if written == "passed" else "person")
    assert out["verdict"].metadata["outcome"] == json.loads(chain[written].read_text())["outcome"]


def test_check_refuses_what_has_no_meaning() -> None:
    policy = {"auc_margin": "0.1", "stronger": "1", "on_failure": "stop", "compare_with": "references"}
    load("check").python_func(policy=policy, forget_kind="random")
    for name, value in (("stronger", "7"), ("compare_with", "nothing"), ("colour", "red")):
        with pytest.raises(UserError, match=name):
            load("check").python_func(policy=policy | {name: value}, forget_kind="random")
    with pytest.raises(UserError, match="forget kind class"):
        load("check").python_func(policy=policy, forget_kind="class")


def test_a_method_that_diverges_goes_through_every_component_and_is_registered_nowhere(
    chain: Chain, tmp_path: Path
) -> None:
    data, where = inputs_of(chain, "snapshot", "split", "forget"), {"hardware": ON_CPU}
    made = outputs_in(tmp_path, candidate=dsl.Model, metrics=dsl.Metrics)
    wild = {
        "method": "finetune",
        "overrides": "{learning_rate: 1.0e30}",
        "attempt": "first",
        "seed": 0,
        "seed_offset": 0,
    }
    digest = load("unlearn").python_func(**data, **inputs_of(chain, "model"), **wild, hardware=CPU, **made)
    assert "the loss became nan" in made["candidate"].metadata["diverged"]
    assert digest == models.digest(chain["model"])
    shown = data | inputs_of(chain, "retrained", original="model") | {"candidate": made["candidate"]}
    curves = dict.fromkeys(CURVES, dsl.ClassificationMetrics)
    audited = outputs_in(tmp_path, audit=dsl.Artifact, **curves) | outputs_in(tmp_path / "audited", metrics=dsl.Metrics)
    load("audit").python_func(**shown, **inputs_of(chain, "references"), seed=0, **where, **audited)
    evaluated = outputs_in(tmp_path, evaluation=dsl.Artifact)
    load("evaluate").python_func(
        **shown, **where, **evaluated, **outputs_in(tmp_path / "evaluated", metrics=dsl.Metrics)
    )
    found = {"audit": audited["audit"]} | evaluated
    judged = outputs_in(tmp_path, verdict=dsl.Artifact, explanation=dsl.Markdown)
    policy = {"stronger": "2", "on_failure": "retrain", "on_inconclusive": "accept", "auc_margin": "0.49"}
    policy |= {"utility_margin": "0.9"}
    action = load("decide").python_func(**found, policy=policy, method="finetune", attempt="first", **judged)
    assert (action, judged["verdict"].metadata["outcome"]) == ("retrain", "diverged")
    noted = outputs_in(tmp_path, attempts=dsl.Artifact)
    given = {"candidate": made["candidate"], "forget": data["forget"], **found, "verdict": judged["verdict"], **noted}
    wild_name = {"model_name": "wild", "run_name": "r", "kfp_run": "k"}
    named: dict[str, Any] = {"registered": wild_name, "parent": "1", "batch": ""}
    assert load("reject").python_func(**given, **named, action=action) == "none"
    (attempt,) = json.loads((tmp_path / "attempts").read_text())
    assert (attempt["verdict"]["outcome"], attempt["version"], attempt["action"]) == ("diverged", "none", "retrain")


def test_the_registry_components_lead_from_original_to_report(chain: Chain, tmp_path: Path) -> None:
    named = {"registered": {"model_name": "components", "run_name": "", "kfp_run": "kfp-7"}}
    given = inputs_of(chain, "model", "split", "references", evaluation="before")
    parent = load("register").python_func(**given, **named)
    kinds = {"model": dsl.Model, "snapshot": dsl.Dataset, "split": dsl.Dataset, "references": dsl.Artifact}
    out = outputs_in(tmp_path, **kinds)
    asked: dict[str, Any] = {
        "model_name": "components",
        "version": "champion",
        "policy": {"compare_with": "references"},
    }
    assert load("resolve").python_func(**asked, **out) == parent == "1"
    assert out["model"].metadata["version"] == "1"
    assert out["references"].metadata["count"] == 8
    evidence = inputs_of(chain, "candidate", "forget", "audit", "evaluation")
    below = outputs_in(tmp_path / "below", attempts=dsl.Artifact)
    failed = evidence | inputs_of(chain, verdict="failed") | below
    rejected = load("reject").python_func(**failed, **named, batch="b1", parent="1", action="retrain")
    above = outputs_in(tmp_path / "above", attempts=dsl.Artifact)
    passed = evidence | inputs_of(chain, verdict="passed")
    given = passed | above | {"earlier": below["attempts"]}
    promoted = load("promote").python_func(**given, **named, batch="b1", parent="1", policy={"on_inconclusive": "stop"})
    assert (rejected, promoted) == ("2", "3")
    given = inputs_of(chain, "retrained", "snapshot", "split", original="model")
    models = given | {name: passed[name] for name in ("candidate", "forget")}
    drawn = outputs_in(tmp_path / "drawn", page=dsl.HTML, evidence=dsl.Artifact)
    load("figures").python_func(**models, **drawn, hardware=ON_CPU)
    assert "the paper's figures" in (tmp_path / "drawn/page").read_text()
    given |= passed | above | {"evidence": drawn["evidence"]}
    out = outputs_in(tmp_path, page=dsl.HTML, summary=dsl.Artifact, metrics=dsl.Metrics)
    load("report").python_func(**given, original_version="1", **named, **out)
    attempts = json.loads((tmp_path / "summary").read_text())["attempts"]
    assert [(attempt["version"], attempt["action"]) for attempt in attempts] == [("2", "retrain"), ("3", "promote")]
    assert "<html" in (tmp_path / "page").read_text()
    assert '"run_id": "kfp-7"' in (tmp_path / "summary").read_text()


def test_what_was_forgotten_is_withdrawn_and_purged(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(chain["home"] / "store", tmp_path / "home/store")
    monkeypatch.setenv("UNLEARNING_HOME", str(tmp_path / "home"))
    names = {"model_name": "retired", "run_name": "", "kfp_run": "kfp-8"}
    named = {"registered": names}
    load("register").python_func(**inputs_of(chain, "model", "split", "references", evaluation="before"), **named)
    evidence = inputs_of(chain, "candidate", "forget", "audit", "evaluation", verdict="passed")
    out = outputs_in(tmp_path, attempts=dsl.Artifact)
    version = load("promote").python_func(
        **evidence, **out, **named, batch="", parent="1", policy={"on_inconclusive": "stop"}
    )
    registry = Registry(from_environment().tracking_uri)
    registry.set_tags(registry.resolve("retired", version), Tags.model_validate({"request.R1": "fulfilled"}))
    withdrawn = withdraw(
        model_name="retired", records={"R1": forget_set.load(chain["forget"]).ids}, now=datetime.now(UTC), grace_days=0
    )
    assert withdrawn.versions == ("1",)
    out = outputs_in(tmp_path, metrics=dsl.Metrics)
    references = LocalStore(tmp_path / "home/store").measure("references").objects
    assert load("purge").python_func(**names, grace_days=30, **out) > references > 8 * 2
    assert out["metrics"].metadata["versions purged"] == 1
    # The version that serves is tagged with the data of the one that is gone, and so stands for it.
    assert {path.name for path in (tmp_path / "home/store").iterdir()} >= {"snapshots", "splits"}
    assert LocalStore(tmp_path / "home/store").list("references") == []
    assert registry.resolve("retired", "1").tags.status == "purged"
    assert load("purge").python_func(**names, grace_days=30, **outputs_in(tmp_path, metrics=dsl.Metrics)) == 0


def test_a_batch_with_nothing_to_do_goes_through_its_components(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.new()
    keys.write_private(key, tmp_path / "key.pem")
    monkeypatch.setenv(keys.KEY_FILE, str(tmp_path / "key.pem"))
    policy = {"auc_margin": "0.1", "on_failure": "stop", "on_inconclusive": "accept_retrained"}
    requests = {"lease_hours": "1.0", "due_within_days": "0.0", "grace_days": "3", "model_name": ""}
    name = load("batch_name").python_func
    assert name(batch="", kfp_run="run-7", policy=policy, requests=requests) == "run-7"
    assert name(batch="monday", kfp_run="run-7", policy=policy, requests=requests) == "monday"
    for wrong in ({"lease_hours": "0"}, {"lease_hours": "2000"}, {"grace_days": "-1"}, {"due_within_days": "-1"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            name(batch="", kfp_run="run-7", policy=policy, requests=requests | wrong)
    with pytest.raises(UserError, match="on_failure"):
        name(batch="", kfp_run="run-7", policy=policy | {"on_failure": "pray"}, requests=requests)
    out = outputs_in(tmp_path, work=dsl.Artifact, metrics=dsl.Metrics)
    assert load("collect").python_func(batch="run-7", requests=requests, **out) == []
    assert json.loads((tmp_path / "work").read_text())["models"] == []
    assert out["metrics"].metadata == {
        "claimed": 0,
        "nothing_found": 0,
        "settled": 0,
        "skipped": 0,
        "undone": 0,
        "damaged_snapshots": 0,
    }
    out = outputs_in(tmp_path, metrics=dsl.Metrics)
    with pytest.raises(UserError, match="nothing to do for model 'm'"):
        load("fulfil").python_func(batch="run-7", model_name="m", grace_days=3, **out)
    assert (
        load("certify").python_func(grace_days=3, must_be_complete=True, **outputs_in(tmp_path, metrics=dsl.Metrics))
        == 0
    )
    load("release").python_func(batch="", kfp_run="run-7", grace_days=3)
