"""What Kubernetes' schemas do not ask, and we do: each policy goes from an overlay's objects to what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from manifests.objects import Object, containers, labels_of, name_of, pod_of, pods, references, volumes_of
from unlearning.cluster import launcher, names
from unlearning.core.errors import UserError

Policy = Callable[[Sequence[Object]], Iterator[str]]

OUTSIDE = {
    ("Secret", names.OBJECT_STORE),
    ("Secret", "unlearning-postgres"),
}
"""What is referred to and made by hand, since it is secret: docs/deploying.md."""

SECRET_WORDS = ("SECRET", "PASSWORD", "TOKEN", "ACCESS_KEY")


def images_are_immutable(items: Sequence[Object]) -> Iterator[str]:
    """Every image has a tag, and one that does not move."""
    for name, container, _ in containers(items):
        image = container["image"].rsplit("/", 1)[-1]
        if "@sha256:" not in image and (":" not in image or image.endswith(":latest")):
            yield f"{name}: image {container['image']} has no fixed tag"


def pipelines_run_in_what_compiles_them(items: Sequence[Object]) -> Iterator[str]:
    """Who compiles pipelines names its own image for their tasks."""
    for name, container, _ in containers(items):
        for variable in container.get("env", []):
            if variable["name"] == "UNLEARNING_IMAGE" and variable.get("value") != container["image"]:
                yield f"{name}: runs tasks in {variable.get('value')}, and is {container['image']} itself"


def nobody_is_root(items: Sequence[Object]) -> Iterator[str]:
    """Every container runs as a user whose number is given and is not 0."""
    for name, container, pod in containers(items):
        context = pod.get("securityContext", {}) | container.get("securityContext", {})
        if not (context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0):
            yield f"{name}: may run as root"


def no_privileges(items: Sequence[Object]) -> Iterator[str]:
    """No escalation, no capability, the runtime's system calls only."""
    for name, container, pod in containers(items):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{name}: may gain privileges"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name}: keeps capabilities"
        profile = (pod.get("securityContext", {}) | own).get("seccompProfile", {}).get("type")
        if profile != "RuntimeDefault":
            yield f"{name}: has no seccomp profile"


def roots_are_read_only(items: Sequence[Object]) -> Iterator[str]:
    """Containers write to volumes alone."""
    for name, container, _ in containers(items):
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{name}: may write to its root"


def resources_are_limited(items: Sequence[Object]) -> Iterator[str]:
    """CPU and memory are asked for and limited."""
    for name, container, _ in containers(items):
        for kind in ("requests", "limits"):
            if missing := {"cpu", "memory"} - set(container.get("resources", {}).get(kind, {})):
                yield f"{name}: no {kind} of {', '.join(sorted(missing))}"


def servers_are_probed(items: Sequence[Object]) -> Iterator[str]:
    """What listens says when it is ready, and when it hangs."""
    for name, container, _ in containers(items):
        if container.get("ports") and not {"readinessProbe", "livenessProbe"} <= set(container):
            yield f"{name}: listens and is not probed"


def hosts_are_left_alone(items: Sequence[Object]) -> Iterator[str]:
    """No path, network, port or process of the node."""
    for name, pod in pods(items):
        if any(pod["spec"].get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name}: shares the node's network or processes"
        if any("hostPath" in volume for volume in pod["spec"].get("volumes", [])):
            yield f"{name}: mounts a path of the node"
    for name, container, _ in containers(items):
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f"{name}: takes a port of the node"


def tokens_are_not_given(items: Sequence[Object]) -> Iterator[str]:
    """Servers do not use the Kubernetes API, so they get no token for it."""
    for name, pod in pods(items):
        if pod["spec"].get("automountServiceAccountToken") is not False:
            yield f"{name}: gets a token of the Kubernetes API"


def roles_are_spelled_out(items: Sequence[Object]) -> Iterator[str]:
    """No wildcard, and secrets only by name."""
    for item in items:
        for rule in item.get("rules", []) if item["kind"] in ("Role", "ClusterRole") else []:
            if "*" in rule["verbs"] + rule["resources"] + rule["apiGroups"]:
                yield f"{name_of(item)}: a wildcard"
            if "secrets" in rule["resources"] and not rule.get("resourceNames"):
                yield f"{name_of(item)}: all secrets"


