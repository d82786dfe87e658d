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
from tests.margins import WIDE
from unlearning.audit.results import Audit, strongest_attack
from unlearning.compliance.certificates import keys
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core.errors import UserError
from unlearning.core.settings import from_environment
from unlearning.data import forget_set, past_forget_sets, splits
from unlearning.data.past_forget_sets import PastForgetSets
from unlearning.learning import models, near_duplicates
from unlearning.registry.client import Registry
from unlearning.registry.tags import Tags
from unlearning.reporting.evidence import EvidenceFolder
from unlearning.steps.figures import figures
from unlearning.steps.retrain_or_none import REFERENCE_OFFSET
from unlearning.storage.local import LocalStore

Chain = dict[str, Path]
FOLDER = Path(__file__).parents[2] / "components"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "base", "execute"))
LINES = 85
"""A node that runs several steps in a row names the inputs of all."""
CURVES = ("roc_before", "roc_after", "roc_retrained", "said_after")


RESOLVED = ("model", "snapshot", "split", "references", "forgotten_before")


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


def nothing_before(chain: Chain, folder: Path) -> dict[str, dsl.Artifact]:
    """What a version has forgotten already that has forgotten nothing."""
    past = PastForgetSets(split=splits.load(chain["split"]).digest, ids=(), gone=0)
    past_forget_sets.save(past, None, folder / "before")
    return {"forgotten_before": dsl.Artifact(name="forgotten_before", uri=str(folder / "before"))}


def outputs_in(folder: Path, **kinds: type[dsl.Artifact]) -> dict[str, dsl.Artifact]:
    return {name: kind(name=name, uri=str(folder / name)) for name, kind in kinds.items()}


def confusion_of(artifact: dsl.Artifact) -> list[list[int]]:
    return [row["row"] for row in artifact.metadata["confusionMatrix"]["rows"]]


ON_CPU = {"device": "cpu", "gpus": "0"}
CPU = ON_CPU | {"gpu_nodes": "{}", "nodes": "1", "node_gpus": "0", "processes": "0"}
"""As KFP hands structures over: every value is text."""
"""Of a task that trains by itself."""


def methods(name: str = "gradient_matching", overrides: str = "", seed: int = 0) -> dict[str, str]:
    """The method as a task is handed it."""
    return {"method": name, "method_overrides": overrides, "seed": str(seed)}


def policies(**changed: str) -> dict[str, str]:
    """A policy as a task is handed it, with a margin that is met."""
    given = {"stronger": "0", "on_failure": "stop", "on_inconclusive": "stop"}
    given |= {name: str(margin) for name, margin in WIDE.items()}
    return given | {"utility_margin": "0.9"} | changed


def judge_outputs(folder: Path) -> dict[str, dsl.Artifact]:
    kinds = {"judged": dsl.Artifact, "metrics": dsl.Metrics, "explanation": dsl.Markdown, "figures": dsl.HTML}
    return outputs_in(folder, **kinds, **dict.fromkeys(CURVES, dsl.ClassificationMetrics))


def conclude_outputs(folder: Path) -> dict[str, dsl.Artifact]:
    return outputs_in(folder, attempts=dsl.Artifact, page=dsl.HTML, summary=dsl.Artifact, metrics=dsl.Metrics)


