# Everything a developer does, on a machine with Python 3.10+, make and a C compiler.
# `make tune` and `make test` set up what they need, work a second time, and off the network once installed.

PYTHON ?= python3
VENV ?= .venv
# What `make test WITH_TORCH=1` installs, the version the tests are known to pass with. Where pip would take a build for
# GPUs, say where the CPU builds are: TORCH_INSTALL='torch==2.13.0 safetensors --index-url URL'.
TORCH_INSTALL ?= torch==2.13.0 safetensors
PYTEST_ARGS ?=

BIN := $(VENV)/bin
SOURCES_TO_BUILD := pyproject.toml CMakeLists.txt $(wildcard src/numawise/native/kernels/*)
TEST_NEEDS := $(VENV)/.installed $(if $(filter-out 0,$(WITH_TORCH)),$(VENV)/.torch)

.PHONY: help tune test lint bench clean
.DEFAULT_GOAL := help

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST)

tune: $(VENV)/.installed ## find the best placement of the built-in workload here (about a minute), with an HTML report
	$(BIN)/numawise tune --budget 60s --html numawise-report.html

test: $(TEST_NEEDS) ## the whole test suite; WITH_TORCH=1 adds the tests that need PyTorch
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed ## ruff, mypy --strict, and the order of the rooms
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed ## the figures the documentation quotes
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist numawise-report.html .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Python sources stay live in an editable install; only these files ask for another one.
$(VENV)/.installed: $(SOURCES_TO_BUILD)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "numawise needs Python 3.10 or newer; say which: make PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	# The build itself comes first, so that the install needs no network of its own and keeps its build folder.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'scikit-build-core>=0.10' 'cmake>=3.18' 'ninja>=1.11'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[dev]'
	# An ordinary install compiles; an editable one leaves it to the first start, or to none (PYTHONDONTWRITEBYTECODE).
	$(BIN)/python -m compileall -q src
	touch $@

$(VENV)/.torch: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_INSTALL)
	touch $@