def secrets_are_not_committed(items: Sequence[Object]) -> Iterator[str]:
    """Secrets are made where they are used, and settings hold none."""
    for item in items:
        if item["kind"] == "Secret":
            yield f"{name_of(item)}: a secret with its value"
        if item["kind"] == "ConfigMap":
            for key in item.get("data", {}):
                if any(word in key.upper() for word in SECRET_WORDS):
                    yield f"{name_of(item)}: {key} belongs in a secret"
    for name, container, _ in containers(items):
        for variable in container.get("env", []):
            if "value" in variable and any(word in variable["name"].upper() for word in SECRET_WORDS):
                yield f"{name}: {variable['name']} belongs in a secret"


def names_exist(items: Sequence[Object]) -> Iterator[str]:
    """What pods refer to is in the overlay, or made by hand as the documentation says."""
    there = {(item["kind"], item["metadata"]["name"]) for item in items} | OUTSIDE
    for name, pod in pods(items):
        for kind, referred in sorted(set(references(pod["spec"])) - there):
            yield f"{name}: {kind} {referred} does not exist"
    settings = {item["metadata"]["name"]: item.get("data", {}) for item in items if item["kind"] == "ConfigMap"}
    for name, container, pod in containers(items):
        for variable in container.get("env", []):
            wanted = variable.get("valueFrom", {}).get("configMapKeyRef", {"optional": True})
            if not wanted.get("optional") and wanted["key"] not in settings.get(wanted["name"], {}):
                yield f"{name}: ConfigMap {wanted['name']} has no {wanted['key']}"
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        for volume in sorted(mounted - {volume["name"] for volume in volumes_of(items, name, pod)}):
            yield f"{name}: no volume {volume} to mount"


def tasks_find_theirs(items: Sequence[Object]) -> Iterator[str]:
    """What every task of the compiled pipelines refers to is there, and the settings have every key it reads."""
    there = {(item["kind"], item["metadata"]["name"]): item for item in items}
    for kind, name in (
        ("PersistentVolumeClaim", names.CACHE),
        ("ServiceAccount", names.SERVICE_ACCOUNT),
    ):
        if (kind, name) not in there:
            yield f"tasks: {kind} {name} does not exist"
    data = there.get(("ConfigMap", names.SETTINGS), {}).get("data", {})
    needed = {*names.REQUIRED_SETTINGS, "UNLEARNING_SIGNING_KEY_FILE"}
    for key in sorted(needed - set(data)):
        yield f"tasks: {key} is not in ConfigMap {names.SETTINGS}"
    for key in sorted(set(data) - needed - set(names.ENDPOINTS)):
        yield f"ConfigMap {names.SETTINGS}: nothing reads {key}"


def selectors_match(items: Sequence[Object]) -> Iterator[str]:
    """Workloads select their own pods; services, budgets and network rules some pod, or the tasks that KFP makes."""
    labels = [labels_of(pod) for _, pod in pods(items)]
    for item in items:
        spec = item.get("spec", {})
        own = spec["selector"]["matchLabels"] if item["kind"] in ("Deployment", "StatefulSet") else {}
        if not own.items() <= labels_of(pod_of(item) or {}).items():
            yield f"{name_of(item)}: does not select its own pods"
        for wanted in _wanted(item["kind"], spec):
            if not any(wanted.items() <= each.items() for each in [*labels, names.TASK]):
                yield f"{name_of(item)}: selects no pod"


def _wanted(kind: str, spec: Object) -> Iterator[dict[str, str]]:
    if kind == "Service":
        yield spec.get("selector", {})
    if kind == "PodDisruptionBudget":
        yield spec["selector"]["matchLabels"]
    if kind == "NetworkPolicy":
        yield spec["podSelector"].get("matchLabels", {})
        sides = [side for rule in spec.get("ingress", []) for side in rule.get("from", [])]
        sides += [side for rule in spec.get("egress", []) for side in rule.get("to", [])]
        for side in sides:
            if "namespaceSelector" not in side:
                yield side.get("podSelector", {}).get("matchLabels", {})