def steps_of(name: str) -> set[str]:
    """Modules of steps that a component imports."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {module.removeprefix("unlearning.steps.") for module in modules if module.startswith("unlearning.steps.")}


def test_every_step_is_run_by_a_component() -> None:
    steps = {path.stem for path in (FOLDER.parent / "unlearning" / "steps").glob("*.py")} - {"__init__"}
    assert set().union(*(steps_of(name) for name in NAMES)) == steps


@pytest.mark.parametrize("name", NAMES)
def test_the_module_imports_nothing_heavy(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    modules = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    plain = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    assert {"components.base"} <= set(modules) <= {"kfp.dsl", "components.base", "typing"}
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
    load("unlearn").python_func(**data, **given, method=methods("retrain", seed=1), attempt="first", **run, **out)
    weights = (tmp_path / "candidate" / "weights.safetensors").read_bytes()
    assert weights == (chain["retrained"] / "weights.safetensors").read_bytes()
    assert set(out["metrics"].metadata) == {"seconds"}
    assert set(json.loads((tmp_path / "metrics").read_text())) == {"seconds"}


def test_what_a_task_that_trains_is_asked_for_reaches_the_workers(chain: Chain, tmp_path: Path) -> None:
    """Refused before anything is trained, in words that name the parameter."""
    data = inputs_of(chain, "snapshot", "split")
    made = {"model": inputs_of(chain, "model", "forget"), "out": outputs_in(tmp_path, metrics=dsl.Metrics)}
    where: dict[str, Any] = {"hardware": CPU | {"node_gpus": 2}}
    calls: dict[str, dict[str, Any]] = {
        "pretrain": inputs_of(chain, resolved_recipe="resolved") | outputs_in(tmp_path, model=dsl.Model) | {"seed": 0},
        "unlearn": made["model"] | {"method": methods("finetune"), "attempt": "first"},
        "retrain_or_none": made["model"] | {"policy": {"compare_with": "retrained"}, "method": methods()},
    }
    calls["unlearn"] |= outputs_in(tmp_path, candidate=dsl.Model)
    calls["retrain_or_none"] |= outputs_in(tmp_path, retrained=dsl.Model)
    for name, given in calls.items():
        with pytest.raises(UserError, match="node_gpus are for a training on several nodes"):
            load(name).python_func(**data, **given, **where, **made["out"])


def test_retrain_gives_what_the_method_gives_or_says_that_there_is_none(chain: Chain, tmp_path: Path) -> None:
    given: dict[str, Any] = inputs_of(chain, "model", "snapshot", "split", "forget")
    given |= {"hardware": CPU, "method": methods(seed=1 - REFERENCE_OFFSET)}
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
    only = {"policy": {"compare_with": "references"}, "method": methods()}
    load("retrain_or_none").python_func(**data, **inputs_of(chain, "model"), hardware=CPU, **only, **none)
    given = data | inputs_of(chain, "candidate", "references", original="model") | {"retrained": none["retrained"]}
    given |= nothing_before(chain, tmp_path)
    out = judge_outputs(tmp_path)
    asked: dict[str, Any] = {"policy": policies(), "method": methods(), "attempt": "first", "hardware": ON_CPU}
    load("judge").python_func(**given, **asked, **out)
    assert [bool(out[name].metadata) for name in CURVES] == [True, True, False, True]
    assert {name.split()[0] for name in out["metrics"].metadata} == {"original", "candidate"}
    assert json.loads((tmp_path / "judged/evaluation.json").read_text())["lost_against"] == "original"
    assert out["judged"].metadata["compared_with"] == "references"


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


@pytest.mark.parametrize(("margin", "written"), [("0.49", "passed"), ("0.001", "failed")])
def test_a_candidate_is_audited_evaluated_and_judged_as_by_the_steps(
    chain: Chain, tmp_path: Path, margin: str, written: str
) -> None:
    names = ("candidate", "retrained", "references", "snapshot", "split", "forget")
    given = inputs_of(chain, *names, original="model") | nothing_before(chain, tmp_path)
    out = judge_outputs(tmp_path)
    asked: dict[str, Any] = {"policy": policies(auc_margin=margin), "method": methods(), "attempt": "first"}
    action = load("judge").python_func(**given, **asked, hardware=ON_CPU, **out)
    assert action == ("promote" if written == "passed" else "person")
    judged = tmp_path / "judged"
    for file, made in (("audit.json", "audit"), ("evaluation.json", "evaluation"), ("verdict.json", written)):
        assert (judged / file).read_bytes() == chain[made].read_bytes(), file
    assert (judged / "provenance.json").read_bytes() == (chain["candidate"] / "provenance.json").read_bytes()
    assert not list(judged.rglob("*.safetensors"))
    told = out["judged"].metadata
    assert (told["action"], told["outcome"]) == (action, json.loads(chain[written].read_text())["outcome"])
    assert (tmp_path / "explanation").read_text().startswith("# The candidate ")
    assert "the paper's figures" in (tmp_path / "figures").read_text()
    (caught, missed), (false_positives, passed) = confusion_of(out["said_after"])
    assert caught + missed == 120
    audit = Audit.model_validate_json((judged / "audit.json").read_text())
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
    found = out["metrics"].metadata
    assert {name.split()[0] for name in found} == {"original", "candidate", "retrained"}
    assert (
        found["candidate knn"]
        == json.loads(chain["evaluation"].read_text())["accuracies"]["candidate"]["knn"]["estimate"]
    )
    assert found[f"original auc {strongest}"] == max(each.auc.estimate for each in audit.models["original"].attacks)


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


def test_simulated_sets_are_planned_forgotten_and_judged(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLEARNING_STORE", str(tmp_path / "store"))
    numbers = {"sets": "8.0", "qualification_tasks": "2.0", "auc_margin": "0.49", "utility_margin": "0.9"}
    numbers |= {"record_margin": "0.99", "memory_margin": "0.99"}
    asked = {"sizes": "1"} | numbers  # in a structure a number becomes a float
    split = inputs_of(chain, "split")
    planned = load("plan_sets").python_func(**split, sets=asked)
    assert planned == ["1: 0 2 4 6", "1: 1 3 5 7"]
    given = inputs_of(chain, "snapshot", "split", "references", original="model")
    method, parts = {"method": "finetune", "method_overrides": "{epochs: 1}"}, []
    for number, share in enumerate(planned):
        out = outputs_in(tmp_path / str(number), part=dsl.Artifact)
        load("forget_sets").python_func(**given, method=method, sets=asked, share=share, seed=0, hardware=ON_CPU, **out)
        parts.append(out["part"])
    out = outputs_in(tmp_path, qualifications=dsl.Artifact, metrics=dsl.Metrics)
    count = load("qualify").python_func(parts=parts, **inputs_of(chain, "references"), sets=asked, **out)
    (found,) = json.loads((tmp_path / "qualifications").read_text())
    assert (found["size"], found["sets"], found["auc_margin"]) == (1, 8, 0.49)
    assert count == (found["outcome"] == "qualified")
    assert out["qualifications"].metadata["finetune for 1"].startswith(found["outcome"])


def test_evaluate_measures_the_original(chain: Chain, tmp_path: Path) -> None:
    given = inputs_of(chain, "snapshot", "split", original="model")
    out = outputs_in(tmp_path, evaluation=dsl.Artifact, metrics=dsl.Metrics)
    load("evaluate").python_func(**given, hardware=ON_CPU, **out)
    assert (tmp_path / "evaluation").read_bytes() == chain["before"].read_bytes()
    assert "original knn" in out["metrics"].metadata


def test_a_method_that_diverges_goes_through_every_component_and_is_registered_nowhere(
    chain: Chain, tmp_path: Path
) -> None:
    data = inputs_of(chain, "snapshot", "split", "forget")
    made = outputs_in(tmp_path, candidate=dsl.Model, metrics=dsl.Metrics)
    wild: dict[str, Any] = {"method": methods("finetune", "{learning_rate: 1.0e30}"), "attempt": "first"}
    digest = load("unlearn").python_func(**data, **inputs_of(chain, "model"), **wild, hardware=CPU, **made)
    assert "the loss became nan" in made["candidate"].metadata["diverged"]
    assert digest == models.digest(chain["model"])
    shown = data | inputs_of(chain, "retrained", original="model") | {"candidate": made["candidate"]}
    policy = policies(stronger="2", on_failure="retrain", on_inconclusive="accept")
    judged = judge_outputs(tmp_path / "judge")
    action = load("judge").python_func(
        **shown,
        **inputs_of(chain, "references"),
        **nothing_before(chain, tmp_path),
        **wild,
        policy=policy,
        hardware=ON_CPU,
        **judged,
    )
    assert (action, judged["judged"].metadata["outcome"]) == ("retrain", "diverged")
    registered = {"model_name": "wild", "run_name": "r", "batch": "", "parent": "1"}
    asked: dict[str, Any] = {"action": action, "attempt": "first", "policy": policy, "registered": registered}
    noted = conclude_outputs(tmp_path / "conclude")
    assert load("conclude").python_func(**shown, judged=judged["judged"], **asked, **noted) == "retrained"
    (attempt,) = json.loads((tmp_path / "conclude/attempts/attempts.json").read_text())
    assert (attempt["verdict"]["outcome"], attempt["version"], attempt["action"]) == ("diverged", "none", "retrain")
    assert Registry(from_environment().tracking_uri).versions("wild") == []


@pytest.fixture(scope="module")
def inspection(finished_chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The numbers behind the figures of the chain's models."""
    folder, at = tmp_path_factory.mktemp("inspection"), finished_chain
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNING_HOME", str(at["home"]))
        figures(
            original_path=at["model"], candidate_path=at["candidate"], retrained_path=at["retrained"],
            snapshot_path=at["snapshot"], split_path=at["split"], forget_path=at["forget"], device="cpu",
            evidence_path=folder / "evidence", page_path=folder / "page",
        )  # fmt: skip
    return folder / "evidence"


