"""Names that tasks, manifests and checks of a cluster share; they stand here and in the manifests alone."""

from __future__ import annotations

NAMESPACE = "unlearning"
KUBEFLOW = "kubeflow"
"""Namespace of Kubeflow Pipelines, in which all runs are where they serve a single user."""

API_SERVICE = "ml-pipeline"
"""Service of Kubeflow Pipelines' API server."""

LAUNCHER = "kfp-launcher"
"""ConfigMap in which Kubeflow Pipelines look for pipeline root and object store: see `unlearning.cluster.launcher`."""

KUBEFLOW_STORE = "mlpipeline-minio-artifact"
"""Secret of the object store that Kubeflow Pipelines bring along."""

PROFILE_LABEL = "pipelines.kubeflow.org/enabled"
"""Label of namespaces that Kubeflow made for a profile, `true` there."""

SERVICE_ACCOUNT = "unlearning-runner"

PART = {"app.kubernetes.io/part-of": "unlearning"}
"""Label of everything that is ours."""

TASK = PART | {"app.kubernetes.io/component": "task"}
"""Labels of every task's pod, which KFP makes."""

GPU = "nvidia.com/gpu"
"""The resource, and the taint of nodes that have it."""

TRAINER_GROUP = "trainer.kubeflow.org"
TRAINER_VERSION = "v1alpha1"
TRAINING_RUNTIME = "unlearning-training"
"""TrainingRuntime of Kubeflow Trainer for trainings on several nodes."""

POD_NAME = "POD_NAME"
POD_UID = "POD_UID"
POD_NAMESPACE = "POD_NAMESPACE"
OWN_POD = {POD_NAME: "metadata.name", POD_UID: "metadata.uid", POD_NAMESPACE: "metadata.namespace"}
"""Variables by which a task that trains knows its own pod, and where Kubernetes has them from."""

SETTINGS = "unlearning-settings"
"""ConfigMap of settings that every task gets as environment: see `unlearning.core.settings`."""

SETTINGS_KEYS = (
    "UNLEARNING_STORE",
    "UNLEARNING_PIPELINE_ROOT",
    "UNLEARNING_HOME",
    "UNLEARNING_DATA",
    "UNLEARNING_CHECKPOINTS",
    "MLFLOW_TRACKING_URI",
    "UNLEARNING_MLFLOW_ARTIFACTS",
    "MLFLOW_S3_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
)

ENDPOINTS = ("AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL")
"""Of these keys, those that are not set where the object store is Amazon's."""

REQUIRED_SETTINGS = tuple(key for key in SETTINGS_KEYS if key not in ENDPOINTS)
"""The others: a task does not start without them."""

OBJECT_STORE = "unlearning-object-store"
"""Secret that every task gets as environment."""

OBJECT_STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

SIGNING_KEY = "unlearning-signing-key"
"""Secret with the key of certificates; only the tasks that certify get it, as a file."""

SIGNING_PATH = "/signing"
SIGNING_FILE = f"{SIGNING_PATH}/signing.pem"

CACHE = "unlearning-cache"
"""Volume for downloads and checkpoints, shared by all tasks."""

CACHE_PATH = "/cache"
