"""Every command of the documentation that its test does not run as it stands, each with the reason.

This is the only place for such things. What is listed is still checked as far as that goes: options are read by the
real command line, targets by make, folders of manifests by kubectl, where it is there.
"""

from __future__ import annotations

TAKES_MINUTES = "trains on Fashion-MNIST for minutes; docs/tutorial.md runs the same on the digits"
IN_THE_TUTORIAL = "the same as in docs/tutorial.md, which is run first and whose end every other page begins with"
NEEDS_A_CLUSTER = "changes or asks a cluster, and there is none"
NEEDS_AN_ENGINE = "needs docker, podman or buildah, and many minutes; tests/images/ has what can be tested without"
SUITE = "is the suite that this test is part of"
ANOTHER_BATCH = "takes another minute; the tutorial runs a batch, tests/unlearning/steps/test_collect.py finds persons"
SERVES = "serves until it is stopped"
SEVERAL_PROCESSES = "tests/unlearning/steps/test_spread.py does it with 2 processes; here it would take a minute"

NOT_RUN: dict[tuple[str, str], str] = {
    ("README.md", "make run"): TAKES_MINUTES,
    ("README.md", "make test"): SUITE,
    ("docs/index.md", "make run DATASET=digits"): IN_THE_TUTORIAL,
    ("docs/index.md", "make run"): TAKES_MINUTES,
    ("docs/tutorial.md", "make test"): SUITE,
    ("docs/tutorial.md", "make mlflow"): SERVES,
    ("docs/your-images.md", "unlearn compliance run"): ANOTHER_BATCH,
    ("docs/compliance.md", "make run"): TAKES_MINUTES,
    ("docs/compliance.md", "make compliance"): IN_THE_TUTORIAL,
    ("docs/deploying.md", "make images"): NEEDS_AN_ENGINE,
    ("docs/deploying.md", "make try-image IMAGE=unlearning:TAG"): NEEDS_AN_ENGINE,
    ("docs/walkthrough.md", "kubectl apply -k manifests/overlays/single-user"): NEEDS_A_CLUSTER,
    (
        "docs/walkthrough.md",
        "kubectl -n kubeflow get pods --selector app.kubernetes.io/part-of=unlearning",
    ): NEEDS_A_CLUSTER,
    ("docs/walkthrough.md", "kubectl -n kubeflow port-forward service/unlearning-mlflow 5000"): NEEDS_A_CLUSTER,
    (
        "docs/scaling.md",
        "torchrun --standalone --nproc-per-node 2 --no-python unlearn step pretrain --snapshot … --split … "
        "--recipe-file … --out model",
    ): SEVERAL_PROCESSES,
    (
        "docs/scaling.md",
        "torchrun --standalone --nproc-per-node 2 --no-python unlearn step unlearn --model model --forget … "
        "--snapshot … --split … --out candidate",
    ): SEVERAL_PROCESSES,
}

ELSEWHERE: dict[tuple[str, str], str] = {
    ("docs/lineage.md", "console"): "tests/unlearning/cli/test_lineage_docs.py",
    ("docs/lineage.md", "python"): "tests/unlearning/cli/test_lineage_docs.py",
    ("docs/certificates.md", "bash"): "tests/unlearning/compliance/test_documented.py",
    ("docs/certificates.md", "json"): "tests/unlearning/compliance/test_documented.py",
    ("docs/extending.md", "python"): "tests/docs/test_extending.py",
    ("docs/extending.md", "diff"): "tests/docs/test_extending.py",
    ("docs/extending.md", "yaml"): "tests/docs/test_extending.py",
}
"""Page and language of blocks to the test that runs them."""

DRY = ("kubectl create ", "kubectl -n unlearning create ", "kubectl -n kubeflow create ")
"""These are run with `--dry-run=client`: kubectl makes the object and sends it nowhere."""

STANDS_FOR: dict[str, dict[str, str]] = {
    "README.md": {
        "fashion-mnist-simclr": "digits-simclr",
        "C-2024-17": "CASE-1",
        "28, 28": "8, 8",
        "unlearn figures": "unlearn figures --no-trace",  # would train on what the tutorial erased, and refuses
        "certificate.json --keyring keyring.json": "{certificate} --keyring runs/keys/keyring.json",
        " --endpoint URL --gpus 1": " --endpoint {kubeflow} --no-kubernetes",
        " --endpoint URL": " --endpoint {kubeflow}",
    },
    "docs/certificates.md": {
        "certificate.json --keyring keyring.json": "{certificate} --keyring runs/keys/keyring.json",
        "KEYID": "$(grep -o '[0-9a-f]\\{{64\\}}' keyring.json | head -1)",
    },
    "docs/restoring.md": {
        "unlearn ledger checkpoint": "env UNLEARNING_SIGNING_KEY_FILE=runs/keys/signing-key.pem "
        "unlearn ledger checkpoint",
        "keyring.json": "runs/keys/keyring.json",
    },
    "docs/compliance.md": {
        "--record …": "--record {record}",
        "certificates/C-2024-17": "certificates/CASE-1",
        "lineage pending C-2024-17": "lineage pending CASE-1",
    },
    "docs/walkthrough.md": {
        "compliance --endpoint URL": "compliance --endpoint {kubeflow} --no-kubernetes",
        "--endpoint URL": "--endpoint {kubeflow}",
    },
}
"""What is put in place of names that a reader replaces, or of models that take minutes; `{…}` are the test's own."""

ENDS: dict[tuple[str, str], int] = {}
"""Commands that are meant to end with another exit code than 0, or than 2 where the page shows an error."""

EMPTY = ("docs/tutorial.md", "docs/requests.md", "docs/doctor.md", "docs/your-images.md")
"""Pages that begin with nothing; all others begin where the tutorial ends."""

SAVED_AS = {
    ("docs/requests.md", "json"): "asked.json",
    ("docs/your-images.md", "yaml"): "my.yaml",
}
"""Blocks that the page asks its reader to save."""

VARIABLES = {"docs/submitting.md": {"UNLEARNING_KFP_ENDPOINT": "{kubeflow}"}}
"""What is set before the page's first command."""

VARIES = ("unknown image",)
"""Beginnings of shown lines whose rest depends on the network of the machine."""
