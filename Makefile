# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help check test demo chaos e2e bench image lock clean
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); sys.exit(0 if ok else "Partita needs Python 3.11 to 3.13, this is %d.%d; run: make PYTHON=python3.13 ..." % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "this Python has no venv module; run: apt-get install -y python3-venv"; exit 1; }
	@command -v $${CC:-cc} >/dev/null || { echo "no C compiler for the tests that stand in for NVML; run: apt-get install -y gcc libc6-dev"; exit 1; }
	@command -v $${CXX:-g++} >/dev/null || { echo "no C++ compiler for the tests that run the GPU kernels on the CPU; run: apt-get install -y g++"; exit 1; }
	@echo "installing the locked dependencies into $(VENV) (about a minute, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

check: $(STAMP) ## lint, types, dependency directions, unit tests: what CI runs first
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python hack/codegen --check
	$(BIN)/pytest -q -n auto -m "not cluster"

test: $(STAMP) ## the tests that need nothing but Python, a C and a C++ compiler
	$(BIN)/pytest -q -n auto -m "not cluster"

demo: $(STAMP) ## the main job on an embedded, simulated cluster
	$(BIN)/python -m hack.demo

chaos: $(STAMP) ## the driver killed at every fault point in every mode (minutes; docs/robustness.md)
	hack/chaos

e2e: $(STAMP) ## scenarios on a real control plane with two real kubelets (root, Linux; see hack/cluster)
	$(BIN)/python -m hack.e2e

bench: $(STAMP) ## prepare and unprepare latency against what the GPUs need (hack/bench lists more)
	hack/bench prepare

image: ## the container image as an OCI archive (buildah, no Docker)
	hack/image

lock: ## pin the dependencies again (needs uv)
	hack/lock

clean: ## remove what the targets above made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist plugins/partita_plugins/validators/kernels/built
