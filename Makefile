# Set-up, training, tests and checks. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := $(wildcard remjax experiments benchmarks tests)

# Every `make train` is a run of its own. To continue one: make train RUN_DIR=runs/NAME FLAGS=--resume
RUN_DIR ?= runs/digits-$(shell date +%Y%m%d-%H%M%S)
FLAGS ?=
# Handed to pytest, for instance: make test TESTS='tests/particles/test_weights.py -x'
TESTS ?=
PYTEST = $(BIN)/python -m pytest -q --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install train test test-all lint format docs clean
.DELETE_ON_ERROR:

help:
	@echo "make train    fit REM v1 to the embedded digits (RUN_DIR=... FLAGS='--epochs=5 ...')"
	@echo "make test     run the tests (TESTS='tests/particles/test_weights.py -x')"
	@echo "make test-all what is exhaustive besides: every method on every mesh, slow statistics"
	@echo "make lint     ruff check, ruff format --check, pyright, import-linter"
	@echo "make docs     build the documentation site in build/site, offline"
	@echo "make format   let ruff mend what it can"
	@echo "make install  make $(VENV) and install into it; the targets above do so by themselves"
	@echo "make clean    remove $(VENV) and the caches; runs/ stays"

install: $(INSTALLED)

# The second form of venv is for a Python without ensurepip (Debian without python3-venv), which has a pip.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("remjax needs Python 3.11 or newer, $(PYTHON) is " \
		+ sys.version.split()[0] + "; name another: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Installing into $(VENV): a minute or more at the first time."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 \
		|| $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) \
			&& $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check pip; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[test]'
	@touch $@

train: $(INSTALLED)
	$(BIN)/python -m experiments.train --method=rem_v1 --dataset=digits --run_dir=$(RUN_DIR) $(FLAGS)

# To check every annotation takes a third of the time: these rooms do, with the methods' values, and
# so does whatever TESTS names. The others go through the same code.
CHECKED := $(addprefix tests/,boltzmann data distributions evaluation models particles sequential \
	training methods/test_method_values.py)
test: $(INSTALLED)
ifneq ($(strip $(TESTS)),)
	$(PYTEST) $(TESTS)
else
	$(PYTEST) $(CHECKED)
	REMJAX_TYPECHECK=0 $(PYTEST) $(addprefix --ignore=,$(CHECKED))
endif

test-all: test
	REMJAX_TYPECHECK=0 $(PYTEST) -m exhaustive

lint: $(INSTALLED)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# Laid out as in the repository, so that the pages' links lead where they do there. The tutorials
# mostly compile: programs are kept, and hardly optimized.
SITE_SOURCES := build/site_sources
docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	mkdir -p $(SITE_SOURCES)/benchmarks $(SITE_SOURCES)/experiments
	cp -Rp docs CONTRIBUTING.md $(SITE_SOURCES)
	cp -Rp benchmarks/results $(SITE_SOURCES)/benchmarks
	cp -Rp experiments/notebooks $(SITE_SOURCES)/experiments
	JAX_PLATFORMS=cpu JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.cache/jax \
		XLA_FLAGS='--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true' \
		$(BIN)/python -m sphinx -W --keep-going -q -b html -c docs $(SITE_SOURCES) build/site

clean:
	rm -rf $(VENV) build .cache .pytest_cache .ruff_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