def judged_in(folder: Path, chain: Chain, verdict: str, inspection: Path) -> dsl.Artifact:
    """What `judge` leaves behind, with a verdict of the chain."""
    files = EvidenceFolder(folder)
    folder.mkdir(parents=True)
    for path, name in ((files.audit, "audit"), (files.evaluation, "evaluation"), (files.verdict, verdict)):
        shutil.copyfile(chain[name], path)
    shutil.copyfile(inspection, files.inspection)
    files.keep_provenance(chain["candidate"])
    return dsl.Artifact(name="judged", uri=str(folder))


def test_the_registry_components_lead_from_original_to_report(chain: Chain, tmp_path: Path, inspection: Path) -> None:
    named = {"model_name": "components", "run_name": "", "kfp_run": "kfp-7"}
    given = inputs_of(chain, "model", "split", "references", evaluation="before")
    parent = load("register").python_func(**given, registered=named)
    kinds = dict.fromkeys(RESOLVED, dsl.Artifact) | {"model": dsl.Model}
    out = outputs_in(tmp_path, **kinds)
    asked: dict[str, Any] = {"model_name": "components", "version": "champion", "forget_kind": "random"}
    policy = policies(compare_with="references")
    seedless = {"method": "gradient_matching", "method_overrides": ""}
    names = {"run_name": "", "batch": "b1", "kfp_run": "kfp-7"}
    given = asked | {"policy": policy, "method": seedless, "seed": 2**53 + 1, "named": names}
    told, method, registered = load("resolve").python_func(**given, **out)
    assert (told, method) == (policy | {"unlearned_references": "0"}, seedless | {"seed": "9007199254740993"}), (
        "a float would lose the last digit"
    )
    assert registered == {"model_name": "components", "run_name": "kfp-7", "batch": "b1", "parent": parent}
    assert parent == out["model"].metadata["version"] == "1"
    assert out["references"].metadata["count"] == 8
    data = inputs_of(chain, "candidate", "retrained", "snapshot", "split", "forget", original="model")
    to: dict[str, Any] = {"policy": policies(), "registered": registered}
    below, above = conclude_outputs(tmp_path / "below"), conclude_outputs(tmp_path / "above")
    failed = judged_in(tmp_path / "failed", chain, "failed", inspection)
    follows = load("conclude").python_func(**data, judged=failed, action="stronger", attempt="first", **to, **below)
    assert follows == "stronger_1"
    assert "another follows" in (tmp_path / "below/page").read_text()
    assert not (tmp_path / "below/summary").exists()
    passed = judged_in(tmp_path / "passed", chain, "passed", inspection)
    more = {"earlier": below["attempts"], "action": "promote", "attempt": "stronger_1"}
    assert load("conclude").python_func(**data, judged=passed, **more, **to, **above) == "none"
    found = json.loads((tmp_path / "above/summary").read_text())
    told = [(attempt["version"], attempt["action"]) for attempt in found["attempts"]]
    assert told == [("2", "stronger"), ("3", "promote")]
    assert found["run_id"] == "kfp-7"
    assert found["verdict"]["outcome"] == "passed"
    assert "<html" in (tmp_path / "above/page").read_text()
    assert "candidate knn" not in above["metrics"].metadata
    assert {"original knn", "unlearned knn", "retrained knn"} <= set(above["metrics"].metadata)
    registry = Registry(from_environment().tracking_uri)
    assert [registry.resolve("components", number).tags.status for number in "23"] == ["rejected", "serving"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"policy": {"stronger": "7"}}, "stronger"),
        ({"policy": {"compare_with": "nothing"}}, "compare_with"),
        ({"policy": {"colour": "red"}}, "colour"),
        ({"forget_kind": "class", "policy": {"compare_with": "references"}}, "forget kind class"),
    ],
)
def test_resolve_refuses_what_has_no_meaning_before_it_looks_at_anything(
    home: Path, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    asked: dict[str, Any] = {"model_name": "nobody", "version": "1", "forget_kind": "random", "seed": 0}
    asked |= {"method": {}, "named": {"run_name": "", "batch": "", "kfp_run": "k"}}
    asked |= changed | {"policy": policies(**changed["policy"])}
    kinds = dict.fromkeys(RESOLVED, dsl.Artifact) | {"model": dsl.Model}
    with pytest.raises(UserError, match=message):
        load("resolve").python_func(**asked, **outputs_in(tmp_path, **kinds))
    assert not home.exists()


def test_what_was_forgotten_is_withdrawn_and_purged(
    chain: Chain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inspection: Path,
) -> None:
    shutil.copytree(chain["home"] / "store", tmp_path / "home/store")
    monkeypatch.setenv("UNLEARNING_HOME", str(tmp_path / "home"))
    names = {"model_name": "retired", "run_name": "", "kfp_run": "kfp-8"}
    named = {"registered": names}
    load("register").python_func(**inputs_of(chain, "model", "split", "references", evaluation="before"), **named)
    data = inputs_of(chain, "candidate", "retrained", "snapshot", "split", "forget", original="model")
    told: dict[str, Any] = {"model_name": "retired", "run_name": "kfp-8", "batch": "", "parent": "1"}
    judged = judged_in(tmp_path / "passed", chain, "passed", inspection)
    asked: dict[str, Any] = {"action": "promote", "attempt": "first", "policy": policies(), "registered": told}
    load("conclude").python_func(**data, judged=judged, **asked, **conclude_outputs(tmp_path / "out"))
    registry, version = Registry(from_environment().tracking_uri), "2"
    assert registry.resolve("retired", "champion").version == version
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
    requests = {"lease_hours": "1.0", "due_within_days": "0.0", "grace_days": "3", "model_name": "", "most_models": "4"}
    name = load("batch_name").python_func
    assert name(batch="", kfp_run="run-7", policy=policy, requests=requests) == "run-7"
    assert name(batch="monday", kfp_run="run-7", policy=policy, requests=requests) == "monday"
    for wrong in (
        {"lease_hours": "0"},
        {"lease_hours": "2000"},
        {"grace_days": "-1"},
        {"due_within_days": "-1"},
        {"most_models": "-1"},
    ):
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
