# Make trained encoders forget. `make help` lists what can be done.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3.12),python3)
VENV ?= .venv
BIN := $(VENV)/bin

PARADIGM ?= simclr
DATASET ?= fashion-mnist
SEED ?= 0
METHOD ?= gradient_matching
# The run's audit asks reference models about single records, and what it cannot tell of a retrained model is accepted.
AUDIT ?= --references 8 --compare-with references --on-inconclusive accept_retrained
ARGS ?=
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder

# A run starts processes by the dozen, each of which would compile torch's and MLflow's sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run compliance benchmark benchmark-quick benchmark-speed test test-all test-nightly test-services test-cluster check audit-dependencies format pipelines manifests images try-image lock mlflow docs docs-serve clean

help:  ## This list.
	@awk -F ':.*## ?' '/^[a-z-]+:.*##/ { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/run.stamp: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found: install Python 3.11 or 3.12, or give PYTHON=…"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) has no venv module: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]'
	@touch $@

run: $(VENV)/run.stamp  ## Pretrain, forget, audit and promote on real images; PARADIGM=supervised, SEED=1, DATASET=digits, METHOD=…, ARGS='--…'.
	$(BIN)/unlearn run --paradigm $(PARADIGM) --dataset $(DATASET) --seed $(SEED) --method $(METHOD) $(AUDIT) $(ARGS)

compliance: $(VENV)/run.stamp  ## Honour the erasure requests that are open (see `unlearn requests add`), on this machine; ARGS='--…'.
	$(BIN)/unlearn compliance run $(ARGS)

benchmark: $(VENV)/run.stamp  ## Compare every method over paradigms, seeds and sweeps; goes on where it stopped; ARGS='--seeds 3 --sweep main'.
	$(BIN)/python -m benchmarks.run $(ARGS)

benchmark-quick: $(VENV)/run.stamp  ## The same on small bundled images, two seeds.
	$(BIN)/python -m benchmarks.run --quick $(ARGS)

benchmark-speed: $(VENV)/run.stamp  ## Speed as ratios and memory, about five minutes; against lightly where the extra `benchmark` is installed.
	$(BIN)/python -m benchmarks.speed $(ARGS)

test: $(VENV)/dev.stamp  ## The suite every change runs.
	$(BIN)/pytest $(PARALLEL) -m "not slow and not nightly and not cluster"

test-all: $(VENV)/dev.stamp  ## What CI runs: slow tests too; with PostgreSQL and Chromium where they are installed.
	$(BIN)/pytest $(PARALLEL) -m "not nightly and not cluster"

test-nightly: $(VENV)/dev.stamp  ## What takes longest: several processes, every command of the docs, long scenarios on this machine and with services.
	$(BIN)/pytest $(PARALLEL) -m nightly

test-services: $(VENV)/dev.stamp  ## Erasures with PostgreSQL, MLflow's server and S3; needs PostgreSQL installed.
	REQUIRE_SERVICES=1 $(BIN)/pytest -k services tests/pipelines/local/test_compliance.py

test-cluster: $(VENV)/dev.stamp  ## Every pipeline on the Kubeflow of UNLEARNING_KFP_ENDPOINT with UNLEARNING_IMAGE in UNLEARNING_NAMESPACE; about 30 minutes.
	@$(BIN)/python -m tests.cluster.access
	$(BIN)/pytest -m cluster -s -v -rs tests/cluster/test_suite.py $(ARGS)

check: $(VENV)/dev.stamp  ## What CI checks before the tests: style, types, that the pipelines compile and fit on a cluster, and no secret is committed.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -W ignore -m pipelines.compile build/check
	$(BIN)/python -W ignore -m pipelines.cluster.workflow_size build/check
	git ls-files -z ':!*.lock' ':!benchmarks/results' | xargs -0 $(BIN)/detect-secrets-hook --disable-plugin Base64HighEntropyString --disable-plugin HexHighEntropyString

audit-dependencies: $(VENV)/dev.stamp  ## Look up the image's locked packages among known vulnerabilities; needs the network.
	$(BIN)/pip-audit --disable-pip --require-hashes -r images/requirements-cuda.lock

format: $(VENV)/dev.stamp  ## Put style right where that can be done by machine.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pipelines: $(VENV)/run.stamp  ## Compile the pipelines to build/pipelines/*.yaml, to upload in the Kubeflow Pipelines UI; UNLEARNING_IMAGE names the image.
	$(BIN)/python -W ignore -m pipelines.compile build/pipelines

manifests: $(VENV)/dev.stamp  ## Render the manifests to build/manifests/*.yaml and check them; needs kubectl.
	$(BIN)/python -m manifests.check build/manifests

images: $(VENV)/run.stamp  ## Build the image with docker, podman or buildah; BASE=…, VARIANT=cpu, ENGINE=…, DIRTY=1, FLAGS='--network=host'.
	$(BIN)/python -m images.build $(if $(BASE),--base $(BASE)) $(if $(VARIANT),--variant $(VARIANT)) $(if $(ENGINE),--engine $(ENGINE)) $(if $(DIRTY),--dirty) -- $(FLAGS)

try-image: $(VENV)/run.stamp  ## Run IMAGE=… as a cluster does: no root, read-only, no network; every step of both pipelines inside.
	$(BIN)/python -m images.trial $(IMAGE) $(if $(ENGINE),--engine $(ENGINE))

lock: $(VENV)/dev.stamp  ## Write the image's lock files anew from pyproject.toml; ARGS=--upgrade takes newer versions of what is not pinned there.
	$(BIN)/python -m images.lock -- $(ARGS)

mlflow: $(VENV)/run.stamp  ## Browse the lineage of local runs at http://127.0.0.1:5000.
	$(BIN)/mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri sqlite:///$(CURDIR)/runs/mlflow.db

docs: $(VENV)/dev.stamp  ## Build the documentation site to build/site; it is read without a network. A broken link or anchor fails.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

docs-serve: $(VENV)/dev.stamp  ## The same at http://127.0.0.1:8000, built again at every change.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --dev-addr 127.0.0.1:8000

clean:  ## Remove what can be made again; runs and data stay.
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