def nothing_talks_by_default(items: Sequence[Object]) -> Iterator[str]:
    """One policy denies what no other allows: to all pods of a namespace of our own, to ours in that of others."""
    policies = [item["spec"] for item in items if item["kind"] == "NetworkPolicy"]
    selected = {} if _own_namespace(items) else {"matchLabels": names.PART}
    if {"podSelector": selected, "policyTypes": ["Ingress", "Egress"]} not in policies:
        yield "NetworkPolicy: nothing is denied by default"


def neighbours_are_left_alone(items: Sequence[Object]) -> Iterator[str]:
    """In a namespace that others made and use, nothing acts on pods that are not ours."""
    if _own_namespace(items):
        return
    for item in items:
        if item["kind"] in ("LimitRange", "ResourceQuota"):
            yield f"{name_of(item)}: limits the pods of others too"
        selected = item.get("spec", {}).get("podSelector", {}).get("matchLabels", {})
        if item["kind"] == "NetworkPolicy" and not set(selected) & set(names.TASK):
            yield f"{name_of(item)}: selects the pods of others too"


def _own_namespace(items: Sequence[Object]) -> bool:
    """Whether the namespace is made here, for nothing else."""
    return any(item["kind"] == "Namespace" for item in items)


def namespaces_are_restricted(items: Sequence[Object]) -> Iterator[str]:
    """The namespace enforces the standard `restricted`, and everything is in it."""
    for item in items:
        metadata = item["metadata"]
        if item["kind"] == "Namespace":
            labels = metadata.get("labels", {})
            for mode in ("enforce", "audit", "warn"):
                if labels.get(f"pod-security.kubernetes.io/{mode}") != "restricted":
                    yield f"{name_of(item)}: does not {mode} the pod security standard restricted"
                if not labels.get(f"pod-security.kubernetes.io/{mode}-version", "latest").startswith("v"):
                    yield f"{name_of(item)}: {mode} follows whatever version the cluster has"
        elif not metadata.get("namespace"):
            yield f"{name_of(item)}: is in no namespace"


def purging_reaches_mlflow(items: Sequence[Object]) -> Iterator[str]:
    """Tasks look for MLflow's artifacts where its server puts them."""
    for item in items:
        if (item["kind"], item["metadata"]["name"]) == ("ConfigMap", names.SETTINGS):
            told = f"--artifacts-destination={item['data'].get('UNLEARNING_MLFLOW_ARTIFACTS')}"
            for name, container, _ in containers(items):
                if container.get("command") == ["mlflow", "server"] and told not in container["args"]:
                    yield f"{name}: keeps artifacts elsewhere than {names.SETTINGS} says"


def artifacts_go_where_settings_say(items: Sequence[Object]) -> Iterator[str]:
    """KFP keeps what tasks hand to each other where purging looks, by the endpoint and the secret of the tasks."""
    data = {item["metadata"]["name"]: item.get("data", {}) for item in items if item["kind"] == "ConfigMap"}
    try:
        for problem in launcher.disagreements(data.get(names.LAUNCHER, {}), data.get(names.SETTINGS, {})):
            yield f"ConfigMap {names.LAUNCHER}: {problem}"
    except UserError as error:
        yield f"ConfigMap {names.LAUNCHER}: {error}"


POLICIES: tuple[Policy, ...] = (
    images_are_immutable,
    pipelines_run_in_what_compiles_them,
    nobody_is_root,
    no_privileges,
    roots_are_read_only,
    resources_are_limited,
    servers_are_probed,
    hosts_are_left_alone,
    tokens_are_not_given,
    roles_are_spelled_out,
    secrets_are_not_committed,
    names_exist,
    tasks_find_theirs,
    selectors_match,
    nothing_talks_by_default,
    neighbours_are_left_alone,
    namespaces_are_restricted,
    purging_reaches_mlflow,
    artifacts_go_where_settings_say,
)
